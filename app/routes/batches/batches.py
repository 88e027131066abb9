"""`/batches`: send many videos at once, follow them, cancel or delete them."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from sentiloc.app.access.caller import current_caller
from sentiloc.app.batches.record import BatchRecord, BatchState
from sentiloc.app.batches.request import BatchRequest
from sentiloc.app.housekeeping.retention import delete_with_files
from sentiloc.app.http.body import UploadStalled, parse_body, read_body
from sentiloc.app.http.cursors import InvalidCursor, decode_cursor, encode_cursor
from sentiloc.app.http.etags import ETAG_HEADER, JSON_TYPE, NOT_MODIFIED, tagged
from sentiloc.app.http.problems import (
    BodyTooLarge,
    InvalidRequest,
    ProblemCode,
    RedisUnavailable,
    TypedProblem,
    documented,
)
from sentiloc.app.jobs.checks import UnknownModel
from sentiloc.app.jobs.presence import ModelNotServed
from sentiloc.app.jobs.submit import IdempotencyConflict
from sentiloc.app.routes.deps import NO_STORE, json_body
from sentiloc.app.routes.jobs.localize import IdempotencyHeader
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.routes.uploads.deps import find_upload
from sentiloc.app.schemas.batches import (
    EXAMPLE_BATCH_ID,
    BatchBody,
    BatchListBody,
    NewBatchBody,
    batch_body,
)
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.uploads.problems import UploadBusy, UploadGone, UploadNotFound, UploadUnfinished, UploadUsed
from sentiloc.model.errors import ErrorCode

router = APIRouter(prefix="/batches", tags=["batches"])

BatchId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$", examples=[EXAMPLE_BATCH_ID])]
BAD_BATCH_ID = (
    422,
    ProblemCode.INVALID_REQUEST,
    "path.batch_id: must be an id: at most 64 letters, digits, - or _",
)
POLL_SECONDS = "2"
_REVALIDATE = {"Cache-Control": "private, no-cache"}
_MAX_PAGE = 100
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Every job is queued and survives a restart of the server.",
        "headers": {
            "Location": {"description": "The batch's path", "schema": {"type": "string"}},
            "Idempotent-Replayed": {
                "description": "`true` if the Idempotency-Key was used before: the answer is the batch that it created",
                "schema": {"type": "string"},
            },
        },
    }
}
_FOLLOWED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The batch as it is now",
        "headers": {
            "Retry-After": {
                "description": "Seconds to wait before the next poll",
                "schema": {"type": "string"},
            },
            **ETAG_HEADER,
        },
    }
}


class BatchNotFound(TypedProblem):
    """The id is unknown, or the batch belongs to another API key: the two are indistinguishable."""

    of_status = 404
    of_code = ProblemCode.BATCH_NOT_FOUND
    example = "There is no batch with this id."


def find_batch(batch_id: BatchId, services: ServicesDep) -> BatchRecord:
    """The batch of the request's path; raises `BatchNotFound`."""
    record = services.batches.get(batch_id)
    if record is None or not current_caller().may_see(record.key_id):
        raise BatchNotFound
    return record


BatchDep = Annotated[BatchRecord, Depends(find_batch)]


@router.post(
    "",
    status_code=202,
    operation_id="createBatch",
    summary="Create many jobs",
    response_model=NewBatchBody,
    openapi_extra=json_body(BatchRequest),
    responses={
        **_ACCEPTED,
        **documented(
            UploadStalled,
            UploadNotFound,
            UploadUnfinished,
            UploadBusy,
            UploadUsed,
            UploadGone,
            BodyTooLarge,
            InvalidRequest,
            UnknownModel,
            IdempotencyConflict,
            ModelNotServed,
            (422, ErrorCode.URL_FORBIDDEN, "items.3.url: The URL must begin with http:// or https://."),
            RedisUnavailable,
            STORE_DOWN,
        ),
    },
)
async def create(
    request: Request, response: Response, services: ServicesDep, idempotency_key: IdempotencyHeader = None
) -> NewBatchBody:
    """All items become jobs, or none: a problem names the first item that is wrong, as `items.3`."""
    # Without Redis nothing can be recorded, so refuse before receiving a large body.
    await services.shared.ask(("PING",))
    settings = services.settings
    body = await read_body(request, settings.max_batch_bytes, settings.upload_idle_seconds)
    made, is_new = await to_thread.run_sync(
        _create, services, body, idempotency_key, limiter=services.batch_limiter
    )
    if not is_new:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = made.links.self
    response.headers.update(NO_STORE)
    return made


