"""`AsyncClient`: the same methods as `Client`, to await."""

from __future__ import annotations

from .. import calls
from ..errors import JobFailedError
from ..models import JobOptions, JobState
from ..results import Result
from ..service import InstalledModel, Limits, Readiness, ResultFormat
from ..uploads import Progress, Video
from .administration import AsyncAdministration
from .batches import AsyncBatches
from .jobs import AsyncJobs
from .results import AsyncResults


class AsyncClient(AsyncJobs, AsyncResults, AsyncBatches, AsyncAdministration):
    """A Sentiloc server. Server and key default to SENTILOC_SERVER and SENTILOC_API_KEY.

    Every method raises a `ClientError`; transient failures are retried as `retry` says.
    """

    async def localize(
        self,
        video: Video,
        options: JobOptions | None = None,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Upload a video, wait for its job and read the result; raises `JobFailedError` if there is no result."""
        job = await self.submit(video, options, progress=progress)
        job = await self.wait(job.id, timeout=timeout)
        if job.state is not JobState.SUCCEEDED:
            raise JobFailedError(job)
        return await self.result(job.id)

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
