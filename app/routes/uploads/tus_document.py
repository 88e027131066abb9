"""What the OpenAPI document says of resumable uploads: headers, chunks and problems."""

from __future__ import annotations

from typing import Any

from sentiloc.app.access.key_limits import StorageQuotaExceeded
from sentiloc.app.http.body import UploadCutOff, UploadStalled
from sentiloc.app.http.multipart import UploadTooLarge
from sentiloc.app.http.problems import InvalidRequest, ProblemCode
from sentiloc.app.jobs.checks import UnknownModel
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.uploads import tus
from sentiloc.app.uploads.problems import ChecksumMismatch, EmptyVideo, InvalidTusHeader, UploadBusy
from sentiloc.model.errors import ErrorCode

BAD_ID = (
    422,
    ProblemCode.INVALID_REQUEST,
    "path.upload_id: must be an id: at most 64 letters, digits, - or _",
)
_STORAGE_FULL = (507, ErrorCode.STORAGE_FULL, "The server's storage is full.")
NEW_PROBLEMS = (EmptyVideo, InvalidRequest, UnknownModel)
CHUNK_PROBLEMS = (
    *(InvalidTusHeader, UploadCutOff, UploadStalled, UploadTooLarge, tus.UnsupportedVersion),
    *(tus.NotAChunk, UploadBusy, ChecksumMismatch, _STORAGE_FULL, STORE_DOWN, StorageQuotaExceeded),
)


def header(text: str) -> dict[str, Any]:
    """A header of a response."""
    return {"description": text, "schema": {"type": "string"}}


def header_parameters(*names: tuple[str, bool, str]) -> list[dict[str, Any]]:
    """Headers of a request: name, whether it is required, description."""
    return [
        {"name": name, "in": "header", "required": needed, "description": text, "schema": {"type": "string"}}
        for name, needed, text in names
    ]


RESUMABLE = ("Tus-Resumable", True, "`1.0.0`")
CHECKED = ("Upload-Checksum", False, "`sha1` or `sha256`, a space, and the hash of the chunk in base64")
STATE_HEADERS = {
    "Upload-Offset": header("Bytes that the server has stored"),
    "Upload-Expires": header("When the upload is removed unless more bytes arrive"),
    "Sentiloc-Job": header("The path of the upload's job, once it has one"),
    "Tus-Resumable": header("`1.0.0`"),
}
CHUNK = {"content": {tus.CHUNK_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
