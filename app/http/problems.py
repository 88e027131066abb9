"""Every error that a client can see, as an RFC 9457 problem with a stable `code`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict, Field
from redis import RedisError
from starlette.exceptions import HTTPException

from sentiloc.app.http.lingering import LingeringResponse
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
NO_REDIS_DETAIL = "The service cannot reach its job store; try again in a few seconds."


class ProblemCode(StrEnum):
    """Codes of the HTTP side; a job's own failures use `ErrorCode`. Part of the public contract."""

    BAD_REQUEST = "bad_request"
    INVALID_REQUEST = "invalid_request"
    JOB_NOT_FOUND = "job_not_found"
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


class Problem(BaseModel):
    """An error, as RFC 9457 has it, with a `code` that programs can rely on."""

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
    title: str = Field(description="The HTTP status in words")
    status: int
    detail: str = Field(description="One sentence for people")
    code: str = Field(
        description="Stable, for programs; later versions may add some",
        examples=sorted({*ProblemCode, *ErrorCode}),
    )


class ProblemError(Exception):
    """Raise it anywhere under a route to answer with a problem."""

    def __init__(
        self,
        status: int,
        code: ProblemCode | ErrorCode,
        detail: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.body_is_unread = False


STATUS_OF_ERROR: Mapping[ErrorCode, int] = {
    ErrorCode.EMPTY_FILE: 422,
    ErrorCode.UNSUPPORTED_FORMAT: 415,
    ErrorCode.CORRUPT_MEDIA: 422,
    ErrorCode.NO_VIDEO: 422,
    ErrorCode.LIMIT_EXCEEDED: 422,
    ErrorCode.INVALID_DATA: 422,
    ErrorCode.STORAGE_FULL: 507,
    ErrorCode.STORAGE_UNAVAILABLE: 503,
    ErrorCode.SOURCE_MISSING: 410,
    ErrorCode.MODEL_UNAVAILABLE: 503,
    ErrorCode.WEIGHTS_MISSING: 503,
    ErrorCode.DEVICE_UNAVAILABLE: 503,
}


# What tus 1.0.0 adds to HTTP's statuses.
_OWN_PHRASES = {460: "Checksum Mismatch"}


def problem_response(
    status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The problem as a response."""
    body = _problem(status, code, detail).model_dump()
    return JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _problem(status: int, code: str, detail: str) -> Problem:
    return Problem(
        type=f"urn:sentiloc:problem:{code}",
        title=_phrase(status),
        status=status,
        detail=detail,
        code=code,
    )


def _phrase(status: int) -> str:
    return _OWN_PHRASES.get(status) or HTTPStatus(status).phrase


def documented(*answers: tuple[int, ProblemCode | ErrorCode, str]) -> dict[int | str, dict[str, object]]:
    """OpenAPI entries for these problems, each with its example."""
    responses: dict[int | str, dict[str, object]] = {}
    for status, code, detail in answers:
        entry = responses.setdefault(status, _documented_status(status))
        content = entry["content"]
        assert isinstance(content, dict)  # noqa: S101
        content[MEDIA_TYPE]["examples"][str(code)] = {"value": _problem(status, code, detail).model_dump()}
    return responses


def _documented_status(status: int) -> dict[str, object]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": _phrase(status),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}},
    }


def install_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem, including those of the framework."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(SentilocError, _on_sentiloc_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(RedisError, _on_redis_error)
    app.add_exception_handler(OperationalError, _on_redis_error)
    app.add_exception_handler(Exception, _on_unexpected)


def refusal(error: ProblemError | RedisError) -> Response:
    """The answer to an error, for what stands before the framework's own handlers."""
    return _on_problem(None, error) if isinstance(error, ProblemError) else _on_redis_error(None, error)


def _on_problem(_: Request | None, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101
    response = problem_response(error.status, error.code, error.detail, error.headers)
    return LingeringResponse(response) if error.body_is_unread else response


def _on_sentiloc_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, SentilocError)  # noqa: S101
    return problem_response(STATUS_OF_ERROR.get(error.code, 500), error.code, error.detail)


_HTTP_CODES = {404: ProblemCode.NOT_FOUND, 405: ProblemCode.METHOD_NOT_ALLOWED}


def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = _HTTP_CODES.get(error.status_code, ProblemCode.BAD_REQUEST)
    details = {404: "There is nothing at this path.", 405: "This path does not answer to this method."}
    detail = details.get(error.status_code, str(error.detail))
    return problem_response(error.status_code, code, detail, error.headers)


def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    parts = [f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in error.errors()]
    return problem_response(422, ProblemCode.INVALID_REQUEST, "; ".join(parts))


def _on_redis_error(_: Request | None, error: Exception) -> Response:
    logger.error("Redis cannot be reached: %s", error)
    return problem_response(503, ProblemCode.REDIS_UNAVAILABLE, NO_REDIS_DETAIL, {"Retry-After": "2"})


def _on_unexpected(request: Request, error: Exception) -> Response:
    logger.error("unexpected error at %s %s", request.method, request.url.path, exc_info=error)
    return problem_response(
        500, ErrorCode.INTERNAL, "Something went wrong in the server; it has been logged."
    )
