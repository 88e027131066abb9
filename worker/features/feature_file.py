"""Features of a video during extraction, as rows in a file, so that memory does not grow with the video."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.segments import FloatArray


class FeatureFile:
    """Float32 rows of one shape, appended to an unnamed file in `folder` (default: the system's)."""

    def __init__(self, shape: tuple[int, ...], folder: Path | None = None) -> None:
        self._shape = shape
        self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._count = 0

    def append(self, rows: FloatArray) -> None:
        """Add rows (n, *shape), n >= 0; raises `storage_full`."""
        left = memoryview(np.ascontiguousarray(rows, np.float32).tobytes())
        try:
            # An unbuffered write may be partial, for example when a signal arrives.
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise SentilocError(ErrorCode.STORAGE_FULL, "There is no space left for features.") from error
        self._count += len(rows)

    @property
    def count(self) -> int:
        """The number of rows."""
        return self._count

    def window(self, first: int, stop: int) -> FloatArray:
        """A copy of rows `first` (inclusive) to `stop` (exclusive), which must exist.

        Another thread may append at the same time.
        """
        size = int(np.prod(self._shape)) * np.dtype(np.float32).itemsize
        # pread, because a seek would move the position at which the other thread appends.
        held = os.pread(self._file.fileno(), (stop - first) * size, first * size)
        return np.frombuffer(held, np.float32).reshape(stop - first, *self._shape)

    def change(self, change: Callable[[FloatArray], FloatArray], block: int = 256) -> None:
        """Replace the rows by `change(rows)`, `block` rows (n, *shape) at a time; raises `storage_full`."""
        size = int(np.prod(self._shape)) * np.dtype(np.float32).itemsize
        count, self._count = self._count, 0
        for first in range(0, count, block):
            self._file.seek(first * size)
            held = self._file.read(min(block, count - first) * size)
            self._file.seek(first * size)
            self.append(change(np.frombuffer(held, np.float32).reshape(-1, *self._shape)))

    def take(self, count: int, filling: float = 0.0) -> FloatArray:
        """The first `count` rows (count, *shape), memory-mapped. Missing rows are filled with `filling`.

        Nothing can be appended afterwards.
        """
        if self._count < count:
            self.append(np.full((count - self._count, *self._shape), filling, np.float32))
        with self._file as file:
            if not count:
                return np.empty((0, *self._shape), np.float32)
            size = count * int(np.prod(self._shape)) * np.dtype(np.float32).itemsize
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.float32).reshape(count, *self._shape)

    def close(self) -> None:
        """Give the space back, if the rows are not needed. Rows that `take` returned stay."""
        self._file.close()


def release_pages(rows: FloatArray | None) -> None:
    """Release the memory pages of rows that were read from a file. They are read again when needed."""
    owner: object = rows
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
