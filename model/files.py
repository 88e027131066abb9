"""Files that are written as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a new file, which takes the place of `path` when the block is complete."""
    # A name of its own: with a prefix, a long name would exceed what a file system allows.
    partial = path.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
