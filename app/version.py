"""The version that is installed."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


@lru_cache
def version() -> str:
    """Version of the `sentiloc` distribution; `0+unknown` when run from sources that are not installed."""
    try:
        return installed_version("sentiloc")
    except PackageNotFoundError:
        return "0+unknown"
