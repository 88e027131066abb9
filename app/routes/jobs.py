"""`/jobs/{id}`: follow, cancel, delete, and fetch the result."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from app.job_record import JobRecord, JobState
from app.problems import ProblemCode, ProblemError, documented
from app.schemas import EXAMPLE_ID, JobBody, ResultBody, job_body
from app.services import Services, ServicesDep
from app.storage import result_key
from model.errors import ErrorCode, SentilocError

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])

JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=[EXAMPLE_ID])]

_POLL_SECONDS = "1"
_NO_STORE = {"Cache-Control": "no-store"}
_UNKNOWN = (404, ProblemCode.JOB_NOT_FOUND, "There is no job with this id.")
_BAD_ID = (422, ProblemCode.INVALID_REQUEST, "path.job_id: String should match pattern …")
_NO_REDIS = (
    503,
    ProblemCode.REDIS_UNAVAILABLE,
    "The service cannot reach its job store; try again in a few seconds.",
)
_RETRY_AFTER = {"description": "Seconds to wait before asking again", "schema": {"type": "string"}}
_FOLLOWED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job as it is now", "headers": {"Retry-After": _RETRY_AFTER}}
}
_RESULT: dict[int | str, dict[str, Any]] = {200: {"description": "Segments and the curve they come from"}}


@router.get("", summary="Follow a job", responses={**_FOLLOWED, **documented(_UNKNOWN, _BAD_ID, _NO_REDIS)})
def follow(job_id: JobId, response: Response, services: ServicesDep) -> JobBody:
    """State, stage, progress, place in the queue, and the error if it failed."""
    record = _find(services, job_id)
    position = services.store.queue_position(job_id) if record.state is JobState.QUEUED else None
    response.headers.update(_NO_STORE)
    if not record.state.is_terminal:
        response.headers["Retry-After"] = _POLL_SECONDS
    return job_body(record, position)


@router.get(
    "/result",
    summary="Fetch the result",
    response_model=ResultBody,
    responses={
        **_RESULT,
        **documented(
            _UNKNOWN,
            (409, ProblemCode.RESULT_NOT_READY, "The job is extracting; there is no result yet."),
            (409, ErrorCode.CORRUPT_MEDIA, "The file ends in the middle of the video."),
            (409, ErrorCode.CANCELLED, "The job was cancelled."),
            (410, ErrorCode.SOURCE_MISSING, "The result is no longer stored."),
            _BAD_ID,
            _NO_REDIS,
        ),
    },
)
def result(job_id: JobId, services: ServicesDep) -> Response:
    """When the video conveys which sentiment; a problem with the job's own code if it has no result."""
    record = _find(services, job_id)
    if record.state is not JobState.SUCCEEDED or record.result_key is None:
        raise _no_result(record)
    try:
        data = services.storage.read(record.result_key)
    except SentilocError as error:
        raise ProblemError(410, error.code, "The result is no longer stored.") from error
    return Response(data, media_type="application/json", headers={"Cache-Control": "private, no-cache"})


@router.delete(
    "",
    summary="Cancel a job, or delete it",
    status_code=200,
    response_model=None,
    responses={
        200: {"model": JobBody, "description": "It was not finished: it is cancelled now"},
        204: {"description": "It was finished: it is deleted, with its files"},
        **documented(_UNKNOWN, _BAD_ID, _NO_REDIS),
    },
)
def cancel_or_delete(job_id: JobId, services: ServicesDep) -> JobBody | Response:
    """Cancels a queued or running job (its worker stops within two seconds); deletes a finished one."""
    if services.store.cancel(job_id):
        return job_body(_find(services, job_id), None)
    record = services.store.delete(job_id)
    if record is None:
        raise ProblemError(*_UNKNOWN)
    results = [result_key(record.id, attempt) for attempt in range(1, record.attempt + 1)]
    for key in (record.source_key, *results):
        services.storage.delete(key)
    return Response(status_code=204)


def _find(services: Services, job_id: str) -> JobRecord:
    record = services.store.get(job_id)
    if record is None:
        raise ProblemError(*_UNKNOWN)
    return record


def _no_result(record: JobRecord) -> ProblemError:
    if record.error is not None:
        return ProblemError(409, record.error.code, record.error.detail, _NO_STORE)
    if record.state is JobState.CANCELLED:
        return ProblemError(409, ErrorCode.CANCELLED, "The job was cancelled.", _NO_STORE)
    detail = f"The job is {record.state}; there is no result yet."
    headers = {**_NO_STORE, "Retry-After": _POLL_SECONDS}
    return ProblemError(409, ProblemCode.RESULT_NOT_READY, detail, headers)
