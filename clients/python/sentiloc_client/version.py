"""Version of the client, which is the version of the API that it was written for."""

__version__ = "1.0.0"
