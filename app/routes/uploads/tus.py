"""`/uploads`: resumable uploads with the protocol tus 1.0.0."""

from __future__ import annotations

import time
from contextlib import suppress

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Request, Response

from sentiloc.app.access.caller import current_caller
from sentiloc.app.access.key_limits import KeyLimitReached, StorageQuotaExceeded
from sentiloc.app.http.address import address
from sentiloc.app.http.file_names import display_name
from sentiloc.app.http.multipart import MAX_OPTIONS_BYTES, UploadTooLarge
from sentiloc.app.http.problems import (
    InvalidRequest,
    RedisUnavailable,
    documented,
)
from sentiloc.app.jobs.checks import check_options
from sentiloc.app.jobs.presence import ModelNotServed, require_served
from sentiloc.app.jobs.record import new_job_id
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.routes.uploads.deps import UploadId, find_upload, new_upload
from sentiloc.app.routes.uploads.tus_document import (
    BAD_ID,
    CHECKED,
    CHUNK,
    CHUNK_PROBLEMS,
    NEW_PROBLEMS,
    RESUMABLE,
    STATE_HEADERS,
    header,
    header_parameters,
)
from sentiloc.app.schemas.base import moment
from sentiloc.app.schemas.uploads import UploadBody
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.uploads import tus
from sentiloc.app.uploads.problems import (
    EmptyVideo,
    InvalidTusHeader,
    OffsetMismatch,
    TooManyUploads,
    UploadBusy,
    UploadComplete,
    UploadElsewhere,
    UploadGone,
    UploadNotFound,
    UploadUsed,
)
from sentiloc.app.uploads.record import UploadRecord, UploadState
from sentiloc.model.errors import SentilocError

router = APIRouter(prefix="/uploads", tags=["uploads"])


@router.options(
    "",
    status_code=204,
    summary="Get the capabilities of resumable uploads",
    operation_id="getUploadCapabilities",
)
def capabilities(services: ServicesDep) -> Response:
    """The version and the extensions of tus that the server supports, in headers."""
    headers = {
        "Tus-Resumable": tus.VERSION,
        "Tus-Version": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(tus.CHECKSUMS),
        "Tus-Max-Size": str(services.settings.max_upload_bytes),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "",
    status_code=201,
    response_class=Response,
    summary="Create a resumable upload",
    operation_id="createUpload",
    responses={
        201: {
            "description": "The upload is created, with its first chunk if one was sent",
            "headers": {"Location": header("The upload's path"), **STATE_HEADERS},
        },
        **documented(*CHUNK_PROBLEMS, *NEW_PROBLEMS, TooManyUploads, ModelNotServed, RedisUnavailable),
    },
    openapi_extra={
        "requestBody": CHUNK,
        "parameters": header_parameters(
            RESUMABLE,
            ("Upload-Length", False, "Bytes of the video"),
            ("Upload-Defer-Length", False, "`1`: the length follows with a later chunk"),
            (
                "Upload-Metadata",
                False,
                "`filename`, and `localize` with job options as JSON: the job is then created when all bytes are there",
            ),
            CHECKED,
        ),
    },
)
async def create(request: Request, services: ServicesDep) -> Response:
    """A body is the first chunk. Without `localize` in the metadata, `POST /v1/localize/upload` creates the job."""
    headers = request.headers
    tus.require_version(headers)
    tus.refuse_concatenation(headers)
    # A body of unknown length is sent in chunks, without Content-Length.
    has_chunk = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if has_chunk:
        tus.require_chunk(headers)
    checksum = tus.read_checksum(headers)
    record = await to_thread.run_sync(_create, services, request)
    offset = 0
    if has_chunk:
        record, offset = await services.upload_writer.receive(request, record, 0, checksum)
    job = await to_thread.run_sync(_job_of, services, record)
    location = {"Location": address(f"/uploads/{record.id}")}
    return Response(status_code=201, headers={**tus.upload_headers(record, offset), **location, **job})


def _create(services: Services, request: Request) -> UploadRecord:
    length, metadata = tus.read_length(request.headers), tus.read_metadata(request.headers)
    settings = services.settings
    if (length or 0) > settings.max_upload_bytes:
        raise UploadTooLarge(settings.max_upload_bytes)
    if length == 0:
        raise EmptyVideo
    asked = metadata.get("localize")
    if len(asked or b"") > MAX_OPTIONS_BYTES:
        raise InvalidRequest(f"The options in `Upload-Metadata` are larger than {MAX_OPTIONS_BYTES} bytes.")
    options = None
    if asked is not None:
        wanted = check_options(asked, settings)
        # Better before the upload than after it.
        require_served(services.store.redis, services.store.prefix, wanted.model_name or settings.model)
        options = wanted.canonical()
    now = time.time()
    record = UploadRecord(
        id=new_job_id(),
        state=UploadState.OPEN,
        key_id=current_caller().key_id,
        name=display_name((metadata.get("filename") or metadata.get("name") or b"").decode(errors="replace")),
        metadata=request.headers.get("upload-metadata", ""),
        length=length,
        options=options,
        created_at=now,
        expires_at=now + settings.upload_expiry_seconds,
    )
    return new_upload(services, record)


