"""Files that are written as a whole."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial")
# A file of several gigabytes on a slow disk is written in less.
_ABANDONED_SECONDS = 3600.0


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 text file, or leave the old one as it is."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a new file, which replaces `path` at the end of the block. The old file's mode is kept."""
    # An independent name, because a prefix could make a long name exceed the limit of the file system.
    partial = path.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        yield partial
        # There may be no old file, or a file system without modes.
        with suppress(OSError):
            shutil.copymode(path, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the files of `replacing` that killed processes left. Nothing else has such names.

    Those of the last hour stay: another process may be writing them.
    """
    oldest = time.time() - _ABANDONED_SECONDS
    for path in folder.iterdir():
        # Another process may remove it, too.
        with suppress(OSError):
            if _PARTIAL.fullmatch(path.name) and path.lstat().st_mtime < oldest:
                path.unlink()
