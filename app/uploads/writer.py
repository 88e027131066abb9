"""Takes the pieces of an upload: one writer at a time, synced before it is acknowledged."""

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
from sentiloc.app.http.multipart import too_large
from sentiloc.app.http.problems import STATUS_OF_ERROR, ProblemCode, ProblemError
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import full_is_typed, leave_reserve
from sentiloc.app.uploads.record import UploadRecord
from sentiloc.app.uploads.store import UploadBusyError, UploadStore
from sentiloc.app.uploads.tus import Checksum
from sentiloc.model.errors import SentilocError

_STALLED_SECONDS = 2.0
_TAKE_OVER_SECONDS = 5.0
BUSY = (423, ProblemCode.UPLOAD_BUSY, "Another request writes to this upload; try again in a moment.")
OFFSET = (409, ProblemCode.OFFSET_MISMATCH, "The upload is at offset 1048576, not at 0.")
CHECKSUM = (460, ProblemCode.CHECKSUM_MISMATCH, "The piece does not have this checksum; it was thrown away.")


@dataclass(slots=True)
class _Writer:
    """A request that writes to an upload now."""

    scope: CancelScope = field(default_factory=CancelScope)
    heard_at: float = field(default_factory=time.monotonic)

    @property
    def is_stalled(self) -> bool:
        """True when nothing came for a while: its client may have gone without a word."""
        return time.monotonic() - self.heard_at > _STALLED_SECONDS


class UploadWriter:
    """The uploads that this process writes to. A stalled request makes way for a new one of the same upload."""

    def __init__(self, settings: Settings, store: UploadStore) -> None:
        self._settings = settings
        self._store = store
        self._writers: dict[str, _Writer] = {}

    async def receive(
        self, request: Request, record: UploadRecord, offset: int, checksum: Checksum | None
    ) -> tuple[UploadRecord, int]:
        """Append the request's body at `offset`; returns the upload (complete, perhaps) and its new offset.

        What came before the client or the network failed is kept, unless it has a checksum.
        Raises the 409, 413, 423 and 460 problems, and those of a body that stalls or breaks off.
        """
        try:
            async with self._hold(record) as (file, writer):
                start = await to_thread.run_sync(file.tell)
                if start != offset:
                    raise ProblemError(*OFFSET[:2], f"The upload is at offset {start}, not at {offset}.")
                limit = self._room(record, start)
                piece = _Piece(file, start, limit, checksum.hasher() if checksum else None)
                if checksum:
                    await to_thread.run_sync(self._store.set_verified, record.id, start)
                await self._read(request, piece, writer, checksum)
                if checksum:
                    await to_thread.run_sync(self._store.set_verified, record.id, None)
                return await to_thread.run_sync(self._acknowledge, record, piece.end)
        except UploadBusyError:
            raise _unread(ProblemError(*BUSY, {"Retry-After": "1"})) from None
        except SentilocError as error:
            raise _unread(
                ProblemError(STATUS_OF_ERROR.get(error.code, 500), error.code, error.detail)
            ) from error
        except ProblemError as problem:
            raise _unread(problem) from problem.__cause__

    async def end(self, record: UploadRecord) -> None:
        """Remove the upload; a request that writes to it is stopped."""
        writer = self._writers.get(record.id)
        if writer is not None:
            writer.scope.cancel()
        try:
            async with self._hold(record):
                await to_thread.run_sync(self._store.end, record)
        except UploadBusyError:
            raise ProblemError(*BUSY, {"Retry-After": "1"}) from None

    def _room(self, record: UploadRecord, start: int) -> int:
        end = self._settings.max_upload_bytes if record.length is None else record.length
        return end - start

    def _acknowledge(self, record: UploadRecord, end: int) -> tuple[UploadRecord, int]:
        record = self._store.touch(record)
        return (self._store.complete(record) if end == record.length else record), end

    async def _read(
        self, request: Request, piece: _Piece, writer: _Writer, checksum: Checksum | None
    ) -> None:
        whole = False
        try:
            with writer.scope:
                async for chunk in body_chunks(request, self._settings.upload_idle_seconds):
                    writer.heard_at = time.monotonic()
                    await piece.take(chunk)
                whole = True
        finally:
            with CancelScope(shield=True):
                await piece.finish(keep=whole or checksum is None)
        if not whole:
            raise UploadBusyError
        if checksum and piece.digest() != checksum.digest:
            await to_thread.run_sync(piece.undo)
            raise ProblemError(*CHECKSUM)

    @asynccontextmanager
    async def _hold(self, record: UploadRecord) -> AsyncIterator[tuple[BinaryIO, _Writer]]:
        deadline = time.monotonic() + _TAKE_OVER_SECONDS
        while True:
            lock = self._store.lock(record)
            try:
                file = await to_thread.run_sync(lock.__enter__)
                break
            except UploadBusyError:
                holder = self._writers.get(record.id)
                if holder is None or not (holder.is_stalled or holder.scope.cancel_called):
                    raise
                if time.monotonic() > deadline:
                    raise
                holder.scope.cancel()
                await asyncio.sleep(0.02)
        writer = self._writers[record.id] = _Writer()
        try:
            yield file, writer
        finally:
            self._writers.pop(record.id, None)
            lock.__exit__(None, None, None)


@dataclass(slots=True)
class _Piece:
    """Bytes on their way into the file, from `start` on, `room` at most."""

    file: BinaryIO
    start: int
    room: int
    hasher: hashlib._Hash | None
    size: int = 0
    buffer: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        """The offset after it."""
        return self.start + self.size

    async def take(self, chunk: bytes) -> None:
        """Buffer, and write when there is enough."""
        if self.size + len(self.buffer) + len(chunk) > self.room:
            self.buffer.clear()
            await to_thread.run_sync(self.undo)
            raise too_large(self.start + self.room)
        self.buffer += chunk
        if len(self.buffer) >= FLUSH_BYTES:
            await to_thread.run_sync(self._flush)

    async def finish(self, keep: bool) -> None:
        """Write and sync what is left, or undo everything."""
        await to_thread.run_sync(self._sync if keep else self.undo)

    def digest(self) -> bytes:
        """What it hashes to."""
        return self.hasher.digest() if self.hasher else b""

    def undo(self) -> None:
        """Cut the file off where the piece began."""
        self.buffer.clear()
        self.size = 0
        os.ftruncate(self.file.fileno(), self.start)
        self.file.seek(self.start)

    def _sync(self) -> None:
        self._flush()
        os.fsync(self.file.fileno())

    def _flush(self) -> None:
        data = bytes(self.buffer)
        self.buffer.clear()
        if self.hasher:
            self.hasher.update(data)
        left = memoryview(data)
        with full_is_typed():
            leave_reserve(self.file.fileno())
            while left:
                written = self.file.write(left)
                left = left[written:]
                self.size += written


def _unread(problem: ProblemError) -> ProblemError:
    """The answer goes out before the rest of the body has come in."""
    problem.body_is_unread = problem.code is not ProblemCode.CHECKSUM_MISMATCH
    return problem
