"""Receives a video sent as a form and stores it, with bounded memory and time limits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from anyio import to_thread
from fastapi import Request

from sentiloc.app.http.body import FLUSH_BYTES, body_chunks
from sentiloc.app.http.multipart import FORM_OVERHEAD, UploadTooLarge, VideoPart
from sentiloc.app.http.problems import ProblemCode, ProblemError, problem_of
from sentiloc.app.jobs.checks import read_request_options
from sentiloc.app.jobs.idempotency import make_key
from sentiloc.app.jobs.record import JobRecord, NewJob, new_job_id
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage, Writer
from sentiloc.app.storage.keys import source_key
from sentiloc.app.uploads.problems import EmptyVideo
from sentiloc.model.errors import SentilocError


class _NoFile:
    """A writer that keeps nothing."""

    def write(self, data: bytes) -> None:
        """Drop the bytes."""

    def commit(self) -> None:
        """Raise a problem, because there is no file."""
        detail = "The job of this Idempotency-Key was deleted while the request arrived. Send it again."
        raise ProblemError(503, ProblemCode.BUSY, detail, {"Retry-After": "1"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


async def receive_video(
    request: Request,
    storage: Storage,
    settings: Settings,
    idempotency_key: str | None,
    check: Callable[[NewJob], JobRecord | None],
    *,
    is_known: bool = False,
) -> NewJob | JobRecord:
    """Stream the multipart field `video` into the storage and return the job that the form asks for.

    The digest of the idempotency key covers the video and the options. `check` is called in a thread before the video
    is kept: it raises for a job that is refused, and returns the job of an earlier request with the same key, which is
    then the answer. In both cases, and after any other error, nothing stays in the storage. Raises `ProblemError`.

    With `is_known`, the idempotency key has a job already. The video is then read for its digest and written nowhere,
    so that a repeated request gets its job even if the storage is full.
    """
    job_id = new_job_id()
    key = source_key(job_id)
    hasher = hashlib.sha256()
    # Opened by hand, because creating the file may block and `with` cannot run in another thread.
    target = _NoFile() if is_known else storage.writer(key)
    writer: Writer = await to_thread.run_sync(target.__enter__)
    try:
        part = await _receive(request, writer, settings, hasher)
        options = read_request_options(part.options)
        # The same video with other options is another request.
        hasher.update(options.canonical().encode())
        job = NewJob(
            id=job_id,
            source_key=key,
            source_name=part.name,
            source_bytes=part.bytes,
            model=options.model_name or settings.model,
            options=options,
            idempotency=make_key(idempotency_key, hasher.hexdigest(), settings.idempotency_seconds),
        )
        known = await to_thread.run_sync(check, job)
        if known is None:
            await to_thread.run_sync(writer.commit)
        return known or job
    except ProblemError as problem:
        # A client that is still sending must get this answer instead of a reset.
        problem.body_is_unread = True
        raise
    except SentilocError as error:
        fault = problem_of(error)
        fault.body_is_unread = True
        raise fault from error
    finally:
        # After a commit this does nothing; otherwise it removes the unfinished file.
        writer.__exit__(None, None, None)


async def _receive(request: Request, writer: Writer, settings: Settings, hasher: hashlib._Hash) -> VideoPart:
    buffer = bytearray()
    content_type = request.headers.get("content-type", "")
    limit, received = settings.max_upload_bytes, 0
    _refuse_by_length(request, limit)
    part = VideoPart(content_type, limit, buffer.extend)
    async for chunk in body_chunks(request, settings.upload_idle_seconds):
        received += len(chunk)
        # The parser ignores what follows the form's end, however long it is.
        if received > limit + FORM_OVERHEAD:
            raise UploadTooLarge(limit)
        part.feed(chunk)
        if len(buffer) >= FLUSH_BYTES:
            # In a thread: a slow disk must not stop the event loop.
            await _flush(writer, buffer, hasher)
    part.finish()
    if part.bytes == 0:
        raise EmptyVideo
    await _flush(writer, buffer, hasher)
    return part


async def _flush(writer: Writer, buffer: bytearray, hasher: hashlib._Hash) -> None:
    # Copied, because the event loop may extend the buffer while the thread writes.
    data = bytes(buffer)
    buffer.clear()

    def keep() -> None:
        hasher.update(data)
        writer.write(data)

    await to_thread.run_sync(keep)


def _refuse_by_length(request: Request, limit: int) -> None:
    """Refuse a body that is too large by its `Content-Length`, before any of it is read."""
    # Chunked bodies have no length; they are counted while they arrive.
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit + FORM_OVERHEAD:
        raise UploadTooLarge(limit)
