"""`/jobs/{id}/feedback`: corrections of a result. `/feedback/export`: all corrections, as training data."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict

from sentiloc.app.http.body import parse_body, read_body
from sentiloc.app.http.etags import JSON_TYPE
from sentiloc.app.http.problems import (
    BodyTooLarge,
    InvalidRequest,
    ProblemCode,
    RedisUnavailable,
    TypedProblem,
    documented,
)
from sentiloc.app.jobs.feedback import EXAMPLE_FEEDBACK, Added, Feedback, KeptFeedback, training_zip
from sentiloc.app.routes.deps import BAD_ID, JobDep, JobId, JobNotFound, json_body, reload
from sentiloc.app.routes.results.problems import STORE_DOWN, ResultExpired, ResultNotReady
from sentiloc.app.routes.results.stored import read_result
from sentiloc.app.schemas.jobs import EXAMPLE_ID
from sentiloc.app.services import Services, ServicesDep
from sentiloc.model.errors import ErrorCode
from sentiloc.model.results.result import Result

router = APIRouter(tags=["feedback"])

MAX_BODY_BYTES = 256 * 1024
IfMatch = Annotated[
    str | None, Header(max_length=100, description="The `ETag` of the feedback that this replaces")
]
_KEPT: dict[str, Any] = {
    "job_id": EXAMPLE_ID,
    "at": 1769860900.25,
    "fps": 29.97,
    "duration": 9.6,
    "feedback": EXAMPLE_FEEDBACK,
}
_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}


class FeedbackFull(TypedProblem):
    """The number of corrections of a job is limited."""

    of_status = 409
    of_code = ProblemCode.FEEDBACK_FULL
    example = "This job has the maximum number of corrections."


class FeedbackOutdated(TypedProblem):
    """The feedback that a client has seen is not the latest."""

    of_status = 412
    of_code = ProblemCode.FEEDBACK_OUTDATED
    example = "Somebody else corrected this result in the meantime. Fetch the feedback again."


class WrongTask(TypedProblem):
    """Only results of the task `sentiment` can be corrected."""

    of_status = 409
    of_code = ProblemCode.WRONG_TASK
    example = "Feedback corrects sentiment; this job's model finds emotions."

    def __init__(self, task: str, detail: str | None = None) -> None:
        super().__init__(detail or f"Feedback corrects sentiment; this job's model finds {task}s.")


class FeedbackList(BaseModel):
    """All feedback on a job, oldest first. The last entry counts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"feedback": [_KEPT]}]})

    feedback: list[KeptFeedback]


