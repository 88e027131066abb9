"""Packages as data sources: fetched by a command, verified by digest, unpacked once, never installed."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

logger = logging.getLogger(__name__)


def fetch(command: Sequence[str], downloads: Path, pattern: str, sha256: str) -> Path:
    """Run `command` in `downloads` and return the file that matches `pattern`.

    Raises ValueError if its digest differs from the recipe's.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    logger.info("fetching %s", pattern)
    subprocess.run(command, cwd=downloads, check=True)  # noqa: S603
    # With a second file, such as another version of the package, the choice would be ambiguous.
    (file,) = downloads.glob(pattern)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{file.name} has the digest {found}, not {sha256}")
    return file


def unpack_once(home: Path, unpack: Callable[[Path], None]) -> Path:
    """The folder `home`; if it is missing, `unpack(folder)` fills it first. A failed attempt leaves it missing."""
    if not home.exists():
        unfinished = home.with_suffix(".part")
        unpack(unfinished)
        unfinished.rename(home)
    return home


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack a ZIP file into a folder."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
