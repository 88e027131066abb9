"""The installed version."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


@lru_cache
def version() -> str:
    """The version of the distribution `sentiloc`; `0+unknown` if it is not installed."""
    try:
        return installed_version("sentiloc")
    except PackageNotFoundError:
        # A valid version (PEP 440), so that programs which parse it do not fail.
        return "0+unknown"
