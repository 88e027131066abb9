"""`/jobs/{id}`: follow, cancel, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from sentiloc.app.access.caller import current_caller
from sentiloc.app.housekeeping.retention import delete_files
from sentiloc.app.http.etags import ETAG_HEADER, JSON_TYPE, NOT_MODIFIED, tagged
from sentiloc.app.http.problems import ProblemCode, ProblemError, documented
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.schemas.jobs import EXAMPLE_ID, JobBody, job_body
from sentiloc.app.services import Services, ServicesDep

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])

JOB_ID = "[A-Za-z0-9_-]{1,64}"
JobId = Annotated[str, Path(pattern=f"^{JOB_ID}$", examples=[EXAMPLE_ID])]

POLL_SECONDS = "1"
NO_STORE = {"Cache-Control": "no-store"}
UNKNOWN = (404, ProblemCode.JOB_NOT_FOUND, "There is no job with this id.")
BAD_ID = (422, ProblemCode.INVALID_REQUEST, "path.job_id: String should match pattern …")
NO_REDIS = (
    503,
    ProblemCode.REDIS_UNAVAILABLE,
    "The service cannot reach its job store; try again in a few seconds.",
)
_REVALIDATE = {"Cache-Control": "private, no-cache"}
_RETRY_AFTER = {"description": "Seconds to wait before asking again", "schema": {"type": "string"}}
_FOLLOWED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job as it is now", "headers": {"Retry-After": _RETRY_AFTER, **ETAG_HEADER}}
}


@router.get(
    "",
    summary="Follow a job",
    response_model=JobBody,
    responses={**_FOLLOWED, **NOT_MODIFIED, **documented(UNKNOWN, BAD_ID, NO_REDIS)},
)
async def follow(job_id: JobId, request: Request, services: ServicesDep) -> Response:
    """State, stage, progress, place in the queue, and the error if it failed."""
    return await followed(services, job_id, request)


async def followed(services: Services, job_id: str, request: Request) -> Response:
    """What `follow` answers; raises the 404 problem, and `RedisError`."""
    record, position = await services.reader.get(job_id)
    if record is None or not current_caller().may_see(record.key_id):
        raise ProblemError(*UNKNOWN)
    body = job_body(record, position if record.state is JobState.QUEUED else None)
    headers = {} if record.state.is_terminal else {"Retry-After": POLL_SECONDS}
    return tagged(request, body.model_dump_json(), JSON_TYPE, {**_REVALIDATE, **headers})


@router.post(
    "/cancel",
    summary="Cancel a job",
    responses={
        200: {"description": "The job as it is now; unchanged if it was over"},
        **documented(UNKNOWN, BAD_ID, NO_REDIS),
    },
)
def cancel(job_id: JobId, services: ServicesDep) -> JobBody:
    """Ends a queued or running job (its worker stops within two seconds). Deletes nothing, so it may be repeated."""
    find_job(services, job_id)
    services.store.cancel(job_id)
    return job_body(find_job(services, job_id), None)


@router.delete(
    "",
    summary="Cancel a job, or delete it",
    status_code=200,
    response_model=None,
    responses={
        200: {"model": JobBody, "description": "It was not finished: it is cancelled now"},
        204: {"description": "It was finished: it is deleted, with its files"},
        **documented(UNKNOWN, BAD_ID, NO_REDIS),
    },
)
def cancel_or_delete(job_id: JobId, services: ServicesDep) -> JobBody | Response:
    """Cancels a queued or running job (its worker stops within two seconds); deletes a finished one."""
    find_job(services, job_id)
    if services.store.cancel(job_id):
        return job_body(find_job(services, job_id), None)
    record = services.store.delete(job_id)
    if record is None:
        raise ProblemError(*UNKNOWN)
    delete_files(services.storage, record)
    return Response(status_code=204)


def find_job(services: Services, job_id: str) -> JobRecord:
    """The record; raises the 404 problem, for another key's job as for one that does not exist."""
    record = services.store.get(job_id)
    if record is None or not current_caller().may_see(record.key_id):
        raise ProblemError(*UNKNOWN)
    return record
