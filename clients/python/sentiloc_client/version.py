"""The version of the client, which is the version of its API."""

__version__ = "1.0.0"
