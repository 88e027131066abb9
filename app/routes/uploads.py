"""`/uploads`: resumable uploads by tus 1.0.0, for any client of that protocol."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from pydantic import ConfigDict, Field

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.multipart import MAX_OPTIONS_BYTES, display_name, too_large
from sentiloc.app.http.problems import ProblemCode, ProblemError, documented
from sentiloc.app.jobs.options import check_options
from sentiloc.app.jobs.record import new_job_id
from sentiloc.app.routes.jobs import NO_REDIS
from sentiloc.app.schemas.base import Body
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.uploads import tus
from sentiloc.app.uploads.jobs import GONE, USED
from sentiloc.app.uploads.record import UploadRecord, UploadState
from sentiloc.app.uploads.writer import BUSY, CHECKSUM, OFFSET
from sentiloc.model.errors import ErrorCode

router = APIRouter(prefix="/uploads", tags=["uploads"])

EXAMPLE_ID = "b1kT0Vt8Qm2c9sZr5yXw4A"
UploadId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=[EXAMPLE_ID])]

UNKNOWN = (404, ProblemCode.UPLOAD_NOT_FOUND, "There is no upload with this id.")
FULL = (507, ErrorCode.STORAGE_FULL, "The server's storage is full.")
_BAD_ID = (422, ProblemCode.INVALID_REQUEST, "path.upload_id: String should match pattern …")
_BAD_HEADER = (
    400,
    ProblemCode.INVALID_TUS_HEADER,
    "Send either `Upload-Length` or `Upload-Defer-Length: 1`.",
)
_CUT_OFF = (400, ProblemCode.UPLOAD_INCOMPLETE, "The upload was cut off.")
_STALLED = (408, ProblemCode.UPLOAD_TIMEOUT, "The upload sent nothing for 30 seconds.")
_TOO_LARGE = (
    413,
    ProblemCode.UPLOAD_TOO_LARGE,
    "The video is larger than 2147483648 bytes, which is the most …",
)
_VERSION = (
    412,
    ProblemCode.TUS_VERSION,
    "Send `Tus-Resumable: 1.0.0`: this server speaks no other version …",
)
_NO_PIECE = (
    415,
    ProblemCode.NOT_A_PIECE,
    "Send the bytes with `Content-Type: application/offset+octet-stream`.",
)
MANY = (503, ProblemCode.TOO_MANY_UPLOADS, "Too many uploads are under way; try again later.")
_NEW_PROBLEMS = (
    (422, ErrorCode.EMPTY_FILE, "The video is an empty file."),
    (422, ProblemCode.INVALID_REQUEST, "options.threshold: Input should be less than or equal to 1"),
    (422, ProblemCode.UNKNOWN_MODEL, "There is no model 'x'; `GET /models` lists those that there are."),
)
_PIECE_PROBLEMS = (_BAD_HEADER, _CUT_OFF, _STALLED, _TOO_LARGE, _VERSION, _NO_PIECE, BUSY, CHECKSUM, FULL)


def _header(text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "string"}}


def _asked(*names: tuple[str, bool, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": needed, "description": text, "schema": {"type": "string"}}
        for name, needed, text in names
    ]


_RESUMABLE = ("Tus-Resumable", True, "`1.0.0`")
_CHECKED = ("Upload-Checksum", False, "`sha1` or `sha256`, a space, and the piece's hash in base64")
_STATE_HEADERS = {
    "Upload-Offset": _header("Bytes that the server has"),
    "Upload-Expires": _header("When the upload is removed if nothing more comes"),
    "Sentiloc-Job": _header("The path of the job, once the upload has one"),
    "Tus-Resumable": _header("`1.0.0`"),
}
_PIECE = {"content": {tus.PIECE_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


class UploadBody(Body):
    """An upload as a client sees it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE_ID,
                    "state": "open",
                    "offset": 1048576,
                    "length": 209715200,
                    "name": "holiday.mp4",
                    "expires_at": "2026-02-01T12:00:00Z",
                    "job": None,
                }
            ]
        },
    )

    id: str
    state: UploadState = Field(description="`open` takes bytes, `complete` waits for its job, `used` has one")
    offset: int = Field(ge=0, description="Bytes that the server has")
    length: int | None = Field(description="Bytes that the video has; null until the client says it")
    name: str
    expires_at: datetime = Field(description="When it is removed; later when more comes in")
    job: str | None = Field(description="The job's path, once it has one")