@router.head(
    "/{upload_id}",
    response_class=Response,
    summary="Get the offset of an upload",
    operation_id="getUploadOffset",
    responses={
        200: {"description": "The offset, in headers", "headers": STATE_HEADERS},
        **documented(
            *(UploadNotFound, UploadGone, UploadElsewhere, tus.UnsupportedVersion, BAD_ID),
            *(RedisUnavailable, STORE_DOWN, StorageQuotaExceeded),
        ),
    },
    openapi_extra={"parameters": header_parameters(RESUMABLE)},
)
def offset_of(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """The offset at which the next chunk begins."""
    tus.require_version(request.headers)
    record = services.uploads.settle(find_upload(services, upload_id))
    headers = tus.upload_headers(record, services.uploads.offset(record))
    if record.length is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(record.length)
    if record.metadata:
        headers["Upload-Metadata"] = record.metadata
    return Response(status_code=200, headers={**headers, **_job_of(services, record)})


@router.get(
    "/{upload_id}",
    summary="Get an upload",
    operation_id="getUpload",
    responses=documented(
        *(
            UploadNotFound,
            UploadGone,
            UploadElsewhere,
            BAD_ID,
            RedisUnavailable,
            STORE_DOWN,
            StorageQuotaExceeded,
        )
    ),
)
def look(upload_id: UploadId, services: ServicesDep) -> UploadBody:
    """The state of the upload as JSON, for programs without a tus client."""
    record = services.uploads.settle(find_upload(services, upload_id))
    job = _job_of(services, record).get("Sentiloc-Job")
    return UploadBody(
        id=record.id,
        state=UploadState.USED if job else record.state,
        offset=services.uploads.offset(record),
        length=record.length,
        name=record.name,
        expires_at=moment(record.expires_at),
        job=job,
    )


@router.patch(
    "/{upload_id}",
    status_code=204,
    summary="Send the next chunk of an upload",
    operation_id="sendUploadChunk",
    responses={
        204: {"description": "The chunk is stored durably", "headers": STATE_HEADERS},
        **documented(
            *CHUNK_PROBLEMS,
            OffsetMismatch,
            UploadNotFound,
            UploadGone,
            UploadElsewhere,
            BAD_ID,
            RedisUnavailable,
        ),
    },
    openapi_extra={
        "requestBody": CHUNK,
        "parameters": header_parameters(
            RESUMABLE,
            ("Upload-Offset", True, "Where the chunk begins: the number of bytes that the server has"),
            ("Upload-Length", False, "The length, once, if it was deferred"),
            CHECKED,
        ),
    },
)
async def append(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """Bytes that arrived before a connection broke are kept, except with a checksum."""
    headers = request.headers
    tus.require_version(headers)
    tus.require_chunk(headers)
    offset, checksum = tus.read_number(headers, "Upload-Offset"), tus.read_checksum(headers)
    if offset is None:
        raise InvalidTusHeader("Send `Upload-Offset`, the number of bytes that the server has.")
    record = await to_thread.run_sync(find_upload, services, upload_id)
    if record.state is not UploadState.OPEN:
        raise UploadComplete(record.length)
    record = await to_thread.run_sync(
        _with_length, services, record, tus.read_number(headers, "Upload-Length")
    )
    record, offset = await services.upload_writer.receive(request, record, offset, checksum)
    job = await to_thread.run_sync(_job_of, services, record)
    return Response(status_code=204, headers={**tus.upload_headers(record, offset), **job})


def _with_length(services: Services, record: UploadRecord, length: int | None) -> UploadRecord:
    if length is None or length == record.length:
        return record
    # tus: a deferred length may be set once.
    if record.length is not None or length < max(1, services.uploads.offset(record)):
        raise InvalidTusHeader("`Upload-Length` is known already, or smaller than what the server has.")
    if length > services.settings.max_upload_bytes:
        raise UploadTooLarge(services.settings.max_upload_bytes)
    return services.uploads.set_length(record, length)


@router.delete(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    summary="End an upload",
    operation_id="deleteUpload",
    responses=documented(
        *(
            UploadNotFound,
            UploadGone,
            UploadUsed,
            UploadBusy,
            tus.UnsupportedVersion,
            BAD_ID,
            RedisUnavailable,
            STORE_DOWN,
        )
    ),
    openapi_extra={"parameters": header_parameters(RESUMABLE)},
)
async def terminate(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """Removes the bytes that have arrived. The video of an upload that has a job is deleted with the job."""
    tus.require_version(request.headers)
    record = await to_thread.run_sync(find_upload, services, upload_id)
    if record.state is UploadState.USED:
        raise UploadUsed("This upload has a job. Cancel or delete the job instead.")
    if record.state is UploadState.OPEN and not record.presigned:
        is_ended = await services.upload_writer.end(record)
    else:
        is_ended = await to_thread.run_sync(services.uploads.end, record)
    # A job may have been created since the record was read.
    if not is_ended:
        raise UploadUsed("This upload has a job. Cancel or delete the job instead.")
    return Response(status_code=204, headers={"Tus-Resumable": tus.VERSION})


@router.post("/{upload_id}", include_in_schema=False)
async def overridden(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """`X-HTTP-Method-Override` of tus, for clients in networks that block PATCH and DELETE."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await append(upload_id, request, services)
    if method == "DELETE":
        return await terminate(upload_id, request, services)
    # Its handler adds `Allow`.
    raise HTTPException(405)


def _job_of(services: Services, record: UploadRecord) -> dict[str, str]:
    """A header with the path of the upload's job, if any. A job that was requested in advance is created here.

    If it cannot be created now (no worker can run its model any more, the key's queue is full, or the storage does not
    answer), the sweep creates it later. The bytes are stored in either case.
    """
    job = None
    # UploadUsed: the client has asked for another job since the record was read.
    with suppress(ModelNotServed, KeyLimitReached, UploadUsed, SentilocError):
        job = services.upload_jobs.begin_by_itself(record)
    job = job or services.submitter.find(record.id)
    return {"Sentiloc-Job": address(f"/jobs/{job.id}")} if job else {}
