# Generated from `asynchronous` by `clients/python/unasync.py`: change that one.
"""`Client`, the blocking client."""

from .client import Client

__all__ = ["Client"]
