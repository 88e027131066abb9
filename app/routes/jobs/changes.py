"""`PATCH /jobs/{id}` and `POST /jobs/{id}/rerun`: rename or tag a job, and localize its video again."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from sentiloc.app.http.body import UploadCutOff, UploadStalled, parse_body, read_body
from sentiloc.app.http.problems import (
    BodyTooLarge,
    InvalidRequest,
    ProblemCode,
    RedisUnavailable,
    documented,
)
from sentiloc.app.jobs.changes import JobChanges, apply_changes
from sentiloc.app.jobs.checks import UnknownModel
from sentiloc.app.jobs.presence import ModelNotServed
from sentiloc.app.jobs.request import MAX_REQUEST_BYTES
from sentiloc.app.jobs.rerun import RerunRequest
from sentiloc.app.jobs.submit import IdempotencyConflict
from sentiloc.app.routes.deps import BAD_ID, JobDep, JobNotFound, accepted, json_body, reload
from sentiloc.app.routes.jobs.localize import ACCEPTED, IdempotencyHeader
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.schemas.jobs import JobBody, job_body
from sentiloc.app.services import ServicesDep
from sentiloc.model.errors import ErrorCode

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])


@router.patch(
    "",
    operation_id="updateJob",
    summary="Change a job's name, metadata and tags",
    openapi_extra=json_body(JobChanges),
    responses=documented(
        JobNotFound,
        BodyTooLarge,
        UploadStalled,
        UploadCutOff,
        (422, ProblemCode.INVALID_REQUEST, "tags: has more than 20 tags"),
        BAD_ID,
        RedisUnavailable,
    ),
)
async def update(record: JobDep, request: Request, services: ServicesDep) -> JobBody:
    """A JSON merge patch (RFC 7396): fields that are left out stay, null removes. Possible in every state."""
    body = await read_body(request, MAX_REQUEST_BYTES, services.settings.upload_idle_seconds)
    changes = parse_body(JobChanges, body)
    if not await to_thread.run_sync(apply_changes, services.store, record.id, changes):
        raise JobNotFound
    # Read again, because a worker may have changed the job meanwhile.
    changed = await to_thread.run_sync(reload, services, record.id)
    return job_body(changed, (await services.reader.get(record.id))[1])


@router.post(
    "/rerun",
    status_code=202,
    operation_id="rerunJob",
    summary="Localize a job's video again",
    openapi_extra=json_body(RerunRequest, required=False),
    responses={
        **ACCEPTED,
        **documented(
            JobNotFound,
            (410, ErrorCode.SOURCE_MISSING, "The video is no longer stored."),
            BodyTooLarge,
            UploadStalled,
            UploadCutOff,
            InvalidRequest,
            UnknownModel,
            IdempotencyConflict,
            ModelNotServed,
            (
                422,
                ErrorCode.URL_FORBIDDEN,
                "options.webhook.url: The URL must begin with http:// or https://.",
            ),
            STORE_DOWN,
            RedisUnavailable,
            (507, ErrorCode.STORAGE_FULL, "The server's storage is full."),
        ),
    },
)
async def rerun(
    record: JobDep,
    request: Request,
    response: Response,
    services: ServicesDep,
    idempotency_key: IdempotencyHeader = None,
) -> JobBody:
    """Creates a new job for the same video with other options or another model. Nothing is uploaded again."""
    body = await read_body(request, MAX_REQUEST_BYTES, services.settings.upload_idle_seconds)
    # An empty body is a plain rerun with the job's own options.
    asked = parse_body(RerunRequest, body) if body else RerunRequest()
    job, is_new = await to_thread.run_sync(services.rerunner.rerun, record, asked, idempotency_key)
    return await accepted(response, services, job, is_new=is_new)
