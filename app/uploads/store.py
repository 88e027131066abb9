"""Resumable uploads: records in Redis, bytes in a file, complete uploads in the storage.

The file's size is the offset. It survives a crash of the server and of the machine, because a chunk is synced before
it is acknowledged. A writer holds a lock on the file; the lock ends with the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from redis import Redis

from sentiloc.app.access.key_limits import KeyLimitReached, StorageQuotaExceeded
from sentiloc.app.access.usage import HELD
from sentiloc.app.ids import ID
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.redis.scripts import Scripts
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import RETRY_SECONDS, Storage
from sentiloc.app.storage.disk import faults_are_typed, refusals_are_typed
from sentiloc.app.storage.failures import Failures
from sentiloc.app.uploads.problems import TooManyUploads, UploadElsewhere, UploadGone
from sentiloc.app.uploads.record import UploadRecord, UploadState, read_fields, upload_key, write_fields
from sentiloc.model.errors import ErrorCode, SentilocError

INCOMING = "incoming"
# For a day, clients hear 410 (gone) instead of 404, so that they start a new upload.
_REMEMBER_GONE_SECONDS = 86_400
# An answer of change_upload.lua.
_NO_ROOM = 2


class UploadBusyError(Exception):
    """Another request writes to the upload."""


class UploadStore:
    """All resumable uploads. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, settings: Settings, redis: Redis, storage: Storage) -> None:
        self._settings = settings
        self._redis = redis
        self._storage = storage
        # On the volume of the storage, so that a finished upload is renamed instead of copied.
        self._folder = settings.data_dir / INCOMING
        self._scripts = Scripts(
            redis,
            "sentiloc.app.uploads",
            settings.redis_prefix,
            [HELD, "hold"],
            growing=("open_upload", "change_upload"),
        )

    def create(self, record: UploadRecord) -> None:
        """Begin an upload.

        Raises `storage_full` if its bytes do not fit on the disk, `TooManyUploads`, `KeyLimitReached` and
        `StorageQuotaExceeded`.
        """
        if not record.presigned:
            # The file comes first: a record without a file would look like an upload on another machine.
            self._make_file(record)
        limits = (self._settings.max_open_uploads, self._settings.max_open_uploads_per_key)
        fields = [item for pair in write_fields(record).items() for item in pair]
        stored = (self._settings.max_stored_bytes_per_key, record.length or 0)
        argv: list[str | float] = [
            record.id,
            record.expires_at,
            *limits,
            record.key_id or "",
            *stored,
            *fields,
        ]
        refused = self._scripts.run("open_upload", [self._key(record.id), self._index], argv)
        if refused:
            self._path(record.id).unlink(missing_ok=True)
            if refused == "stored":
                raise StorageQuotaExceeded(stored[0])
            raise TooManyUploads if refused == "all" else KeyLimitReached(limits[1], "open uploads")

    def find(self, upload_id: str) -> UploadRecord | None:
        """The upload as it is now, None if unknown. An expired upload is `gone` even before the sweep removes it."""
        fields = cast("dict[str, str]", self._redis.hgetall(self._key(upload_id)))
        if not fields:
            return None
        record = read_fields(fields)
        # A used upload belongs to its job, whose retention applies.
        is_late = record.expires_at < time.time() and record.state is not UploadState.USED
        return replace(record, state=UploadState.GONE) if is_late else record

    def offset(self, record: UploadRecord) -> int:
        """The number of bytes that the server has stored durably.

        Raises `UploadElsewhere` if another process may hold them: an offset of 0 would be wrong.
        """
        if record.state is not UploadState.OPEN:
            return record.length or 0
        # Bytes beyond this offset have arrived, but their checksum is not verified yet.
        if record.verified is not None:
            return record.verified
        if record.presigned:
            return self._storage.size(record.source_key) or 0
        file = _status(self._path(record.id))
        if file is not None:
            return file.st_size
        # The file was moved to the storage, but the server stopped before it could record that.
        size = self._storage.size(record.source_key)
        if size is None:
            raise UploadElsewhere
        return size

    @contextmanager
    def lock(self, record: UploadRecord) -> Iterator[BinaryIO]:
        """The upload's file, locked and positioned at its end. Bytes that no checksum has verified are cut off.

        Raises `UploadBusyError`, and `UploadElsewhere` if the file is not here.
        """
        path = self._path(record.id)
        if _status(path) is None and self._storage.size(record.source_key) is not None:
            raise UploadBusyError
        try:
            with faults_are_typed():
                file = path.open("r+b", buffering=0)
        except FileNotFoundError as error:
            raise UploadElsewhere from error
        with file:
            _lock(file)
            current = self.find(record.id)
            # Between opening and locking, another request may have completed the upload and moved its file.
            is_moved = not _is_at(path, file)
            if current is None or current.state is not UploadState.OPEN or is_moved:
                raise UploadBusyError
            if current.verified is not None:
                # An earlier request with a checksum died before it could verify its bytes.
                with faults_are_typed():
                    file.truncate(current.verified)
                self.set_verified(record.id, None)
            file.seek(0, os.SEEK_END)
            yield file

    def set_verified(self, upload_id: str, offset: int | None) -> None:
        """Note that the bytes beyond `offset` are not verified yet. None: all bytes are verified."""
        if offset is None:
            self._redis.hdel(self._key(upload_id), "verified")
        else:
            self._change(upload_id, {"verified": str(offset)})

    def set_length(self, record: UploadRecord, length: int) -> UploadRecord:
        """Record the length that the client has now stated; raises `StorageQuotaExceeded`."""
        self._change(record.id, {"length": str(length)}, held=length)
        return replace(record, length=length)

    def touch(self, record: UploadRecord, offset: int | None = None) -> UploadRecord:
        """Reset the expiry.

        Without a stated length, the bytes up to `offset` count as stored by the key. Raises `StorageQuotaExceeded`; the
        upload is then removed, because it could grow without being counted.
        """
        later = replace(record, expires_at=time.time() + self._settings.upload_expiry_seconds)
        held = offset if record.length is None else None
        with self._ended_without_room(record):
            self._change(record.id, {"expires_at": str(later.expires_at)}, str(later.expires_at), held)
        return later

    @contextmanager
    def _ended_without_room(self, record: UploadRecord) -> Iterator[None]:
        try:
            yield
        except StorageQuotaExceeded:
            self.end(record)
            raise

    def complete(self, record: UploadRecord) -> UploadRecord:
        """Move the file of an upload that has all its bytes into the storage. May be repeated after a crash.

        Raises `source_missing` if the file was removed in the meantime, and `UploadGone` if the upload was ended.
        """
        with suppress(FileNotFoundError):
            self._storage.adopt(self._path(record.id), record.source_key)
        if self._storage.size(record.source_key) != record.length:
            raise SentilocError(ErrorCode.SOURCE_MISSING, "The upload's bytes are no longer stored.")
        return self._note_complete(record)

    def _note_complete(self, record: UploadRecord) -> UploadRecord:
        """Record that the video is in the storage, with its length; raises `UploadGone` if the upload was ended.

        Raises `StorageQuotaExceeded` for a presigned upload, whose length was unknown; it is removed.
        """
        fields = {"state": UploadState.COMPLETE, "length": str(record.length)}
        try:
            with self._ended_without_room(record):
                # The length, too: another request may have stated a different one meanwhile.
                self._change(record.id, fields, held=record.length)
        except UploadGone:
            # The video was moved here after the other request had deleted it.
            self._storage.delete(record.source_key)
            raise
        return replace(record, state=UploadState.COMPLETE)

    def settle(self, record: UploadRecord) -> UploadRecord:
        """Complete an upload if its last byte arrived just before the server stopped."""
        if record.presigned and record.state is UploadState.OPEN:
            return self._settle_presigned(record)
        is_whole = record.length is not None and self.offset(record) == record.length
        if record.state is not UploadState.OPEN or not is_whole:
            return record
        if _status(self._path(record.id)) is None:
            return self.complete(record)
        # A writer that still holds the lock will complete the upload itself.
        with suppress(UploadBusyError), self.lock(record):
            return self.complete(record)
        return record

    def _settle_presigned(self, record: UploadRecord) -> UploadRecord:
        size = self._storage.size(record.source_key)
        if size is None:
            # Moved first, so that the presigned form can no longer change the video. The object is also missing if
            # another request, or the sweep, has just moved it, so the size decides.
            self._storage.move(record.incoming_key, record.source_key)
            size = self._storage.size(record.source_key)
        return record if size is None else self._note_complete(replace(record, length=size))

    def end(self, record: UploadRecord, *, only_expired: bool = False) -> bool:
        """Remove an upload and its bytes; False if a job owns them, in which case nothing is removed.

        With `only_expired`, also False for an upload whose expiry was reset meanwhile.

        One atomic step checks that no job owns the bytes and sets the record to `gone`, before the bytes are deleted.
        So a job that is submitted at the same moment either finds the upload gone or keeps its video. Raises
        `storage_unavailable`; a later sweep then deletes the bytes, because the upload stays in the index until it is
        forgotten.
        """
        keys = [self._key(record.id), self._index, job_key(self._settings.redis_prefix, record.id)]
        limit = time.time() if only_expired else ""
        if not self._scripts.run("end_upload", keys, [record.id, limit]):
            return False
        try:
            self._delete_bytes(record)
        except SentilocError:
            # Later, so that a file that cannot be deleted does not stop the sweep of the others.
            self._redis.zadd(self._index, {record.id: time.time() + RETRY_SECONDS}, xx=True)
            raise
        self._scripts.run("forget_upload", keys[:2], [record.id, _REMEMBER_GONE_SECONDS])
        return True

    def _delete_bytes(self, record: UploadRecord) -> None:
        with refusals_are_typed():
            self._path(record.id).unlink(missing_ok=True)
        self._storage.delete(record.source_key)
        if record.presigned:
            self._storage.delete(record.incoming_key)

    def expired(self) -> list[str]:
        """The ids of expired uploads."""
        return list(cast("list[str]", self._redis.zrangebyscore(self._index, "-inf", time.time())))

    def waiting(self, limit: int = 1000) -> list[str]:
        """The ids of uploads without a job, in the order of their expiry."""
        return list(cast("list[str]", self._redis.zrange(self._index, 0, limit - 1)))

    def sweep_files(self) -> None:
        """Remove files without a record that are older than the expiry time of uploads.

        One that cannot be removed stops no other. Raises the first `storage_unavailable` at the end.
        """
        failures = Failures()
        limit = time.time() - self._settings.upload_expiry_seconds
        for path in self._folder.glob("*"):
            # Only our own files: a user may keep others in a folder of this name.
            if not (ID.fullmatch(path.name) and path.is_file()):
                continue
            with failures.kept(), suppress(FileNotFoundError), refusals_are_typed():
                # The age first: it needs no request to Redis, and most files are young.
                if path.stat().st_mtime < limit and not self._redis.exists(self._key(path.name)):
                    path.unlink()
        failures.raise_first()

    def _change(
        self, upload_id: str, fields: dict[str, str], expiry: str = "", held: int | None = None
    ) -> None:
        """Change fields of a record; raises `UploadGone` if it was ended, or its owner's data was erased.

        A plain write would bring back an upload whose bytes are deleted, or create a record that has no owner and
        never expires. `held` is the number of bytes that count as stored by the key; raises `StorageQuotaExceeded`.
        """
        limit = self._settings.max_stored_bytes_per_key
        flat = [part for pair in fields.items() for part in pair]
        keys = [self._key(upload_id), self._index]
        argv: list[str | float] = [upload_id, expiry, "" if held is None else held, limit, *flat]
        answer = self._scripts.run("change_upload", keys, argv)
        if not answer:
            raise UploadGone
        if answer == _NO_ROOM:
            raise StorageQuotaExceeded(limit)

    def _make_file(self, record: UploadRecord) -> None:
        with faults_are_typed():
            self._folder.mkdir(parents=True, exist_ok=True)
            # Only an early answer: other uploads may fill the disk meanwhile, so every write checks the
            # reserve.
            if (record.length or 0) > shutil.disk_usage(self._folder).free:
                raise SentilocError(ErrorCode.STORAGE_FULL, "The server's storage is full.")
            self._path(record.id).touch(exist_ok=False)

    def _key(self, upload_id: str) -> str:
        return upload_key(self._settings.redis_prefix, upload_id)

    @property
    def _index(self) -> str:
        return f"{self._settings.redis_prefix}uploads"

    def _path(self, upload_id: str) -> Path:
        return self._folder / upload_id


def _status(path: Path) -> os.stat_result | None:
    """What the disk knows of a file; None if there is no file. Raises `storage_unavailable`."""
    try:
        with faults_are_typed():
            return path.stat()
    except FileNotFoundError:
        return None


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether this open file is the one at `path`."""
    found = _status(path)
    with faults_are_typed():
        return found is not None and found.st_ino == os.fstat(file.fileno()).st_ino


def _lock(file: BinaryIO) -> None:
    """Lock the file until it is closed; raises `UploadBusyError`."""
    with faults_are_typed():
        try:
            # A lock of the kernel ends with its process, so a crash leaves no stale lock.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadBusyError from error
