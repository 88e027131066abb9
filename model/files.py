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