@router.options("", status_code=204, summary="Ask what resumable uploads can do here")
def capabilities(services: ServicesDep) -> Response:
    """The server's part of tus 1.0.0, in headers."""
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
    summary="Begin a resumable upload",
    responses={
        201: {
            "description": "The upload may begin; it may hold the first piece already",
            "headers": {"Location": _header("The upload's path"), **_STATE_HEADERS},
        },
        **documented(*_PIECE_PROBLEMS, *_NEW_PROBLEMS, MANY, NO_REDIS),
    },
    openapi_extra={
        "requestBody": _PIECE,
        "parameters": _asked(
            _RESUMABLE,
            ("Upload-Length", False, "Bytes of the video"),
            ("Upload-Defer-Length", False, "`1`: the length comes with a later piece"),
            (
                "Upload-Metadata",
                False,
                "`filename`, and `localize` with options as JSON: then the job begins when all bytes are there",
            ),
            _CHECKED,
        ),
    },
)
async def create(request: Request, services: ServicesDep) -> Response:
    """Creates an upload; a body is its first piece. Without `localize`, `POST /localize` makes the job of it."""
    headers = request.headers
    tus.require_version(headers)
    has_piece = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if has_piece:
        tus.require_piece(headers)
    checksum = tus.read_checksum(headers)
    record = await to_thread.run_sync(_create, services, request)
    offset = 0
    if has_piece:
        record, offset = await services.upload_writer.receive(request, record, 0, checksum)
    job = await to_thread.run_sync(_job_of, services, record)
    location = {"Location": f"/uploads/{record.id}"}
    return Response(status_code=201, headers={**tus.upload_headers(record, offset), **location, **job})


def _create(services: Services, request: Request) -> UploadRecord:
    length, metadata = tus.read_length(request.headers), tus.read_metadata(request.headers)
    settings = services.settings
    if (length or 0) > settings.max_upload_bytes:
        raise too_large(settings.max_upload_bytes)
    if length == 0:
        raise ProblemError(422, ErrorCode.EMPTY_FILE, "The video is an empty file.")
    wishes = metadata.get("localize")
    if len(wishes or b"") > MAX_OPTIONS_BYTES:
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, f"The options exceed {MAX_OPTIONS_BYTES} bytes.")
    options = None if wishes is None else check_options(wishes, settings).canonical()
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
    summary="Ask how far an upload is",
    responses={
        200: {"description": "In headers", "headers": _STATE_HEADERS},
        **documented(UNKNOWN, GONE, _VERSION, _BAD_ID, NO_REDIS),
    },
    openapi_extra={"parameters": _asked(_RESUMABLE)},
)
def offset_of(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """Where to go on."""
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
    "/{upload_id}", summary="Look at an upload", responses=documented(UNKNOWN, GONE, _BAD_ID, NO_REDIS)
)
def look(upload_id: UploadId, services: ServicesDep) -> UploadBody:
    """How far it is, for programs that speak no tus."""
    record = services.uploads.settle(find_upload(services, upload_id))
    job = _job_of(services, record).get("Sentiloc-Job")
    return UploadBody(
        id=record.id,
        state=UploadState.USED if job else record.state,
        offset=services.uploads.offset(record),
        length=record.length,
        name=record.name,
        expires_at=datetime.fromtimestamp(record.expires_at, UTC),
        job=job,
    )


