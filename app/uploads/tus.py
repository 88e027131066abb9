"""The headers of tus 1.0.0, the protocol of resumable uploads (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.uploads.record import UploadRecord

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-defer-length,creation-with-upload,expiration,termination,checksum"
CHECKSUMS = ("sha1", "sha256")
PIECE_TYPE = "application/offset+octet-stream"
MAX_METADATA_HEADER = 24 * 1024
ASKED_HEADERS = (
    *("Tus-Resumable", "Upload-Checksum", "Upload-Defer-Length", "Upload-Length", "Upload-Metadata"),
    *("Upload-Offset", "X-HTTP-Method-Override", "X-Requested-With"),
)
ANSWERED_HEADERS = (
    *(
        "Sentiloc-Job",
        "Tus-Checksum-Algorithm",
        "Tus-Extension",
        "Tus-Max-Size",
        "Tus-Resumable",
        "Tus-Version",
    ),
    *("Upload-Defer-Length", "Upload-Expires", "Upload-Length", "Upload-Metadata", "Upload-Offset"),
)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a piece must hash to."""

    algorithm: str
    digest: bytes

    def hasher(self) -> hashlib._Hash:
        """An empty hash of the kind."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def require_version(headers: Mapping[str, str]) -> None:
    """Raises the 412 problem for another version of the protocol, or for none."""
    if headers.get("tus-resumable") != VERSION:
        detail = f"Send `Tus-Resumable: {VERSION}`: this server speaks no other version of the protocol."
        raise ProblemError(412, ProblemCode.TUS_VERSION, detail, {"Tus-Version": VERSION})


def require_piece(headers: Mapping[str, str]) -> None:
    """Raises the 415 problem for a body that is no piece of an upload."""
    if headers.get("content-type") != PIECE_TYPE:
        detail = f"Send the bytes with `Content-Type: {PIECE_TYPE}`."
        raise ProblemError(415, ProblemCode.NOT_A_PIECE, detail, {"Accept": PIECE_TYPE})


def read_number(headers: Mapping[str, str], name: str) -> int | None:
    """A header that holds a whole number; None without it. Raises the 400 problem."""
    text = headers.get(name.lower())
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _bad(f"`{name}` must be a whole number that is not negative.")
    return int(text)


def read_length(headers: Mapping[str, str]) -> int | None:
    """The length of a new upload, None when the client will say it later. Raises the 400 problem."""
    length, deferred = read_number(headers, "Upload-Length"), headers.get("upload-defer-length")
    if deferred not in (None, "1") or (length is None) == (deferred is None):
        raise _bad("Send either `Upload-Length` or `Upload-Defer-Length: 1`.")
    return length


def read_metadata(headers: Mapping[str, str]) -> dict[str, bytes]:
    """The pairs of `Upload-Metadata`. Raises the 400 problem."""
    text = headers.get("upload-metadata", "")
    if len(text) > MAX_METADATA_HEADER:
        raise _bad(f"`Upload-Metadata` is larger than {MAX_METADATA_HEADER} bytes.")
    found: dict[str, bytes] = {}
    for pair in text.split(",") if text.strip() else ():
        name, _, value = pair.strip().partition(" ")
        if not name or name in found:
            raise _bad("`Upload-Metadata` must be pairs of a name of its own and a base64 text.")
        found[name] = _base64(value, "Upload-Metadata")
    return found


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """What the piece must hash to, if the client says so. Raises the 400 problem."""
    text = headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm not in CHECKSUMS:
        raise _bad(f"`Upload-Checksum` may use {' or '.join(CHECKSUMS)}.")
    return Checksum(algorithm, _base64(value, "Upload-Checksum"))


def upload_headers(record: UploadRecord, offset: int) -> dict[str, str]:
    """What every answer about an upload says."""
    return {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(offset),
        "Upload-Expires": formatdate(record.expires_at, usegmt=True),
        "Cache-Control": "no-store",
    }


def _base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(f"`{name}` holds a value that is not base64.") from error


def _bad(detail: str) -> ProblemError:
    return ProblemError(400, ProblemCode.INVALID_TUS_HEADER, detail)
