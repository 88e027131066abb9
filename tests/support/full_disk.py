"""A small volume for tests of a full disk. It is a tmpfs, so it needs root and the right to mount."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHUNK = 1 << 20


@contextmanager
def small_volume(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a volume of this size at `folder`; skips the test if that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root on Linux can mount a small volume to fill")
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this container may not mount a small volume to fill")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def free_bytes(folder: Path) -> int:
    """Free bytes on the volume."""
    return shutil.disk_usage(folder).free


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill the volume except for `leave` bytes; returns the file that fills it."""
    path = folder / "ballast"
    with path.open("ab", buffering=0) as file:
        try:
            while free_bytes(folder) > leave:
                file.write(bytes(min(CHUNK, max(4096, free_bytes(folder) - leave))))
        except OSError:
            return path
    return path
