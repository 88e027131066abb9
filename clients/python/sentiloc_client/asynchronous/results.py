"""Methods of `AsyncClient` for results: read, render, compare, correct, and join in reels."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Unpack

from .. import batches, calls, reels
from ..models import Cut, Difference, Feedback, KeptFeedback, TimelineOptions
from ..results import Curve, Result
from .transport import AsyncTransport


class AsyncResults(AsyncTransport):
    """Results of jobs, and reels of several."""

    async def result(self, job_id: str, cut: Cut | None = None) -> Result:
        """The result. With `cut`, its segments are cut again from the stored curve."""
        return await self._send(calls.result(job_id, cut))

    async def partial_result(self, job_id: str) -> Result:
        """The provisional result of a running job; the final result once it has ended."""
        return await self._send(batches.partial(job_id))

    async def render(
        self,
        job_id: str,
        name: str,
        cut: Cut | None = None,
        timeline: TimelineOptions | None = None,
        *,
        corrected: bool = False,
    ) -> bytes:
        """The result as the bytes of a file; `name` is one of `formats()`.

        `corrected`: with people's corrections.
        """
        return await self._send(calls.render(job_id, name, cut, timeline, corrected=corrected))

    async def curve(self, job_id: str) -> Curve:
        """The scores of every snippet."""
        return await self._send(calls.curve(job_id))

    async def diff(self, job_id: str, other_id: str) -> Difference:
        """Compare the job's segments with those of another job."""
        return await self._send(calls.difference(job_id, other_id))

    async def give_feedback(self, job_id: str, feedback: Feedback) -> KeptFeedback:
        """Correct a result."""
        return await self._send(calls.give_feedback(job_id, feedback))

    async def feedback(self, job_id: str) -> tuple[KeptFeedback, ...]:
        """All corrections, oldest first."""
        found = await self._send(calls.feedback(job_id))
        return found.feedback

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
