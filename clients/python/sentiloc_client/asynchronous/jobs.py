"""Methods of `AsyncClient` for jobs: submit, follow, list, change, end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any, Unpack

import httpx

from .. import batches, calls, sending
from ..batches import Deleted, Summary
from ..errors import Code, WaitTimeoutError
from ..events import EventLines
from ..models import Event, Filters, Job, JobOptions, JobPage, WebhookLog
from ..retries import AWAY, Attempts, checked_places
from ..uploads import Progress, Video
from .transport import AsyncTransport


class AsyncJobs(AsyncTransport):
    """Jobs, from the upload to the deletion."""

    async def submit(
        self,
        video: Video,
        options: JobOptions | None = None,
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Upload a video (a path or a seekable binary file); `progress(sent, total)` is called with bytes.

        Each call generates an idempotency key, so that retries create one job. Pass your own key to be safe across
        restarts of your program.
        """
        return await self._send(calls.submit(video, options, name, idempotency_key, progress))

    async def submit_url(
        self, url: str, options: JobOptions | None = None, *, idempotency_key: str | None = None
    ) -> Job:
        """Let the server fetch the video from a public address."""
        return await self._send(calls.submit_url(url, options, idempotency_key))

    async def submit_resumable(
        self,
        video: Video,
        options: JobOptions | None = None,
        *,
        name: str | None = None,
        upload: str | None = None,
        piece_bytes: int = sending.PIECE_BYTES,
        progress: Progress | None = None,
        on_begin: Callable[[str], None] | None = None,
    ) -> Job:
        """Upload a video in chunks with tus 1.0.0. An interrupted upload continues where it stopped.

        `on_begin` is called with the upload's id. Pass that id as `upload`, with the same video, to continue after a
        restart of your program. An upload has at most one job.
        """
        return await self._follow(
            sending.resumable(
                video,
                options,
                name=name,
                upload=upload,
                piece_bytes=piece_bytes,
                progress=progress,
                on_begin=on_begin,
                retry=self._retry,
            )
        )

    async def submit_presigned(
        self,
        video: Video,
        options: JobOptions | None = None,
        *,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Upload a video directly to the server's object store, if `limits().presigned_uploads` is true."""
        return await self._follow(sending.presigned(video, options, name=name, progress=progress))

    async def status(self, job_id: str) -> Job:
        """The current state of the job."""
        return await self._send(calls.status(job_id))

    async def wait(
        self, job_id: str, *, timeout: float | None = None, on_change: Callable[[Job], None] | None = None
    ) -> Job:
        """Poll until the job has ended, successfully or not; raises `WaitTimeoutError` after `timeout` seconds."""
        ends_at = None if timeout is None else monotonic() + timeout
        etag, job = "", None
        while True:
            # With the ETag, an unchanged job costs the server an empty 304.
            try:
                found = await self._send(calls.poll(job_id, etag), ends_at)
            except AWAY as error:
                if job is None or ends_at is None or monotonic() < ends_at:
                    raise
                raise WaitTimeoutError(job, timeout or 0.0) from error
            etag = found.etag
            if found.job is not None:
                job = found.job
                if on_change is not None:
                    on_change(job)
            assert job is not None  # noqa: S101
            if job.state.is_terminal:
                return job
            left = found.wait if ends_at is None else ends_at - monotonic()
            if left <= 0:
                raise WaitTimeoutError(job, timeout or 0.0)
            # The last poll is at the limit, because the job may end until then.
            await asyncio.sleep(min(found.wait, left))

    async def watch(self, job_id: str, *, after: str | None = None) -> AsyncGenerator[Event, None]:
        """The job's events, as they happen, up to the final one; `after` is the id of the last one known.

        A broken connection is resumed after the last event received.
        """
        lines, attempts = EventLines(after), Attempts(self._retry, repeatable=True)
        while not lines.ended:
            try:
                # Closed at once if the caller stops iterating, so that the connection is not left to the
                # garbage collector.
                with checked_places():
                    heard = self._listen(job_id, lines, attempts)
                    async with aclosing(heard) as events:
                        async for event in events:
                            yield event
            except httpx.RequestError as error:
                await asyncio.sleep(attempts.after_error(error))
            else:
                await asyncio.sleep(0.0 if lines.ended else lines.wait)

    async def cancel(self, job_id: str) -> Job:
        """Cancel the job if it has not ended; returns its new state. Never deletes anything."""
        return await self._send(calls.cancel(job_id))

    async def delete(self, job_id: str) -> None:
        """Delete the job with its files in any state. It is not an error if the job is already deleted."""
        await self._remove(calls.delete(job_id), Code.JOB_NOT_FOUND)

    async def rerun(self, job_id: str, *, idempotency_key: str | None = None, **options: Any) -> Job:
        """Localize the job's video again as a new job; `options` are the `JobOptions` that change."""
        return await self._send(calls.rerun(job_id, options, idempotency_key))

    async def update(self, job_id: str, **changes: Any) -> Job:
        """Change `name`, `metadata` (merged; None removes a key) and `tags` of a job."""
        return await self._send(batches.update(job_id, changes))

    async def list_page(
        self, *, limit: int = 20, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> JobPage:
        """One page of the jobs, newest first; the filters are those of `list_jobs`."""
        return await self._send(calls.page(limit, cursor, filters))

    async def list_jobs(self, **filters: Unpack[Filters]) -> AsyncGenerator[Job, None]:
        """Every job, newest first: `state` (a tuple), `label`, `created_after`, `created_before`, `metadata`."""
        cursor = None
        while True:
            page = await self.list_page(limit=100, cursor=cursor, **filters)
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def summary(self, **filters: Unpack[Filters]) -> Summary:
        """Counts and totals of the jobs that match."""
        return await self._send(batches.summary(filters))

    async def delete_jobs(
        self, *, cancel: bool = False, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> Deleted:
        """Delete ended jobs that match, at most 1000 a call. `cancel` also cancels those that have not ended.

        Until the answer is `complete`, call again with its `next_cursor` as `cursor`. A `ServerError` with the code
        `storage_unavailable` says that files of some jobs could not be deleted, and that these jobs stay. Others may be
        deleted. The client does not repeat the call then. To try these jobs again, call again with the same arguments.
        To skip them, pass `error.problem.get("next_cursor")` as `cursor`; it is None if no job follows.
        """
        return await self._send(batches.delete_jobs(filters, cancel_others=cancel, cursor=cursor))

    async def webhook_log(self, job_id: str) -> WebhookLog:
        """The deliveries of the job's event."""
        return await self._send(calls.webhooks(job_id, again=False))

    async def deliver_again(self, job_id: str) -> WebhookLog:
        """Send the job's event again under the same id, even if it was accepted before."""
        return await self._send(calls.webhooks(job_id, again=True))
