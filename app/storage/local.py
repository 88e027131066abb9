"""Where uploads and results lie. Names are generated; a file is seen whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from sentiloc.model.errors import ErrorCode, SentilocError

_KEY = re.compile(r"(uploads|results)/[A-Za-z0-9_-]{8,64}(\.[a-z0-9]{1,8}){0,3}")
_PART = ".part"


def source_key(job_id: str) -> str:
    """Where a job's video lies. Told from the id, so that the sweep finds videos that no job claims."""
    return f"uploads/{job_id}.src"


def source_owner(key: str) -> str | None:
    """The id that `source_key` was told from; None for a key of another form."""
    found = re.fullmatch(r"uploads/([A-Za-z0-9_-]+)\.src", key)
    return found and found[1]


def result_key(job_id: str, attempt: int) -> str:
    """Where an attempt at a job puts its result: each has its own place, so a late one overwrites nothing."""
    return f"results/{job_id}.{attempt}.json"


def thumbnail_key(job_id: str, attempt: int, index: int) -> str:
    """Where the picture of a result's segment lies, beside the result."""
    return f"results/{job_id}.{attempt}.{index}.jpg"


_FULL = (errno.ENOSPC, errno.EDQUOT)
RESERVE_BYTES = 64 << 20
"""Free space that uploads leave, so that the job store's log and the results of accepted jobs still fit."""


def check_key(key: str) -> None:
    """Raises `ValueError` for a key that could lead anywhere else."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")


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


@dataclass(frozen=True, slots=True)
class Presigned:
    """A form that a client sends its file with: the fields first, the file as `file` last."""

    url: str
    fields: dict[str, str]


class Storage(Protocol):
    """What the service needs of a place for files. Keys are `uploads/…` and `results/…`."""

    def writer(self, key: str) -> Writer:
        """Start a new file."""

    def local_path(self, key: str) -> contextlib.AbstractContextManager[Path]:
        """The file on this machine while the context lasts; raises `source_missing`."""

    def read(self, key: str) -> bytes:
        """The whole file; raises `source_missing`."""

    def size(self, key: str) -> int | None:
        """Bytes of the file; None when it is not there."""

    def adopt(self, path: Path, key: str) -> None:
        """Take a complete file of this machine: it is visible under its key and gone from `path`.

        May be repeated after a crash. Raises `storage_full`.
        """

    def link(self, key: str) -> str | None:
        """Where a client can fetch the file without us; None where it cannot."""

    def presign(self, key: str, max_bytes: int, seconds: int) -> Presigned | None:
        """Let a client put a file of at most `max_bytes` without us; None where it cannot."""

    def delete(self, key: str) -> None:
        """Remove the file if it is there."""

    def older_than(self, folder: str, seconds: float) -> Iterator[str]:
        """Keys of the complete files in `uploads` or `results` that were last written to so long ago."""

    def sweep(self, older_than_seconds: float) -> int:
        """Remove unfinished files that nobody has written to for so long; returns how many."""


class LocalStorage:
    """A folder on this machine, or on a volume that API and workers share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def writer(self, key: str) -> LocalWriter:
        """Start a new file as `NAME.RANDOM.part` beside its final place."""
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

    def size(self, key: str) -> int | None:
        """Bytes of the file; None when it is not there."""
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None

    def adopt(self, path: Path, key: str) -> None:
        """Rename the file, which must lie on the same volume."""
        target = self._path(key)
        with full_is_typed():
            target.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(target)
            _sync_folder(target.parent)

    def link(self, key: str) -> str | None:  # noqa: ARG002
        """Files of this machine go through the API."""
        return None

    def presign(self, key: str, max_bytes: int, seconds: int) -> Presigned | None:  # noqa: ARG002
        """Likewise."""
        return None

    def delete(self, key: str) -> None:
        """Remove the file if it is there."""
        self._path(key).unlink(missing_ok=True)

    def older_than(self, folder: str, seconds: float) -> Iterator[str]:
        """By the time of the last write."""
        limit = time.time() - seconds
        for path in (self._root / folder).glob("*"):
            key = f"{folder}/{path.name}"
            if _KEY.fullmatch(key) and path.suffix != _PART and _written(path) < limit:
                yield key

    def sweep(self, older_than_seconds: float) -> int:
        """Remove `*.part` files whose last write is so long ago."""
        limit = time.time() - older_than_seconds
        old = [path for path in self._root.glob(f"*/*{_PART}") if _written(path) < limit]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root / key


class LocalWriter:
    """Writes `NAME.RANDOM.part`, then syncs and renames it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Two attempts at a job may write the same key: each has its own unfinished file.
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PART}")
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        with full_is_typed():
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
        with full_is_typed():
            if self._path.parent.name == "uploads":
                leave_reserve(self._open().fileno())
            while left:
                left = left[self._open().write(left) :]

    def commit(self) -> None:
        """Sync, rename, sync the folder."""
        with full_is_typed():
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
def full_is_typed() -> Iterator[None]:
    """Makes `storage_full` of what the system says when a disk or a quota is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SentilocError(ErrorCode.STORAGE_FULL, "The server's storage is full.") from error
        raise


def leave_reserve(descriptor: int) -> None:
    """Raises `storage_full` when the volume of this open file has but the reserve left."""
    volume = os.fstatvfs(descriptor)
    if volume.f_bavail * volume.f_frsize < RESERVE_BYTES:
        raise SentilocError(ErrorCode.STORAGE_FULL, "The server's storage is full.")


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
