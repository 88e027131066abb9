"""`/jobs/{id}/feedback`: what an editor corrects; `/feedback/export`: all of it, for training."""

from __future__ import annotations

import time
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from sentiloc.app.http.body import parse_body, read_body
from sentiloc.app.http.problems import ProblemCode, ProblemError, documented
from sentiloc.app.jobs.feedback import EXAMPLE_FEEDBACK, Feedback, KeptFeedback, training_zip
from sentiloc.app.routes.jobs import BAD_ID, NO_REDIS, UNKNOWN, JobId, find_job
from sentiloc.app.routes.results import EXPIRED, read_result
from sentiloc.app.schemas.jobs import EXAMPLE_ID
from sentiloc.app.services import Services, ServicesDep
from sentiloc.model.errors import ErrorCode
from sentiloc.model.results.result import Result

router = APIRouter(tags=["feedback"])

MAX_BODY_BYTES = 256 * 1024
_KEPT: dict[str, Any] = {
    "job_id": EXAMPLE_ID,
    "at": 1769860900.25,
    "fps": 29.97,
    "duration": 9.6,
    "feedback": EXAMPLE_FEEDBACK,
}
_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Feedback"}}},
    }
}


class FeedbackList(BaseModel):
    """All feedback on a job, oldest first; the last one counts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"feedback": [_KEPT]}]})

    feedback: list[KeptFeedback]


@router.post(
    "/jobs/{job_id}/feedback",
    status_code=201,
    summary="Correct a result",
    openapi_extra=_FORM,
    responses={
        201: {"content": {"application/json": {"example": _KEPT}}},
        **documented(
            UNKNOWN,
            (409, ProblemCode.RESULT_NOT_READY, "The job is extracting; there is no result yet."),
            (409, ProblemCode.FEEDBACK_FULL, "There is no room for more feedback on this job."),
            (409, ProblemCode.WRONG_TASK, "Feedback is on sentiment; this job's model finds emotions."),
            EXPIRED,
            (410, ErrorCode.SOURCE_MISSING, "The result is no longer stored."),
            (413, ProblemCode.BODY_TOO_LARGE, f"The body is larger than {MAX_BODY_BYTES} bytes."),
            (422, ProblemCode.INVALID_REQUEST, "segments.0: Value error, end must be after start"),
            BAD_ID,
            NO_REDIS,
        ),
    },
)
async def give(job_id: JobId, request: Request, services: ServicesDep) -> KeptFeedback:
    """Segments replace the result's; points say only that there is sentiment at that moment."""
    body = await read_body(request, MAX_BODY_BYTES, services.settings.upload_idle_seconds)
    feedback = parse_body(Feedback, body)
    return await to_thread.run_sync(_keep, services, job_id, feedback)


@router.get(
    "/jobs/{job_id}/feedback",
    summary="List a job's feedback",
    responses=documented(UNKNOWN, BAD_ID, NO_REDIS),
)
def of_job(job_id: JobId, services: ServicesDep) -> FeedbackList:
    """What was said about the job."""
    find_job(services, job_id)
    return FeedbackList(feedback=services.feedback.of_job(job_id))


@router.get(
    "/feedback/export",
    summary="Export all feedback for training",
    response_class=Response,
    responses={
        200: {"description": "Annotation files; a video's name is its job's id", "content": _ZIP},
        **documented(NO_REDIS),
    },
)
def export(services: ServicesDep) -> Response:
    """A ZIP archive in the layout that `sentiloc train` reads, with the latest feedback on each job."""
    headers = {"Content-Disposition": 'attachment; filename="feedback.zip"', "Cache-Control": "no-store"}
    return Response(training_zip(services.feedback.latest()), media_type="application/zip", headers=headers)


def _keep(services: Services, job_id: str, feedback: Feedback) -> KeptFeedback:
    result = read_result(services, find_job(services, job_id))
    if not isinstance(result, Result):
        detail = f"Feedback is on sentiment; this job's model finds {result.task}s."
        raise ProblemError(409, ProblemCode.WRONG_TASK, detail)
    video = result.video
    if feedback.latest() > video.duration + 1 / video.fps:
        detail = f"The video ends after {video.duration:.3f} seconds; the feedback goes beyond it."
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail)
    kept = KeptFeedback(
        job_id=job_id, at=time.time(), fps=video.fps, duration=video.duration, feedback=feedback
    )
    if not services.feedback.add(kept):
        detail = "There is no room for more feedback on this job."
        raise ProblemError(409, ProblemCode.FEEDBACK_FULL, detail)
    return kept