def _create(services: Services, body: bytes, key: str | None) -> tuple[NewBatchBody, bool]:
    asked = parse_body(BatchRequest, body)
    record, is_new = services.batch_intake.accept(asked, key, partial(find_upload, services))
    shown = batch_body(record, services.batches.counts(record.id))
    return NewBatchBody(**dict(shown), job_ids=services.batches.job_ids(record.id)), is_new


@router.get(
    "",
    operation_id="listBatches",
    summary="List batches",
    responses=documented(
        (422, ProblemCode.INVALID_REQUEST, "query.limit: must be at most 100"),
        InvalidCursor,
        RedisUnavailable,
    ),
)
def list_batches(
    services: ServicesDep,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> BatchListBody:
    """Newest first. Continue with `next_cursor` until it is null."""
    response.headers.update(NO_STORE)
    found = services.batches.newest(limit, None if cursor is None else _decode(cursor))
    bodies = [batch_body(record, services.batches.counts(record.id)) for record in found]
    more = encode_cursor(repr(found[-1].created_at)) if len(found) == limit else None
    return BatchListBody(batches=bodies, next_cursor=more)


@router.get(
    "/{batch_id}",
    operation_id="getBatch",
    summary="Get a batch's progress",
    response_model=BatchBody,
    responses={**_FOLLOWED, **NOT_MODIFIED, **documented(BatchNotFound, BAD_BATCH_ID, RedisUnavailable)},
)
def follow(record: BatchDep, request: Request, services: ServicesDep) -> Response:
    """The number of its jobs in each state."""
    body = batch_body(record, services.batches.counts(record.id))
    headers = {} if body.state is BatchState.FINISHED else {"Retry-After": POLL_SECONDS}
    return tagged(request, body.model_dump_json(), JSON_TYPE, {**_REVALIDATE, **headers})


@router.post(
    "/{batch_id}/cancel",
    operation_id="cancelBatch",
    summary="Cancel a batch",
    responses=documented(BatchNotFound, BAD_BATCH_ID, RedisUnavailable),
)
def cancel(record: BatchDep, services: ServicesDep) -> BatchBody:
    """Cancels every job that has not ended. Deletes nothing and may be repeated."""
    _cancel_jobs(services, record)
    return _now(services, record)


@router.delete(
    "/{batch_id}",
    operation_id="deleteBatch",
    summary="Cancel or delete a batch",
    status_code=200,
    response_model=None,
    responses={
        200: {"model": BatchBody, "description": "Some jobs had not ended: they are cancelled now"},
        204: {"description": "Every job had ended: the batch and its jobs are deleted with their files"},
        **documented(BatchNotFound, BAD_BATCH_ID, RedisUnavailable, STORE_DOWN),
    },
)
def cancel_or_delete(record: BatchDep, services: ServicesDep) -> BatchBody | Response:
    """Cancels the jobs that have not ended. If all had ended, deletes them and the batch."""
    if _cancel_jobs(services, record):
        return _now(services, record)
    delete_with_files(services.store, services.storage, services.batches.job_ids(record.id))
    # Last: if a deletion fails, the batch stays and the request can be repeated.
    services.batches.forget(record)
    return Response(status_code=204)


def _cancel_jobs(services: Services, record: BatchRecord) -> int:
    """Cancel the jobs that have not ended; returns their number."""
    return sum(services.store.cancel_many(services.batches.job_ids(record.id)))


def _now(services: Services, record: BatchRecord) -> BatchBody:
    found = services.batches.get(record.id)
    if found is None:
        raise BatchNotFound
    return batch_body(found, services.batches.counts(found.id))


def _decode(cursor: str) -> float:
    try:
        at = float(decode_cursor(cursor))
    except ValueError as error:
        raise InvalidCursor from error
    # float() also reads "nan" and "inf".
    if not math.isfinite(at):
        raise InvalidCursor
    return at
