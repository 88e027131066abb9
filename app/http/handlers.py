"""Turns errors into problem responses, for the routes and for the middleware before them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from kombu.exceptions import OperationalError
from redis import RedisError
from starlette.exceptions import HTTPException

from sentiloc.app.http.lingering import LingeringResponse
from sentiloc.app.http.methods import allowed_methods
from sentiloc.app.http.problems import (
    MEDIA_TYPE,
    InvalidRequest,
    ProblemCode,
    ProblemError,
    RedisUnavailable,
    problem_body,
    problem_of,
)
from sentiloc.app.telemetry import outages
from sentiloc.app.telemetry.logs import without_secrets
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

_HTTP_PROBLEMS = {
    404: (ProblemCode.NOT_FOUND, "There is nothing at this path."),
    405: (ProblemCode.METHOD_NOT_ALLOWED, "This path does not support this method."),
}


def problem_response(
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    body = problem_body(status, code, detail, about).model_dump(exclude_none=True)
    return JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def error_response(error: ProblemError | RedisError) -> Response:
    """The answer to an error, for middleware that runs before the framework's own error handlers."""
    return _on_problem(None, error) if isinstance(error, ProblemError) else _on_redis_error(None, error)


def install_handlers(app: FastAPI) -> None:
    """Answer the expected errors of `app` with problems, the framework's own included; `Answers` handles all others."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(SentilocError, _on_sentiloc_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(RedisError, _on_redis_error)
    # Kombu wraps errors of the broker, which is the same Redis.
    app.add_exception_handler(OperationalError, _on_redis_error)


def _on_problem(_: Request | None, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101
    _log_disk_fault(error)
    response = problem_response(error.status, error.code, error.detail, error.headers, error.about)
    # Without this, the reset of the connection could overtake the answer.
    return LingeringResponse(response) if error.body_is_unread else response


def _on_sentiloc_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, SentilocError)  # noqa: S101
    problem = problem_of(error)
    problem.__cause__ = error
    return _on_problem(None, problem)


def _log_disk_fault(error: ProblemError) -> None:
    """Log what the operating system said: only it names the file."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    if cause is not None and error.code == ErrorCode.STORAGE_UNAVAILABLE:
        logger.warning("the storage failed: %s", cause)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code, detail = _HTTP_PROBLEMS.get(error.status_code, (ProblemCode.BAD_REQUEST, str(error.detail)))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request.app.state.routes, request.scope))
        # Starlette answers OPTIONS with 405 unless a route declares it.
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    return problem_response(error.status_code, code, detail, headers)


def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return _on_problem(None, InvalidRequest.of(error.errors()))


def _on_redis_error(_: Request | None, error: Exception) -> Response:
    outages.REDIS.failed(error)
    return _on_problem(None, RedisUnavailable())


def unexpected_response(method: str, path: str, error: Exception) -> Response:
    """Log an unexpected error and return its answer."""
    logger.error("unexpected error at %s %s", method, without_secrets(path), exc_info=error)
    detail = "The server failed unexpectedly. The error is in its log."
    return problem_response(500, ErrorCode.INTERNAL, detail)
