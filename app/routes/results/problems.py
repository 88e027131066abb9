"""Problems that say why a result, or something made from it, is not available."""

from __future__ import annotations

from sentiloc.app.http.address import address
from sentiloc.app.http.problems import ProblemCode, ProblemError, TypedProblem, problem_of
from sentiloc.app.jobs.record import JobState
from sentiloc.app.routes.deps import NO_STORE, POLL_SECONDS
from sentiloc.model.errors import ErrorCode, SentilocError

STORE_DOWN = (503, ErrorCode.STORAGE_UNAVAILABLE, "The object store cannot be reached.")
NO_LONGER_STORED = "The result is no longer stored."


class ResultExpired(TypedProblem):
    """The result's retention time is over."""

    of_status = 410
    of_code = ProblemCode.RESULT_EXPIRED
    example = "The result was kept until its `expires_at` and is deleted."


class ResultNotReady(TypedProblem):
    """The job has not ended; `state` is its state."""

    of_status = 409
    of_code = ProblemCode.RESULT_NOT_READY
    example = "The job is extracting; there is no result yet."

    def __init__(self, state: JobState) -> None:
        headers = {**NO_STORE, "Retry-After": POLL_SECONDS}
        super().__init__(f"The job is {state}; there is no result yet.", headers)


class IsReel(TypedProblem):
    """The job renders a reel: it has a video instead of a result."""

    of_status = 409
    of_code = ProblemCode.WRONG_TASK
    example = "This job renders a reel; its video is at /v1/reels/{job_id}/video."

    def __init__(self, job_id: str) -> None:
        super().__init__(f"This job renders a reel; its video is at {address(f'/reels/{job_id}/video')}.")


RESULT_PROBLEMS = (
    ResultNotReady,
    (409, ErrorCode.CANCELLED, "The job was cancelled."),
    ResultExpired,
    (410, ErrorCode.SOURCE_MISSING, NO_LONGER_STORED),
)
"""The problems of every route that reads results, for `documented`."""


def missing(error: SentilocError, detail: str) -> ProblemError:
    """A 410 if the file is known to be gone; any other fault of the storage keeps its own status."""
    is_gone = error.code is ErrorCode.SOURCE_MISSING
    return ProblemError(410, error.code, detail) if is_gone else problem_of(error)