@router.post(
    "/jobs/{job_id}/feedback",
    status_code=201,
    summary="Correct a result",
    operation_id="addFeedback",
    response_model=KeptFeedback,
    openapi_extra=json_body(Feedback),
    responses={
        201: {"content": {"application/json": {"example": _KEPT}}},
        **documented(
            JobNotFound,
            ResultNotReady,
            FeedbackFull,
            WrongTask,
            ResultExpired,
            (410, ErrorCode.SOURCE_MISSING, "The result is no longer stored."),
            FeedbackOutdated,
            BodyTooLarge,
            (422, ProblemCode.INVALID_REQUEST, "segments.0: end must be after start"),
            BAD_ID,
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
async def give(job_id: JobId, request: Request, services: ServicesDep, if_match: IfMatch = None) -> Response:
    """The segments replace those of the result. Points only state that there is sentiment at a moment.

    With `If-Match`, the feedback is kept only if nobody else gave feedback in the meantime.
    """
    seen = _seen(if_match)
    body = await read_body(request, MAX_BODY_BYTES, services.settings.upload_idle_seconds)
    return await to_thread.run_sync(_answer, services, job_id, body, seen)


def _answer(services: Services, job_id: str, body: bytes, seen: float | None) -> Response:
    """Keep the feedback of a request. In a thread: thousands of segments would hold up the event loop."""
    kept = _keep(services, job_id, parse_body(Feedback, body), seen)
    headers = {"ETag": _tag(kept.at)}
    return Response(kept.model_dump_json(), status_code=201, media_type=JSON_TYPE, headers=headers)


@router.get(
    "/jobs/{job_id}/feedback",
    summary="List a job's feedback",
    response_model=FeedbackList,
    operation_id="listFeedback",
    responses=documented(JobNotFound, BAD_ID, RedisUnavailable),
)
def of_job(record: JobDep, services: ServicesDep) -> Response:
    """All corrections of the job's result. The `ETag` names the latest one, for `If-Match`."""
    found = services.feedback.of_job(record.id)
    headers = {"ETag": _tag(found[-1].at if found else 0.0)}
    # Written here, in a thread: fifty corrections of thousands of segments would hold up the event loop.
    return Response(FeedbackList(feedback=found).model_dump_json(), media_type=JSON_TYPE, headers=headers)


@router.delete(
    "/jobs/{job_id}/feedback",
    status_code=204,
    summary="Withdraw all feedback on a job",
    operation_id="deleteFeedback",
    responses=documented(JobNotFound, FeedbackOutdated, BAD_ID, RedisUnavailable),
)
def withdraw(record: JobDep, services: ServicesDep, if_match: IfMatch = None) -> Response:
    """The model's own result stands again. With `If-Match`, only if nobody else gave feedback in the meantime."""
    if services.feedback.withdraw(record.id, _seen(if_match)) is Added.OUTDATED:
        raise FeedbackOutdated
    return Response(status_code=204, headers={"ETag": _tag(0.0)})


@router.get(
    "/feedback/export",
    summary="Export all feedback for training",
    operation_id="exportFeedback",
    response_class=Response,
    responses={
        200: {"description": "Annotation files; the name of a video is the id of its job", "content": _ZIP},
        **documented(RedisUnavailable),
    },
)
def export(services: ServicesDep) -> Response:
    """A ZIP archive in the layout that `sentiloc train` reads, with the last feedback on each job."""
    headers = {"Content-Disposition": 'attachment; filename="feedback.zip"', "Cache-Control": "no-store"}
    return Response(training_zip(services.feedback.latest()), media_type="application/zip", headers=headers)


def _tag(at: float) -> str:
    # repr keeps every digit, so that `_seen` reads the same number back.
    return f'"{at!r}"'


def _seen(if_match: str | None) -> float | None:
    """The time of the feedback that a client has seen; None if the client does not send it."""
    if if_match is None or if_match.strip() == "*":
        return None
    try:
        seen = float(if_match.strip().removeprefix("W/").strip('"'))
    except ValueError as error:
        # A tag that this service never made cannot be the latest.
        raise FeedbackOutdated from error
    # NaN differs from no time, so the comparison would let it pass.
    if not math.isfinite(seen):
        raise FeedbackOutdated
    return seen


def _keep(services: Services, job_id: str, feedback: Feedback, seen: float | None) -> KeptFeedback:
    result = read_result(services, reload(services, job_id))
    if not isinstance(result, Result):
        raise WrongTask(result.task)
    video = result.video
    # One frame of tolerance: players round the end of a video.
    if feedback.latest() > video.duration + 1 / video.fps:
        detail = f"The video ends after {video.duration:.3f} seconds; the feedback goes beyond it."
        raise InvalidRequest(detail)
    kept = KeptFeedback(
        job_id=job_id, at=time.time(), fps=video.fps, duration=video.duration, feedback=feedback
    )
    added = services.feedback.add(kept, seen)
    if added is Added.OUTDATED:
        raise FeedbackOutdated
    if added is Added.FULL:
        raise FeedbackFull
    if added is Added.GONE:
        raise JobNotFound
    if added is Added.KEY_FULL:
        limit = services.feedback.max_bytes
        raise FeedbackFull(
            f"The corrections of one API key may have {limit} bytes in all. Withdraw some of them."
        )
    return kept
