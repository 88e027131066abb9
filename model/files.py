"""Files that are written as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 text file, or leave the old one as it is."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a new file, which takes the place of `path` when the block is complete. The old file's mode stays."""
    # A name of its own: with a prefix, a long name would exceed what a file system allows.
    partial = path.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        yield partial
        # There may be no old file, or a file system without modes.
        with suppress(OSError):
            shutil.copymode(path, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