@router.patch(
    "/{upload_id}",
    status_code=204,
    summary="Send the next piece of an upload",
    responses={
        204: {"description": "The server has the piece for good", "headers": _STATE_HEADERS},
        **documented(*_PIECE_PROBLEMS, OFFSET, UNKNOWN, GONE, _BAD_ID, NO_REDIS),
    },
    openapi_extra={
        "requestBody": _PIECE,
        "parameters": _asked(
            _RESUMABLE,
            ("Upload-Offset", True, "Where the piece begins: what the server has so far"),
            ("Upload-Length", False, "Once, if it was deferred"),
            _CHECKED,
        ),
    },
)
async def append(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """Bytes that came before a connection broke are kept, unless they have a checksum."""
    headers = request.headers
    tus.require_version(headers)
    tus.require_piece(headers)
    offset, checksum = tus.read_number(headers, "Upload-Offset"), tus.read_checksum(headers)
    if offset is None:
        raise ProblemError(400, ProblemCode.INVALID_TUS_HEADER, "Send `Upload-Offset`.")
    record = await to_thread.run_sync(find_upload, services, upload_id)
    if record.state is not UploadState.OPEN:
        raise ProblemError(*OFFSET[:2], f"The upload is complete: all of its {record.length} bytes are here.")
    record = await to_thread.run_sync(
        _with_length, services, record, tus.read_number(headers, "Upload-Length")
    )
    record, offset = await services.upload_writer.receive(request, record, offset, checksum)
    job = await to_thread.run_sync(_job_of, services, record)
    return Response(status_code=204, headers={**tus.upload_headers(record, offset), **job})


def _with_length(services: Services, record: UploadRecord, length: int | None) -> UploadRecord:
    if length is None or length == record.length:
        return record
    if record.length is not None or length < max(1, services.uploads.offset(record)):
        raise ProblemError(
            400, ProblemCode.INVALID_TUS_HEADER, "This cannot be the upload's `Upload-Length`."
        )
    if length > services.settings.max_upload_bytes:
        raise too_large(services.settings.max_upload_bytes)
    return services.uploads.set_length(record, length)


@router.delete(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    summary="End an upload",
    responses=documented(UNKNOWN, GONE, USED, BUSY, _VERSION, _BAD_ID, NO_REDIS),
    openapi_extra={"parameters": _asked(_RESUMABLE)},
)
async def terminate(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """Removes what has come so far. An upload that has become a job is removed with its job."""
    tus.require_version(request.headers)
    record = await to_thread.run_sync(find_upload, services, upload_id)
    if record.state is UploadState.USED:
        raise ProblemError(*USED[:2], "This upload is a job already: cancel or delete that.")
    if record.state is UploadState.OPEN:
        await services.upload_writer.end(record)
    else:
        await to_thread.run_sync(services.uploads.end, record)
    return Response(status_code=204, headers={"Tus-Resumable": tus.VERSION})


@router.post("/{upload_id}", include_in_schema=False)
async def overridden(upload_id: UploadId, request: Request, services: ServicesDep) -> Response:
    """For clients whose network knows no PATCH and DELETE, as tus has it."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await append(upload_id, request, services)
    if method == "DELETE":
        return await terminate(upload_id, request, services)
    raise ProblemError(405, ProblemCode.METHOD_NOT_ALLOWED, "This path does not answer to this method.")


def new_upload(services: Services, record: UploadRecord) -> UploadRecord:
    """Register an upload, unless too many are under way."""
    if services.uploads.open_count() >= services.settings.max_open_uploads:
        raise ProblemError(*MANY, {"Retry-After": "60"})
    services.uploads.create(record)
    return record


def find_upload(services: Services, upload_id: str) -> UploadRecord:
    """The upload, if it is the caller's; raises the problems `UNKNOWN` and `GONE`."""
    record = services.uploads.find(upload_id)
    if record is None or not current_caller().may_see(record.key_id):
        raise ProblemError(*UNKNOWN)
    if record.state is UploadState.GONE:
        raise ProblemError(*GONE)
    return record


def _job_of(services: Services, record: UploadRecord) -> dict[str, str]:
    """A header with the job's path, if there is a job now; it begins here if it was to begin by itself."""
    job = services.upload_jobs.begin_by_itself(record) or services.store.get(record.id)
    return {"Sentiloc-Job": f"/jobs/{job.id}"} if job else {}
