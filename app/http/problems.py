"""Every error that a client can see is an RFC 9457 problem with a stable `code`.

This module needs no web framework: workers import rooms that raise problems. `http.handlers` turns them into responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentiloc.app.reasons import plain_reason
from sentiloc.app.telemetry.logs import request_id_context
from sentiloc.model.errors import ErrorCode, SentilocError

MEDIA_TYPE = "application/problem+json"
# The client chooses how many values are wrong, and how long their names are.
_MOST_PLACES = 10
_MOST_COLLECTED = 1000
_LONGEST_NAME = 80
_LONGEST_REASON = 300
# 460 Checksum Mismatch is defined by tus 1.0.0, not by HTTP.
_OWN_PHRASES = {460: "Checksum Mismatch"}


class ProblemCode(StrEnum):
    """Codes of failed requests. Failed jobs have an `ErrorCode`. Both are part of the public contract."""

    BAD_REQUEST = "bad_request"
    INVALID_REQUEST = "invalid_request"
    JOB_NOT_FOUND = "job_not_found"
    BATCH_NOT_FOUND = "batch_not_found"
    WEBHOOK_NOT_FOUND = "webhook_not_found"
    KEY_NOT_FOUND = "key_not_found"
    TOO_MANY_WEBHOOKS = "too_many_webhooks"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UPLOAD_TIMEOUT = "upload_timeout"
    UPLOAD_INCOMPLETE = "upload_incomplete"
    UPLOAD_TOO_LARGE = "upload_too_large"
    UPLOAD_NOT_FOUND = "upload_not_found"
    UPLOAD_GONE = "upload_gone"
    UPLOAD_BUSY = "upload_busy"
    UPLOAD_UNFINISHED = "upload_unfinished"
    UPLOAD_USED = "upload_used"
    OFFSET_MISMATCH = "offset_mismatch"
    UPLOAD_ELSEWHERE = "upload_elsewhere"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    INVALID_TUS_HEADER = "invalid_tus_header"
    TUS_VERSION = "unsupported_tus_version"
    NOT_A_PIECE = "not_a_piece"
    NOT_PRESIGNED = "not_presigned"
    TOO_MANY_UPLOADS = "too_many_uploads"
    NOT_MULTIPART = "not_multipart"
    MALFORMED_MULTIPART = "malformed_multipart"
    MISSING_FIELD = "missing_field"
    UNEXPECTED_FIELD = "unexpected_field"
    INVALID_CURSOR = "invalid_cursor"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    FEEDBACK_FULL = "feedback_full"
    FEEDBACK_OUTDATED = "feedback_outdated"
    UNKNOWN_HOST = "unknown_host"
    CROSS_SITE = "cross_site"
    BAD_RANGE = "bad_range"
    BODY_TOO_LARGE = "body_too_large"
    UNKNOWN_MODEL = "unknown_model"
    RESULT_NOT_READY = "result_not_ready"
    WRONG_TASK = "wrong_task"
    RESULT_EXPIRED = "result_expired"
    THUMBNAIL_NOT_FOUND = "thumbnail_not_found"
    TOO_MANY_STREAMS = "too_many_streams"
    NO_WEBHOOK = "no_webhook"
    REDIS_UNAVAILABLE = "redis_unavailable"
    REQUEST_TIMEOUT = "request_timeout"
    BUSY = "busy"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    STORAGE_QUOTA_EXCEEDED = "storage_quota_exceeded"
    KEY_LIMIT = "key_limit"


class Problem(BaseModel):
    """An error as RFC 9457 defines it, with a stable `code` for programs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:sentiloc:problem:job_not_found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no job with this id.",
                    "code": "job_not_found",
                }
            ]
        }
    )

    type: str = Field(description="urn:sentiloc:problem:CODE")
    title: str = Field(description="The HTTP status as text")
    status: int
    detail: str = Field(description="What happened, for people")
    request_id: str | None = Field(
        None, description="The id of the request, as in the header `X-Request-ID` and in the server's log"
    )
    code: str = Field(
        description="Stable, for programs; later versions may add codes",
        examples=sorted({*ProblemCode, *ErrorCode}),
    )
    deleted: int | None = Field(
        None,
        description="Of `DELETE /v1/jobs`: the jobs that were deleted although files of others could not be",
    )
    next_cursor: str | None = Field(
        None,
        description="Of `DELETE /v1/jobs`: the `cursor` of a request that leaves out the jobs whose files stay",
    )


