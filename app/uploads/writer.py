"""Appends chunks to uploads: one writer at a time, synced before the chunk is acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from anyio import CancelScope, to_thread
from fastapi import Request

from sentiloc.app.http.body import FLUSH_BYTES, body_chunks
from sentiloc.app.http.multipart import UploadTooLarge
from sentiloc.app.http.problems import ProblemCode, ProblemError, problem_of
from sentiloc.app.settings import Settings
from sentiloc.app.storage.disk import faults_are_typed, require_reserve
from sentiloc.app.uploads.problems import ChecksumMismatch, OffsetMismatch, UploadBusy, UploadElsewhere
from sentiloc.app.uploads.record import UploadRecord
from sentiloc.app.uploads.store import UploadBusyError, UploadStore
from sentiloc.app.uploads.tus import Checksum
from sentiloc.model.errors import SentilocError

# A client that lost its connection resumes at once. It must not wait for the old request's time-out.
_STALLED_SECONDS = 2.0
# The old request needs a moment to sync its bytes before it releases the lock.
_TAKE_OVER_SECONDS = 5.0
# Each reset of the expiry is a write to Redis's disk, so it is not done for every chunk.
_TOUCH_SECONDS = 30.0


@dataclass(slots=True)
class _Holder:
    """The request that currently writes to an upload."""

    scope: CancelScope = field(default_factory=CancelScope)
    heard_at: float = field(default_factory=time.monotonic)

    @property
    def is_stalled(self) -> bool:
        """True if nothing arrived for two seconds: the client may have lost its connection silently."""
        return time.monotonic() - self.heard_at > _STALLED_SECONDS


class UploadWriter:
    """Writes the uploads of this process. A stalled request gives way to a new request for the same upload."""

    def __init__(self, settings: Settings, store: UploadStore) -> None:
        self._settings = settings
        self._store = store
        self._holders: dict[str, _Holder] = {}

    async def receive(
        self, request: Request, record: UploadRecord, offset: int, checksum: Checksum | None
    ) -> tuple[UploadRecord, int]:
        """Append the request's body at `offset`.

        Bytes that arrived before the client or the network failed are kept, except with a checksum.

        Returns: the upload, complete if these were its last bytes, and its new offset.
        Raises: `OffsetMismatch`, `UploadTooLarge`, `UploadBusy`, `ChecksumMismatch`, `UploadStalled`, `UploadCutOff`.
        """
        try:
            async with self._hold(record) as (file, holder):
                start = await to_thread.run_sync(file.tell)
                if start != offset:
                    raise OffsetMismatch(start, offset)
                # Checked again while writing: the client may send more than it has stated.
                limit = self._room(record, start)
                hasher = checksum.hasher() if checksum else None
                chunk = _Chunk(file, start, limit, self._settings.upload_reserve_bytes, hasher)
                if checksum:
                    # Before the first byte, so that after a crash unverified bytes do not count towards the
                    # offset.
                    await to_thread.run_sync(self._store.set_verified, record.id, start)
                await self._read(request, record, chunk, holder, checksum)
                if checksum:
                    await to_thread.run_sync(self._store.set_verified, record.id, None)
                return await to_thread.run_sync(self._acknowledge, record, chunk.end)
        except UploadBusyError:
            raise _unread(UploadBusy()) from None
        except SentilocError as error:
            raise _unread(problem_of(error)) from error
        except ProblemError as problem:
            # The cause is kept, so that the log shows the original error.
            raise _unread(problem) from problem.__cause__

    async def end(self, record: UploadRecord) -> bool:
        """Remove the upload and stop a request that writes to it; False if it has a job. Raises `UploadBusy`."""
        holder = self._holders.get(record.id)
        if holder is not None:
            # Otherwise the deletion would wait for a slow upload that nobody needs any more.
            holder.scope.cancel()
        try:
            async with self._hold(record):
                return await to_thread.run_sync(self._store.end, record)
        except UploadBusyError:
            raise UploadBusy from None
        except UploadElsewhere:
            # The process that holds the bytes removes them when it finds no record of them.
            return await to_thread.run_sync(self._store.end, record)

    def _room(self, record: UploadRecord, start: int) -> int:
        end = self._settings.max_upload_bytes if record.length is None else record.length
        return end - start

    def _acknowledge(self, record: UploadRecord, end: int) -> tuple[UploadRecord, int]:
        record = self._store.touch(record, end)
        return (self._store.complete(record) if end == record.length else record), end

    async def _read(
        self,
        request: Request,
        record: UploadRecord,
        chunk: _Chunk,
        holder: _Holder,
        checksum: Checksum | None,
    ) -> None:
        is_whole = False
        # Several times within the expiry, also with the short expiry of a test.
        touch_seconds = min(_TOUCH_SECONDS, self._settings.upload_expiry_seconds / 4)
        touched_at = time.monotonic()
        try:
            # A newer request for the same upload cancels this scope when nothing arrives here.
            with holder.scope:
                async for data in body_chunks(request, self._settings.upload_idle_seconds):
                    holder.heard_at = time.monotonic()
                    await chunk.take(data)
                    if holder.heard_at - touched_at > touch_seconds:
                        # Reset the expiry while data arrives, because one request may take longer than the expiry time.
                        await to_thread.run_sync(self._store.touch, record)
                        touched_at = holder.heard_at
                is_whole = True
        finally:
            # Bytes that have arrived are kept even if this request is cancelled.
            with CancelScope(shield=True):
                await chunk.finish(keep=is_whole or checksum is None)
        if not is_whole:
            # Cancelled by a newer request: its answer no longer reaches the client.
            raise UploadBusyError
        if checksum and chunk.digest() != checksum.digest:
            await to_thread.run_sync(chunk.undo)
            raise ChecksumMismatch

    @asynccontextmanager
    async def _hold(self, record: UploadRecord) -> AsyncIterator[tuple[BinaryIO, _Holder]]:
        deadline = time.monotonic() + _TAKE_OVER_SECONDS
        while True:
            # A new context for each try; it cannot be entered twice.
            lock = self._store.lock(record)
            try:
                file = await to_thread.run_sync(lock.__enter__)
                break
            except UploadBusyError:
                # This process cannot see a holder in another process, whose lock ends with its request.
                other = self._holders.get(record.id)
                if other is None or not (other.is_stalled or other.scope.cancel_called):
                    raise
                if time.monotonic() > deadline:
                    raise
                other.scope.cancel()
                await asyncio.sleep(0.02)
        holder = self._holders[record.id] = _Holder()
        try:
            yield file, holder
        finally:
            # Before the lock is released, so that no other request sees a holder that is gone.
            self._holders.pop(record.id, None)
            lock.__exit__(None, None, None)


@dataclass(slots=True)
class _Chunk:
    """Bytes on their way into the file, beginning at offset `start`; at most `room` bytes."""

    file: BinaryIO
    start: int
    room: int
    reserve_bytes: int
    hasher: hashlib._Hash | None
    size: int = 0
    buffer: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        """The offset after the chunk."""
        return self.start + self.size

    async def take(self, data: bytes) -> None:
        """Buffer the data, and write the buffer when it is full. Raises `UploadTooLarge`."""
        # Nothing of an oversized chunk is kept: the client's length is wrong, so its bytes are of no use.
        if self.size + len(self.buffer) + len(data) > self.room:
            self.buffer.clear()
            await to_thread.run_sync(self.undo)
            raise UploadTooLarge(self.start + self.room)
        self.buffer += data
        if len(self.buffer) >= FLUSH_BYTES:
            await to_thread.run_sync(self._flush)

    async def finish(self, keep: bool) -> None:
        """Write and sync the rest of the buffer, or undo the whole chunk."""
        await to_thread.run_sync(self._sync if keep else self.undo)

    def digest(self) -> bytes:
        """The hash of the chunk."""
        return self.hasher.digest() if self.hasher else b""

    def undo(self) -> None:
        """Truncate the file to where the chunk began."""
        self.buffer.clear()
        self.size = 0
        with faults_are_typed():
            os.ftruncate(self.file.fileno(), self.start)
            self.file.seek(self.start)

    def _sync(self) -> None:
        self._flush()
        with faults_are_typed():
            os.fsync(self.file.fileno())

    def _flush(self) -> None:
        data = bytes(self.buffer)
        self.buffer.clear()
        if self.hasher:
            self.hasher.update(data)
        left = memoryview(data)
        with faults_are_typed():
            # Before each write of about 1 MiB, because other uploads fill the same disk.
            require_reserve(self.file.fileno(), self.reserve_bytes)
            while left:
                # An unbuffered file may write less than it is given.
                written = self.file.write(left)
                left = left[written:]
                self.size += written


def _unread(problem: ProblemError) -> ProblemError:
    """Mark a problem that is sent before the whole body has arrived."""
    # With a wrong checksum the whole body has been read.
    problem.body_is_unread = problem.code is not ProblemCode.CHECKSUM_MISMATCH
    return problem
