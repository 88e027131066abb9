"""`AsyncClient`: the same methods as `Client`, to await."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from . import calls, reels, sending
from .administration import AsyncAdministration
from .errors import ClientError, JobFailedError, WaitTimeoutError
from .events import EventLines
from .models import (
    Cut,
    Difference,
    Event,
    Feedback,
    Filters,
    InstalledModel,
    Job,
    JobOptions,
    JobPage,
    JobState,
    KeptFeedback,
    Limits,
    Readiness,
    ResultFormat,
    TimelineOptions,
    WebhookLog,
)
from .results import Curve, Result
from .retries import Attempts, Retry
from .uploads import Progress, Video

T = TypeVar("T")


class AsyncClient(AsyncAdministration):
    """A Sentiloc server, for asyncio. Server and key default to SENTILOC_SERVER and SENTILOC_API_KEY.

    Every method raises a `ClientError`; transient failures are retried as `retry` says.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        api_key: str | None = None,
        retry: Retry | None = None,
        timeout: httpx.Timeout | float = calls.DEFAULT_TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            **calls.connection(server, api_key), timeout=timeout, transport=transport
        )
        self._retry = retry or Retry()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def server(self) -> str:
        """The server's address."""
        return str(self._http.base_url)

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
        ends_at = None if timeout is None else time.monotonic() + timeout
        etag, job = "", None
        while True:
            found = await self._send(calls.poll(job_id, etag))
            etag = found.etag
            if found.job is not None:
                job = found.job
                if on_change is not None:
                    on_change(job)
            assert job is not None  # noqa: S101
            if job.state.is_terminal:
                return job
            if ends_at is not None and time.monotonic() + found.wait > ends_at:
                raise WaitTimeoutError(job, timeout or 0.0)
            await asyncio.sleep(found.wait)

    async def watch(self, job_id: str, *, after: str | None = None) -> AsyncIterator[Event]:
        """The job's events, as they happen, up to the final one; `after` is the id of the last one known.

        A broken connection is resumed after the last event received.
        """
        lines, attempts = EventLines(after), Attempts(self._retry, repeatable=True)
        while not lines.ended:
            try:
                async with aclosing(self._listen(job_id, lines, attempts)) as events:
                    async for event in events:
                        yield event
            except httpx.TransportError as error:
                await asyncio.sleep(attempts.after_error(error))
            else:
                await asyncio.sleep(0.0 if lines.ended else lines.wait)

    async def _listen(
        self, job_id: str, lines: EventLines, attempts: Attempts
    ) -> AsyncGenerator[Event, None]:
        path, headers = calls.events_path(job_id), lines.begin()
        async with self._http.stream("GET", path, headers=headers, timeout=calls.EVENTS_TIMEOUT) as response:
            if response.status_code != 200:
                await response.aread()
                lines.ended = response.status_code == 204
                await asyncio.sleep(attempts.after(response) or 0.0)
                return
            async for line in response.aiter_lines():
                event = lines.feed(line)
                if event is not None:
                    attempts.begin_again()
                    yield event
                if lines.ended:
                    return

    async def localize(
        self,
        video: Video,
        options: JobOptions | None = None,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Upload a video, wait for its job and read the result; raises `JobFailedError` if there is no result."""
        job = await self.wait((await self.submit(video, options, progress=progress)).id, timeout=timeout)
        if job.state is not JobState.SUCCEEDED:
            raise JobFailedError(job)
        return await self.result(job.id)

    async def result(self, job_id: str, cut: Cut | None = None) -> Result:
        """The result. With `cut`, its segments are cut again from the stored curve."""
        return await self._send(calls.result(job_id, cut))

    async def render(
        self,
        job_id: str,
        name: str,
        cut: Cut | None = None,
        timeline: TimelineOptions | None = None,
        *,
        corrected: bool = False,
    ) -> bytes:
        """The result as the bytes of a file; `format_name` is one of `formats()`.

        `corrected`: with people's corrections.
        """
        return await self._send(calls.render(job_id, name, cut, timeline, corrected=corrected))

    async def curve(self, job_id: str) -> Curve:
        """The scores of every snippet."""
        return await self._send(calls.curve(job_id))

    async def cancel(self, job_id: str) -> Job:
        """Cancel the job if it has not ended; returns its new state. Never deletes anything."""
        return await self._send(calls.cancel(job_id))

    async def delete(self, job_id: str) -> None:
        """Delete the job with its files in any state. It is not an error if the job is already deleted."""
        while not await self._send(calls.delete(job_id)):
            pass

    async def rerun(self, job_id: str, *, idempotency_key: str | None = None, **options: Any) -> Job:
        """Localize the job's video again as a new job; `options` are the `JobOptions` that change."""
        return await self._send(calls.rerun(job_id, options, idempotency_key))

    async def diff(self, job_id: str, other_id: str) -> Difference:
        """Compare the job's segments with those of another job."""
        return await self._send(calls.difference(job_id, other_id))

    async def list_page(
        self, *, limit: int = 20, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> JobPage:
        """One page of the jobs, newest first; the filters are those of `list_jobs`."""
        return await self._send(calls.page(limit, cursor, filters))

    async def list_jobs(self, **filters: Unpack[Filters]) -> AsyncIterator[Job]:
        """Every job, newest first: `state` (a tuple), `label`, `created_after`, `created_before`, `metadata`."""
        cursor = None
        while True:
            page = await self.list_page(limit=100, cursor=cursor, **filters)
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def give_feedback(self, job_id: str, feedback: Feedback) -> KeptFeedback:
        """Correct a result."""
        return await self._send(calls.give_feedback(job_id, feedback))

    async def feedback(self, job_id: str) -> tuple[KeptFeedback, ...]:
        """All corrections, oldest first."""
        return (await self._send(calls.feedback(job_id))).feedback

    async def webhook_log(self, job_id: str) -> WebhookLog:
        """The deliveries of the job's event."""
        return await self._send(calls.webhooks(job_id, again=False))

    async def deliver_again(self, job_id: str) -> WebhookLog:
        """Send the job's event again under the same id, even if it was accepted before."""
        return await self._send(calls.webhooks(job_id, again=True))

    async def highlights(
        self, jobs: Sequence[str] = (), **options: Unpack[reels.HighlightOptions]
    ) -> reels.Highlights:
        """The best moments of these jobs, or of all jobs of the last week."""
        return await self._send(reels.highlights(jobs, options))

    async def cut(
        self, clips: Sequence[reels.Clip], name: str, *, title: str = "Highlights", folder: str = ""
    ) -> bytes:
        """Clips as a sequence: `edl`, `fcp7`, `fcpxml`, `otio`, `mlt` or `llc`.

        `folder` is the folder of the videos.
        """
        return await self._send(reels.cut(clips, name, title, folder))

    async def create_reel(
        self,
        clips: Sequence[reels.Clip],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[reels.ReelOptions],
    ) -> reels.Reel:
        """Let the server render clips into an MP4; `wait(reel.id)` waits for it."""
        return await self._send(reels.create(clips, options, idempotency_key or str(uuid.uuid4())))

    async def reel(self, reel_id: str) -> reels.Reel:
        """The current state of a reel."""
        return await self._send(reels.get(reel_id))

    async def reel_video(self, reel_id: str) -> bytes:
        """The rendered MP4."""
        return await self._send(reels.video(reel_id))

    async def limits(self) -> Limits:
        """The server's limits."""
        return await self._send(calls.limits())

    async def models(self) -> tuple[InstalledModel, ...]:
        """The models that a job can name."""
        return await self._send(calls.models())

    async def formats(self) -> tuple[ResultFormat, ...]:
        """The formats for `render`, besides JSON."""
        return await self._send(calls.formats())

    async def ready(self) -> Readiness:
        """Whether a video that is uploaded now will be localized."""
        return await self._send(calls.ready())

    async def _follow(self, steps: sending.Steps) -> Job:
        try:
            step = next(steps)
            while True:
                try:
                    answer = None
                    if isinstance(step, float):
                        await asyncio.sleep(step)
                    else:
                        answer = await self._send(step)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            job: Job = end.value
            return job

    async def _send(self, call: calls.Call[T]) -> T:
        attempts = Attempts(self._retry, repeatable=call.repeatable)
        while True:
            try:
                response = await self._request(call)
            except httpx.TransportError as error:
                delay = attempts.after_error(error)
            else:
                wait = None if response.status_code in call.accepted else attempts.after(response)
                if wait is None:
                    return call.parse(response)
                delay = wait
            await asyncio.sleep(delay)

    async def _request(self, call: calls.Call[T]) -> httpx.Response:
        content = None if call.body is None else call.body.achunks()
        if call.foreign:
            async with httpx.AsyncClient(timeout=self._http.timeout) as http:
                return await http.request(call.method, call.path, headers=call.headers, content=content)
        return await self._http.request(
            call.method,
            call.path,
            params=call.params,
            headers=call.headers,
            json=call.json,
            content=content,
        )
