"""`AsyncClient`, the client for asyncio. `synchronous` is generated from this package."""

from .client import AsyncClient

__all__ = ["AsyncClient"]
