"""Storage in a folder."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from sentiloc.app.storage.base import Presigned
from sentiloc.app.storage.disk import faults_are_typed, refusals_are_typed, require_reserve
from sentiloc.app.storage.failures import Failures, delete_all
from sentiloc.app.storage.keys import check_key, is_key, is_own_key
from sentiloc.model.errors import ErrorCode, SentilocError

_PART = ".part"
_NO_VIDEO = "The uploaded file is no longer stored."

RESERVE_BYTES = 64 << 20
"""Bytes that uploads keep free on the disk for the job store's log and the results of accepted jobs."""


class LocalStorage:
    """Storage in a folder, on this machine or on a volume that API and workers share."""

    link_origin: str | None = None

    def __init__(self, root: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes

    def writer(self, key: str) -> LocalWriter:
        """Start a new file as `NAME.RANDOM.part` beside its final path."""
        # Results may use the reserve: it is kept for them.
        reserve = self._reserve_bytes if key.startswith("uploads/") else 0
        return LocalWriter(self._path(key), reserve)

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        """The file itself; raises `source_missing`, also for a file that is deleted within the context."""
        path = self._path(key)
        with faults_are_typed():
            is_there = path.is_file()
        if not is_there:
            raise SentilocError(ErrorCode.SOURCE_MISSING, _NO_VIDEO)
        try:
            yield path
        except FileNotFoundError as error:
            if str(error.filename) != str(path):
                raise
            raise SentilocError(ErrorCode.SOURCE_MISSING, _NO_VIDEO) from error

    def read(self, key: str) -> bytes:
        """The whole file; raises `source_missing`."""
        try:
            with faults_are_typed():
                return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise SentilocError(ErrorCode.SOURCE_MISSING, "The file is no longer stored.") from error

    def size(self, key: str) -> int | None:
        """The size of the file in bytes; None if it does not exist."""
        try:
            with faults_are_typed():
                return self._path(key).stat().st_size
        except FileNotFoundError:
            return None

    def adopt(self, path: Path, key: str) -> None:
        """Rename the file, which must lie on the same volume."""
        target = self._path(key)
        with faults_are_typed():
            target.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as file:
                # The rename must not reach the disk before the bytes.
                os.fsync(file.fileno())
            path.replace(target)
            _sync_folder(target.parent)

    def move(self, key: str, target: str) -> bool:
        """Rename the file; False if it does not exist."""
        try:
            with faults_are_typed():
                self._path(key).replace(self._path(target))
        except FileNotFoundError:
            return False
        return True

    def copy(self, key: str, target: str) -> bool:
        """Create a hard link. Files are never changed, so the copy needs no disk space of its own."""
        source, place = self._path(key), self._path(target)
        try:
            # An earlier call may have made the link and then stopped.
            with faults_are_typed(), suppress(FileExistsError):
                os.link(source, place)
                _sync_folder(place.parent)
        except FileNotFoundError:
            return False
        return True

    def link(self, key: str) -> str | None:  # noqa: ARG002
        """None: clients fetch local files through the API."""
        return None

    def presign(self, key: str, max_bytes: int, seconds: int) -> Presigned | None:  # noqa: ARG002
        """None: clients send local files through the API."""
        return None

    def delete(self, key: str) -> None:
        """Delete the file if it exists."""
        with refusals_are_typed():
            self._path(key).unlink(missing_ok=True)

    def older_than(self, folder: str, seconds: float) -> Iterator[str]:
        """Yield the keys of files whose last write is more than `seconds` ago."""
        limit = time.time() - seconds
        with faults_are_typed():
            for path in (self._root / folder).glob("*"):
                key = f"{folder}/{path.name}"
                if is_own_key(key) and path.is_file() and _written(path) < limit:
                    yield key

    def sweep(self, older_than_seconds: float) -> int:
        """Delete unfinished files of writers without a write for `older_than_seconds`; returns their number."""
        limit = time.time() - older_than_seconds
        with faults_are_typed():
            found = (path for path in self._root.glob(f"*/*{_PART}") if _is_unfinished(path))
            old = [path for path in found if _written(path) < limit]
        failures = Failures()
        count = delete_all(old, failures)
        failures.raise_first()
        return count

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root / key


class LocalWriter:
    """Writes `NAME.RANDOM.part`, then syncs it and renames it."""

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes
        # Two writers may write the same key at once; each has its own unfinished file.
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PART}")
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        with faults_are_typed():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered, so that a full disk is an error of `write` and not of `close`.
            self._file = self._part.open("xb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What cannot be removed is swept later, and must not hide the error that ends the context.
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
                self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append; raises `storage_full`."""
        left = memoryview(data)
        with faults_are_typed():
            require_reserve(self._open().fileno(), self._reserve_bytes)
            while left:
                left = left[self._open().write(left) :]

    def commit(self) -> None:
        """Sync, rename, sync the folder."""
        with faults_are_typed():
            # First the bytes, then the name: after a power failure a visible file is complete.
            os.fsync(self._open().fileno())
            self._open().close()
            self._part.replace(self._path)
            _sync_folder(self._path.parent)
        self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("the writer is not open")
        return self._file


def _sync_folder(folder: Path) -> None:
    # On POSIX a rename is durable only after the folder itself is synced.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_unfinished(path: Path) -> bool:
    """Whether a file has the name that a `LocalWriter` gives."""
    found = re.fullmatch(rf"(.+)\.[0-9a-f]{{8}}{re.escape(_PART)}", f"{path.parent.name}/{path.name}")
    return found is not None and is_key(found[1]) and path.is_file()


def _written(path: Path) -> float:
    """The time of a file's last write, or of its last copy: a copy is a link, which has the time of its file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        # A file that was deleted meanwhile counts as new, so it is left alone.
        return float("inf")
    # Making a link changes the status of the file.
    return status.st_ctime if status.st_nlink > 1 else status.st_mtime