class ProblemError(Exception):
    """Raise this anywhere below a route to answer with a problem.

    Args:
        status: the HTTP status.
        code: the stable code for programs.
        detail: what happened, why, and what the client can do.
        headers: further headers of the answer, such as `Retry-After`.
        about: further members of the problem.

    Set `body_is_unread` if the request's body was not fully read: the answer is then sent so that a client which is
    still uploading receives it.
    """

    def __init__(
        self,
        status: int,
        code: ProblemCode | ErrorCode,
        detail: str,
        headers: Mapping[str, str] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.about = about or {}
        self.body_is_unread = False


class TypedProblem(ProblemError):
    """A problem with its own class. `example` is its detail in the OpenAPI document, and the default for `detail`."""

    of_status: ClassVar[int]
    of_code: ClassVar[ProblemCode | ErrorCode]
    example: ClassVar[str]

    def __init__(self, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(self.of_status, self.of_code, detail or self.example, headers)


class RedisUnavailable(TypedProblem):
    """The API cannot reach Redis. The fault is temporary: the client should repeat the request."""

    of_status = 503
    of_code = ProblemCode.REDIS_UNAVAILABLE
    example = "The service cannot reach Redis, which holds its jobs. Try again in a few seconds."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "2"})


class BodyTooLarge(TypedProblem):
    """A JSON body exceeds its limit. The rest of it is not read."""

    of_status = 413
    of_code = ProblemCode.BODY_TOO_LARGE
    example = "The body is larger than 65536 bytes."

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes.")
        self.body_is_unread = True


class InvalidRequest(TypedProblem):
    """A value of the request is wrong; the detail names the place and the reason."""

    of_status = 422
    of_code = ProblemCode.INVALID_REQUEST
    example = "options.threshold: must be at most 1"

    @classmethod
    def of(cls, errors: Sequence[Mapping[str, Any]], root: str = "") -> Self:
        """The problem of a failed validation. It names the first few places, each by a bounded length."""
        shown = [
            f"{_place(error['loc'], root)}: {plain_reason(error)[:_LONGEST_REASON]}"
            for error in errors[:_MOST_PLACES]
        ]
        more = [f"and {len(errors) - _MOST_PLACES} more"] if len(errors) > _MOST_PLACES else []
        return cls("; ".join(shown + more))

    @classmethod
    def of_body(cls, error: ValidationError, root: str = "") -> Self:
        """The same for a JSON body, or for a part of one, whose place in the request is `root`."""
        count = error.error_count()
        # Pydantic gives all of them or none, each as an object with a copy of its place.
        if count > _MOST_COLLECTED:
            return cls(f"{root or 'body'}: {count} values are wrong")
        return cls.of(error.errors(), root)


def _place(steps: Iterable[object], root: str) -> str:
    # The client chooses the keys of its JSON, so they may be long.
    names = [str(step) for step in ((root, *steps) if root else steps)]
    return (
        ".".join(f"{name[:_LONGEST_NAME]}…" if len(name) > _LONGEST_NAME else name for name in names)
        or "body"
    )


STATUS_OF_ERROR: Mapping[ErrorCode, int] = {
    ErrorCode.EMPTY_FILE: 422,
    ErrorCode.UNSUPPORTED_FORMAT: 415,
    ErrorCode.CORRUPT_MEDIA: 422,
    ErrorCode.NO_VIDEO: 422,
    ErrorCode.ENCRYPTED: 422,
    ErrorCode.LIMIT_EXCEEDED: 422,
    ErrorCode.INVALID_DATA: 422,
    ErrorCode.STORAGE_FULL: 507,
    ErrorCode.STORAGE_UNAVAILABLE: 503,
    ErrorCode.SOURCE_MISSING: 410,
    ErrorCode.MODEL_UNAVAILABLE: 503,
    ErrorCode.WEIGHTS_MISSING: 503,
    ErrorCode.DEVICE_UNAVAILABLE: 503,
}


def problem_of(error: SentilocError, about: Mapping[str, Any] | None = None) -> ProblemError:
    """The problem that answers a request which failed with `error`. Temporary faults say when to try again."""
    status = STATUS_OF_ERROR.get(error.code, 500)
    headers = {"Retry-After": "10"} if error.code is ErrorCode.STORAGE_UNAVAILABLE else None
    return ProblemError(status, error.code, error.detail, headers, about)


def problem_body(status: int, code: str, detail: str, about: Mapping[str, Any] | None = None) -> Problem:
    """The body of a problem; `about` are its further members."""
    return Problem(
        type=f"urn:sentiloc:problem:{code}",
        title=_OWN_PHRASES.get(status) or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=request_id_context.get(),
        code=code,
        **(about or {}),
    )


Answer = type[TypedProblem] | tuple[int, ProblemCode | ErrorCode, str]
"""A problem to document: its class, or its status, its code and an example of its detail."""


def documented(*answers: Answer) -> dict[int | str, dict[str, object]]:
    """The OpenAPI `responses` of these problems, by status, each with an example by code."""
    responses: dict[int | str, dict[str, object]] = {}
    for answer in answers:
        status, code, detail = (
            answer if isinstance(answer, tuple) else (answer.of_status, answer.of_code, answer.example)
        )
        body = problem_body(status, code, detail)
        entry = responses.setdefault(status, _documented_status(body.title))
        content = entry["content"]
        assert isinstance(content, dict)  # noqa: S101
        content[MEDIA_TYPE]["examples"][str(code)] = {"value": body.model_dump(exclude_none=True)}
    return responses


def _documented_status(title: str) -> dict[str, object]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}
