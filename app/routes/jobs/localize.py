"""`POST /localize`, `/localize/url`, `/localize/upload`: create a job from a form, a URL, or an upload."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.address import address
from sentiloc.app.http.body import UploadCutOff, UploadStalled, parse_body, read_body
from sentiloc.app.http.lifecycle import Deprecation
from sentiloc.app.http.multipart import (
    MalformedMultipart,
    MissingField,
    NotMultipart,
    UnexpectedField,
    UploadTooLarge,
)
from sentiloc.app.http.problems import (
    BodyTooLarge,
    InvalidRequest,
    ProblemError,
    RedisUnavailable,
    documented,
)
from sentiloc.app.jobs.checks import UnknownModel, require_possible
from sentiloc.app.jobs.idempotency import IdempotencyKey, make_key
from sentiloc.app.jobs.presence import ModelNotServed
from sentiloc.app.jobs.record import JobRecord, NewJob
from sentiloc.app.jobs.request import MAX_REQUEST_BYTES, LocalizeRequest, UploadRequest, UrlRequest
from sentiloc.app.jobs.submit import IdempotencyConflict
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.routes.deps import accepted, json_body
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.routes.uploads.deps import find_upload
from sentiloc.app.schemas.jobs import JobBody
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.uploads.form import receive_video
from sentiloc.app.uploads.problems import (
    EmptyVideo,
    UploadBusy,
    UploadElsewhere,
    UploadGone,
    UploadNotFound,
    UploadUnfinished,
    UploadUsed,
)
from sentiloc.model.errors import ErrorCode, SentilocError

router = APIRouter(tags=["jobs"])

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["video"],
                    "additionalProperties": False,
                    "properties": {
                        "video": {
                            "type": "string",
                            "format": "binary",
                            "description": "mp4, mov, webm, mkv, avi or ts. The content decides, not the name.",
                        },
                        "options": {
                            "$ref": "#/components/schemas/JobOptions",
                            "description": "One JSON object of at most 16 KiB; optional",
                        },
                    },
                },
                "encoding": {"options": {"contentType": "application/json"}},
            },
        },
    }
}

_LOCATION = {
    "Location": {"description": "The job's path", "required": True, "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` if the Idempotency-Key was used before: the answer is the job that it created",
        "schema": {"type": "string"},
    },
}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The job is queued and survives a restart of the server.",
        "headers": _LOCATION,
    }
}
IdempotencyHeader = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Your own key, such as a UUID. The same request with the same key returns the same job.",
    ),
]
_URL_FORBIDDEN = (
    422,
    ErrorCode.URL_FORBIDDEN,
    "The URL leads to an address that this server does not connect to.",
)
_COMMON = (
    UploadCutOff,
    UploadStalled,
    InvalidRequest,
    UnknownModel,
    IdempotencyConflict,
    ModelNotServed,
    RedisUnavailable,
)
_FORM_PROBLEMS = documented(
    *_COMMON,
    MalformedMultipart,
    UploadTooLarge,
    NotMultipart,
    MissingField,
    UnexpectedField,
    EmptyVideo,
    _URL_FORBIDDEN,
    (507, ErrorCode.STORAGE_FULL, "The server's storage is full."),
    STORE_DOWN,
)
_URL_PROBLEMS = documented(*_COMMON, BodyTooLarge, _URL_FORBIDDEN)
_UPLOAD_PROBLEMS = documented(
    *_COMMON,
    BodyTooLarge,
    _URL_FORBIDDEN,
    UploadNotFound,
    UploadElsewhere,
    UploadUnfinished,
    UploadBusy,
    UploadUsed,
    STORE_DOWN,
    UploadGone,
)
_JSON_SINCE = datetime(2026, 11, 29, tzinfo=UTC)


@router.post(
    "/localize",
    status_code=202,
    summary="Create a job from a video",
    operation_id="localizeVideo",
    responses={**ACCEPTED, **_FORM_PROBLEMS},
    openapi_extra=_FORM,
)
async def localize(
    request: Request, response: Response, services: ServicesDep, idempotency_key: IdempotencyHeader = None
) -> JobBody:
    """The video is streamed to storage under a generated name. Options may come before or after it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        # Release 1.0 accepted URLs and uploads here, too. It still works, but client generators cannot express it.
        notice = Deprecation(since=_JSON_SINCE, successor=address("/localize/url"))
        response.headers.update(notice.headers())
        return await _localize_json(LocalizeRequest, request, response, services, idempotency_key)
    # Without Redis nothing can be recorded, so refuse before receiving a large body.
    await services.shared.ask(("PING",))
    asked = (request, services.storage, services.settings, idempotency_key)
    is_known = await to_thread.run_sync(_is_known, services, idempotency_key)
    job = await receive_video(*asked, partial(_seen_or_possible, services), is_known=is_known)
    if isinstance(job, JobRecord):
        return await accepted(response, services, job, is_new=False)
    record = await to_thread.run_sync(services.submitter.submit_with_video, job, services.storage)
    return await accepted(response, services, record, is_new=record.id == job.id)


