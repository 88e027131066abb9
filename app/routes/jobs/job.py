"""`/jobs/{id}`: status, cancellation, deletion."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from sentiloc.app.housekeeping.retention import delete_with_files
from sentiloc.app.http.etags import ETAG_HEADER, JSON_TYPE, NOT_MODIFIED, tagged
from sentiloc.app.http.problems import RedisUnavailable, documented
from sentiloc.app.jobs.record import JobState
from sentiloc.app.routes.deps import BAD_ID, POLL_SECONDS, JobDep, JobId, JobNotFound, reload, visible
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.schemas.jobs import JobBody, job_body
from sentiloc.app.services import Services, ServicesDep

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])

_REVALIDATE = {"Cache-Control": "private, no-cache"}
_RETRY_AFTER = {"description": "Seconds to wait before the next poll", "schema": {"type": "string"}}
_FOLLOWED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job as it is now", "headers": {"Retry-After": _RETRY_AFTER, **ETAG_HEADER}}
}


@router.get(
    "",
    summary="Get a job's status",
    operation_id="getJob",
    response_model=JobBody,
    responses={**_FOLLOWED, **NOT_MODIFIED, **documented(JobNotFound, BAD_ID, RedisUnavailable)},
)
async def follow(job_id: JobId, request: Request, services: ServicesDep) -> Response:
    """State, stage, progress, position in the queue, and the error of a failed job."""
    return await job_status(services, job_id, request)


async def job_status(services: Services, job_id: str, request: Request) -> Response:
    """The answer of `GET /jobs/{id}`; raises `JobNotFound` and `redis.RedisError`."""
    found, position = await services.reader.get(job_id)
    record = visible(found)
    # The record and the place are read one after the other: a job claimed in between may still have a place.
    body = job_body(record, position if record.state is JobState.QUEUED else None)
    headers = {} if record.state.is_terminal else {"Retry-After": POLL_SECONDS}
    return tagged(request, body.model_dump_json(), JSON_TYPE, {**_REVALIDATE, **headers})


@router.post(
    "/cancel",
    summary="Cancel a job",
    operation_id="cancelJob",
    responses={
        200: {"description": "The job as it is now; unchanged if it had ended"},
        **documented(JobNotFound, BAD_ID, RedisUnavailable),
    },
)
def cancel(record: JobDep, services: ServicesDep) -> JobBody:
    """Ends a queued or running job; its worker stops within two seconds. Deletes nothing and may be repeated."""
    services.store.cancel(record.id)
    return job_body(reload(services, record.id), None)


@router.delete(
    "",
    summary="Cancel or delete a job",
    operation_id="deleteJob",
    status_code=200,
    response_model=None,
    responses={
        200: {"model": JobBody, "description": "The job had not ended: it is cancelled now"},
        204: {"description": "The job had ended: it is deleted with its files"},
        **documented(JobNotFound, BAD_ID, RedisUnavailable, STORE_DOWN),
    },
)
def cancel_or_delete(record: JobDep, services: ServicesDep) -> JobBody | Response:
    """Cancels a queued or running job; its worker stops within two seconds. Deletes a job that has ended."""
    # Cancelled or already ended is decided by Redis: a worker may finish the job at this moment.
    if services.store.cancel(record.id):
        return job_body(reload(services, record.id), None)
    if not delete_with_files(services.store, services.storage, [record.id]):
        raise JobNotFound
    return Response(status_code=204)
