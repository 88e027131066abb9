# Generated from `asynchronous` by `clients/python/unasync.py`: change that one.
"""`Client`: blocking calls."""

from __future__ import annotations

from .. import calls
from ..errors import JobFailedError
from ..models import JobOptions, JobState
from ..results import Result
from ..service import InstalledModel, Limits, Readiness, ResultFormat
from ..uploads import Progress, Video
from .administration import Administration
from .batches import Batches
from .jobs import Jobs
from .results import Results


class Client(Jobs, Results, Batches, Administration):
    """A Sentiloc server. Server and key default to SENTILOC_SERVER and SENTILOC_API_KEY.

    Every method raises a `ClientError`; transient failures are retried as `retry` says.
    """

    def localize(
        self,
        video: Video,
        options: JobOptions | None = None,
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Upload a video, wait for its job and read the result; raises `JobFailedError` if there is no result."""
        job = self.submit(video, options, progress=progress)
        job = self.wait(job.id, timeout=timeout)
        if job.state is not JobState.SUCCEEDED:
            raise JobFailedError(job)
        return self.result(job.id)

    def limits(self) -> Limits:
        """The server's limits."""
        return self._send(calls.limits())

    def models(self) -> tuple[InstalledModel, ...]:
        """The models that a job can name."""
        return self._send(calls.models())

    def formats(self) -> tuple[ResultFormat, ...]:
        """The formats for `render`, besides JSON."""
        return self._send(calls.formats())

    def ready(self) -> Readiness:
        """Whether a video that is uploaded now will be localized."""
        return self._send(calls.ready())