@router.post(
    "/localize/url",
    status_code=202,
    summary="Create a job from a video at a URL",
    operation_id="localizeUrl",
    responses={**ACCEPTED, **_URL_PROBLEMS},
    openapi_extra=json_body(UrlRequest),
)
async def localize_url(
    request: Request, response: Response, services: ServicesDep, idempotency_key: IdempotencyHeader = None
) -> JobBody:
    """A worker fetches the video as the first stage of the job. Redirects are not followed."""
    return await _localize_json(UrlRequest, request, response, services, idempotency_key)


@router.post(
    "/localize/upload",
    status_code=202,
    summary="Create a job from a complete upload",
    operation_id="localizeUpload",
    responses={**ACCEPTED, **_UPLOAD_PROBLEMS},
    openapi_extra=json_body(UploadRequest),
)
async def localize_upload(
    request: Request, response: Response, services: ServicesDep, idempotency_key: IdempotencyHeader = None
) -> JobBody:
    """An upload under `/v1/uploads` has one job at most. The same request again returns that job."""
    return await _localize_json(UploadRequest, request, response, services, idempotency_key)


def _is_known(services: Services, key_text: str | None) -> bool:
    """Whether an idempotency key has a job of the caller, perhaps of a request with another video."""
    return bool(key_text) and services.submitter.is_known(key_text or "", current_caller().key_id)


def _seen_or_possible(services: Services, job: NewJob) -> JobRecord | None:
    """The job of an earlier request with the same key; without one, raise for options that cannot succeed."""
    # In this order: a repeated request gets its job even if models or settings have changed since.
    seen = services.submitter.seen(job.idempotency, job.key_id)
    if seen is None:
        require_possible(job.options, services.settings)
    return seen


async def _localize_json(
    model: type[UrlRequest | UploadRequest | LocalizeRequest],
    request: Request,
    response: Response,
    services: Services,
    key: str | None,
) -> JobBody:
    """The job that a JSON body asks for."""
    body = await read_body(request, MAX_REQUEST_BYTES, services.settings.upload_idle_seconds)
    asked = parse_body(model, body).source()
    record, is_new = await to_thread.run_sync(_submit, services, asked, key)
    return await accepted(response, services, record, is_new=is_new)


def _submit(services: Services, asked: LocalizeRequest, key_text: str | None) -> tuple[JobRecord, bool]:
    """The job, and whether this request created it."""
    key = make_key(key_text, asked.digest(), services.settings.idempotency_seconds)
    # Before the checks: a repeated request gets its job even if options or workers have changed since.
    seen = services.submitter.seen(key, current_caller().key_id)
    if seen is not None:
        return seen, False
    require_possible(asked.options, services.settings)
    if asked.upload is None:
        return _of_url(services, asked, key)
    return services.upload_jobs.localize(find_upload(services, asked.upload), asked.options, key)


def _of_url(services: Services, asked: LocalizeRequest, key: IdempotencyKey | None) -> tuple[JobRecord, bool]:
    try:
        url = Outbound(services.settings.outbound_allow).check(asked.url or "")
    except SentilocError as error:
        raise ProblemError(422, error.code, error.detail) from error
    job = asked.new_job(url, services.settings.model, key)
    record = services.submitter.submit(job)
    # Two equal requests may arrive at once; Redis lets one of them win.
    return record, record.id == job.id
