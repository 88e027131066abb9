"""Where uploads and results lie. Names are generated; a file is seen whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from model.errors import ErrorCode, SentilocError

_KEY = re.compile(r"(uploads|results)/[A-Za-z0-9_-]{8,64}(\.[a-z0-9]{1,8}){0,2}")
_PART = ".part"


def result_key(job_id: str, attempt: int) -> str:
    """Where an attempt at a job puts its result: each has its own place, so a late one overwrites nothing."""
    return f"results/{job_id}.{attempt}.json"


_FULL = (errno.ENOSPC, errno.EDQUOT)


class Writer(Protocol):
    """A file being written, invisible until `commit`; leaving the context without it leaves nothing."""

    def write(self, data: bytes) -> None:
        """Append; raises `storage_full`."""

    def commit(self) -> None:
        """Make the file durable and visible under its key; raises `storage_full`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Storage(Protocol):
    """What the service needs of a place for files. Keys are `uploads/…` and `results/…`."""

    def writer(self, key: str) -> Writer:
        """Start a new file."""

    def local_path(self, key: str) -> contextlib.AbstractContextManager[Path]:
        """The file on this machine while the context lasts; raises `source_missing`."""

    def read(self, key: str) -> bytes:
        """The whole file; raises `source_missing`."""

    def delete(self, key: str) -> None:
        """Remove the file if it is there."""

    def sweep(self, older_than_seconds: float) -> int:
        """Remove unfinished files that nobody has written to for so long; returns how many."""


class LocalStorage:
    """A folder on this machine, or on a volume that API and workers share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def writer(self, key: str) -> LocalWriter:
        """Start a new file as `NAME.part` beside its final place."""
        return LocalWriter(self._path(key))

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        """The file itself; raises `source_missing`."""
        path = self._path(key)
        if not path.is_file():
            raise SentilocError(ErrorCode.SOURCE_MISSING, "The uploaded file is no longer stored.")
        yield path

    def read(self, key: str) -> bytes:
        """The whole file; raises `source_missing`."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise SentilocError(ErrorCode.SOURCE_MISSING, "The file is no longer stored.") from error

    def delete(self, key: str) -> None:
        """Remove the file if it is there."""
        self._path(key).unlink(missing_ok=True)

    def sweep(self, older_than_seconds: float) -> int:
        """Remove `*.part` files whose last write is so long ago."""
        limit = time.time() - older_than_seconds
        old = [path for path in self._root.glob(f"*/*{_PART}") if _written(path) < limit]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a storage key: {key!r}")
        return self._root / key


class LocalWriter:
    """Writes `NAME.part`, then syncs and renames it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + _PART)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        with _full_is_typed():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("xb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append; raises `storage_full`."""
        left = memoryview(data)
        with _full_is_typed():
            while left:
                left = left[self._open().write(left) :]

    def commit(self) -> None:
        """Sync, rename, sync the folder."""
        with _full_is_typed():
            os.fsync(self._open().fileno())
            self._open().close()
            self._part.replace(self._path)
            _sync_folder(self._path.parent)
        self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("the writer is not open")
        return self._file


@contextmanager
def _full_is_typed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SentilocError(ErrorCode.STORAGE_FULL, "The server's storage is full.") from error
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
