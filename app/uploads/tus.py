"""The headers of tus 1.0.0, the protocol of resumable uploads (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

from sentiloc.app.http.problems import ProblemCode, TypedProblem
from sentiloc.app.uploads.problems import InvalidTusHeader
from sentiloc.app.uploads.record import UploadRecord

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-defer-length,creation-with-upload,expiration,termination,checksum"
CHECKSUMS = ("sha1", "sha256")
CHUNK_TYPE = "application/offset+octet-stream"
# The options' limit in base64, which is a third longer, and the file's name.
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
    """The hash that the client states for a chunk."""

    algorithm: str
    digest: bytes

    def hasher(self) -> hashlib._Hash:
        """A new hash object of this algorithm."""
        # It only detects damage, so SHA-1 is also allowed where FIPS mode forbids it for signatures.
        return hashlib.new(self.algorithm, usedforsecurity=False)


class UnsupportedVersion(TypedProblem):
    """The request names another version of the protocol, or none."""

    of_status = 412
    of_code = ProblemCode.TUS_VERSION
    example = f"Send `Tus-Resumable: {VERSION}`. This server supports no other version of the protocol."

    def __init__(self) -> None:
        super().__init__(headers={"Tus-Version": VERSION})


class NotAChunk(TypedProblem):
    """The body has a content type that tus does not define."""

    of_status = 415
    of_code = ProblemCode.NOT_A_PIECE
    example = f"Send the bytes with `Content-Type: {CHUNK_TYPE}`."

    def __init__(self) -> None:
        super().__init__(headers={"Accept": CHUNK_TYPE})


def require_version(headers: Mapping[str, str]) -> None:
    """Raise `UnsupportedVersion` unless the request names the supported version of the protocol."""
    # The protocol asks for 412 with the supported versions.
    if headers.get("tus-resumable") != VERSION:
        raise UnsupportedVersion


def refuse_concatenation(headers: Mapping[str, str]) -> None:
    """Raise `InvalidTusHeader` for a part of a parallel upload, which would otherwise become a separate video."""
    if "upload-concat" in headers:
        raise InvalidTusHeader(
            "`Upload-Concat` is not supported: this server does not join uploads. Send the file as one upload, "
            "without `parallelUploads` in tus-js-client."
        )


def require_chunk(headers: Mapping[str, str]) -> None:
    """Raise `NotAChunk` unless the body has the content type of a chunk."""
    if headers.get("content-type") != CHUNK_TYPE:
        raise NotAChunk


def read_number(headers: Mapping[str, str], name: str) -> int | None:
    """The whole number in a header; None without the header. Raises `InvalidTusHeader`."""
    text = headers.get(name.lower())
    if text is None:
        return None
    # isdigit alone accepts other scripts' digits; 18 digits fit into 64 bits.
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidTusHeader(f"`{name}` must be a whole number, zero or greater.")
    return int(text)


def read_length(headers: Mapping[str, str]) -> int | None:
    """The length of a new upload; None if the client will state it later. Raises `InvalidTusHeader`."""
    length, deferred = read_number(headers, "Upload-Length"), headers.get("upload-defer-length")
    if deferred not in (None, "1") or (length is None) == (deferred is None):
        raise InvalidTusHeader("Send either `Upload-Length` or `Upload-Defer-Length: 1`.")
    return length


def read_metadata(headers: Mapping[str, str]) -> dict[str, bytes]:
    """The pairs of `Upload-Metadata`. Raises `InvalidTusHeader`."""
    text = headers.get("upload-metadata", "")
    if len(text) > MAX_METADATA_HEADER:
        raise InvalidTusHeader(f"`Upload-Metadata` is larger than {MAX_METADATA_HEADER} bytes.")
    found: dict[str, bytes] = {}
    for pair in text.split(",") if text.strip() else ():
        name, _, value = pair.strip().partition(" ")
        if not name or name in found:
            raise InvalidTusHeader(
                "`Upload-Metadata` must be a list of pairs: a unique name and a base64 text."
            )
        found[name] = _base64(value, "Upload-Metadata")
    return found


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """The hash that the client states for its chunk, if any. Raises `InvalidTusHeader`."""
    text = headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm not in CHECKSUMS:
        raise InvalidTusHeader(f"`Upload-Checksum` may use {' or '.join(CHECKSUMS)}.")
    return Checksum(algorithm, _base64(value, "Upload-Checksum"))


def upload_headers(record: UploadRecord, offset: int) -> dict[str, str]:
    """The headers of every answer about an upload."""
    return {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(offset),
        "Upload-Expires": formatdate(record.expires_at, usegmt=True),
        # The tus specification requires it, because an old offset would break the upload.
        "Cache-Control": "no-store",
    }


def _base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidTusHeader(f"`{name}` contains a value that is not base64.") from error
