"""Uploads that take several requests, as generators. The clients execute each yielded step and send back its result.

A step is a `Call`, answered by what it parses or by its `ClientError`, or a number of seconds to wait.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from .answers import one, require_stored
from .calls import API, STORE_REFUSALS, Call, localize_upload
from .errors import (
    ApiError,
    ClientError,
    Code,
    ConnectionFailedError,
    UnexpectedAnswerError,
    WrongVideoError,
)
from .models import Job, JobOptions, PresignedForm
from .retries import Retry, shown
from .uploads import FormBody, PieceBody, Progress, Video, VideoFile

Steps = Generator[Call[Any] | float, Any, Job]
# Few requests for a large video, and little to send again after a failure.
PIECE_BYTES = 16 * 1024**2
_SMALLEST_PIECE = 128 * 1024

_TUS = {"Tus-Resumable": "1.0.0"}
# The upload is still there, but not at the offset that the client assumed.
_TO_BE_RESUMED = {Code.OFFSET_MISMATCH, Code.UPLOAD_BUSY, Code.UPLOAD_INCOMPLETE, Code.UPLOAD_TIMEOUT}


def resumable(
    video: Video,
    options: JobOptions | None,
    *,
    name: str | None,
    upload: str | None,
    piece_bytes: int,
    progress: Progress | None,
    on_begin: Callable[[str], None] | None,
    retry: Retry,
) -> Steps:
    """Upload with tus 1.0.0.

    After a failure it continues at the server's offset; `retry` counts consecutive failures. Where a proxy refuses the
    length of a piece, smaller pieces are sent.
    """
    if piece_bytes < 1:
        raise ValueError("piece_bytes is less than 1")
    file = VideoFile(video, name, progress)
    offset, failures = 0, 0
    if upload is None:
        upload = str((yield _begin(file)))
        if on_begin is not None:
            on_begin(upload)
    else:
        offset = yield _where(upload, file)
    while offset < file.total:
        try:
            offset = yield _piece(upload, file, offset, min(file.total, offset + piece_bytes))
            failures = 0
        except (ConnectionFailedError, ApiError) as error:
            if _is_of_proxy(error) and piece_bytes > _SMALLEST_PIECE:
                piece_bytes = max(_SMALLEST_PIECE, piece_bytes // 4)
                continue
            failures += 1
            wait = _wait(error, retry, failures)
            if failures >= retry.attempts or not _may_resume(error) or wait > retry.longest_wait:
                raise
            yield wait
            # A broken chunk may have arrived in part. Then the connection works, and failures are counted from 0 again.
            known, offset = offset, (yield _where(upload, file))
            failures = 0 if offset > known else failures
    job: Job = yield localize_upload(upload, options)
    return job


def presigned(
    video: Video, options: JobOptions | None, *, name: str | None, progress: Progress | None
) -> Steps:
    """Upload directly to the object store with a form from the server."""
    file = VideoFile(video, name, progress)
    asked = {"name": file.name}
    form = yield Call(method="POST", path=f"{API}/uploads/presign", parse=one(PresignedForm), json=asked)
    body = FormBody(file, "file", {key: (None, text) for key, text in form.fields.items()})
    yield Call(
        method="POST",
        path=form.url,
        parse=require_stored,
        headers=body.headers,
        body=body,
        foreign=True,
        accepted=STORE_REFUSALS,
    )
    job: Job = yield localize_upload(form.id, options)
    return job


@dataclass(frozen=True, slots=True)
class _Upload:
    offset: int
    length: int | None = None


def _begin(file: VideoFile) -> Call[str]:
    name = base64.b64encode(file.name.encode()).decode()
    headers = {**_TUS, "Upload-Length": str(file.total), "Upload-Metadata": f"filename {name}"}
    return Call(method="POST", path=f"{API}/uploads", parse=_upload_id, headers=headers)


def _where(upload: str, file: VideoFile) -> Call[int]:
    """Read the offset with GET, because the answer to HEAD has no body that could explain an error."""

    def parse(response: httpx.Response) -> int:
        found = one(_Upload)(response)
        # The rest of another video would be joined to what is stored.
        if found.length not in (None, file.total):
            raise WrongVideoError(upload, found.length, file.total)
        if not 0 <= found.offset <= file.total:
            raise UnexpectedAnswerError(f"upload {upload} is at byte {found.offset} of {file.total}")
        return found.offset

    return Call(method="GET", path=_upload(upload), parse=parse)


def _piece(upload: str, file: VideoFile, start: int, end: int) -> Call[int]:
    body = PieceBody(file, start, end)
    headers = {**_TUS, **body.headers}

    def parse(response: httpx.Response) -> int:
        stored = _offset(response)
        # Otherwise the same piece would be sent for ever.
        if not start < stored <= end:
            detail = f"the bytes {start} to {end} were sent, and {shown(response.url)} is at byte {stored}"
            raise UnexpectedAnswerError(detail)
        return stored

    # Not repeatable as it is: after a failure the offset must be read first.
    return Call(
        method="PATCH", path=_upload(upload), parse=parse, headers=headers, body=body, repeatable=False
    )


def _upload(upload: str) -> str:
    return f"{API}/uploads/{quote(upload, safe='')}"


def _is_of_proxy(error: ClientError) -> bool:
    """True if a proxy refuses the length of the request; the server's own refusals have a code."""
    return isinstance(error, ApiError) and error.status == 413 and error.code == "http_413"


def _wait(error: ClientError, retry: Retry, failures: int) -> float:
    """The seconds that the server asks for, or those of `retry`."""
    asked = error.retry_after if isinstance(error, ApiError) else None
    return retry.wait(failures) if asked is None else asked


def _may_resume(error: ClientError) -> bool:
    if isinstance(error, ApiError):
        return error.code in _TO_BE_RESUMED or error.status in (429, 502, 503, 504)
    return True


def _upload_id(response: httpx.Response) -> str:
    return str(response.headers.get("location", "")).rpartition("/")[2] or _confused(response)


def _offset(response: httpx.Response) -> int:
    found = str(response.headers.get("upload-offset", ""))
    # Python refuses to read numbers of thousands of digits.
    return int(found) if found.isdecimal() and len(found) < 20 else int(_confused(response))


def _confused(response: httpx.Response) -> str:
    raise UnexpectedAnswerError(
        f"{shown(response.url)} answered {response.status_code} without the headers of tus"
    )
