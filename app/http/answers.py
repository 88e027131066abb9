"""What every answer has in common: an id, safe headers, and a problem instead of a crash."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentiloc.app.http.etags import names_tag
from sentiloc.app.http.handlers import problem_response, unexpected_response
from sentiloc.app.http.problems import ProblemCode
from sentiloc.app.telemetry.logs import request_id_context

NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
_DEFAULTS = {
    # Answers depend on the caller. Unlike a key, a cookie does not keep shared caches from storing them.
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": NO_CONTENT_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# No characters that could break a log line or another header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_RANGE_ERRORS = {
    400: "The Range header cannot be read.",
    416: "The file has no such range of bytes.",
}
_LOOK_SECONDS = 0.01
_EVENT_STREAM = "text/event-stream"
_OF_NOT_MODIFIED = {"etag", "last-modified", "cache-control", "content-security-policy"}
BAD_RANGES = [(status, ProblemCode.BAD_RANGE, detail) for status, detail in _RANGE_ERRORS.items()]


class Running:
    """The requests in progress of one event loop."""

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more, within the block."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def ended(self, seconds: float) -> None:
        """Wait until none is left, but not for longer than `seconds`."""
        until = time.monotonic() + seconds
        while self._count and time.monotonic() < until:
            await asyncio.sleep(_LOOK_SECONDS)


class Answers:
    """ASGI middleware around the whole application. `running` counts the requests in progress."""

    def __init__(self, app: ASGIApp, running: Running) -> None:
        self._app = app
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; an unexpected error becomes a problem, and the connection stays usable."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._running.one():
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = may_end = False
        request_id = _request_id(Headers(scope=scope))
        request_id_context.set(request_id)

        async def send_safely(message: Message) -> None:
            nonlocal started, may_end
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                may_end = headers.get("Content-Type", "").startswith(_EVENT_STREAM)
                headers["X-Request-ID"] = request_id
                for name, value in _DEFAULTS.items():
                    # A route may set its own policy, as the page and the player do.
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        except Exception as error:
            # The status has been sent, so no problem can follow: uvicorn closes the connection, and the
            # client sees a broken answer.
            if started:
                raise
            await unexpected_response(scope["method"], scope["path"], error)(scope, receive, send_safely)
        except asyncio.CancelledError:
            # Only a server that stops cancels a request.
            if not started:
                await _stopping()(scope, receive, send_safely)
            # Its client continues it elsewhere. Any other answer would look complete, so its connection is closed
            # instead: uvicorn does that if no end was sent.
            elif may_end:
                await send_safely({"type": "http.response.body", "body": b""})


def _stopping() -> Response:
    detail = "The server is stopping. Send the request again."
    return problem_response(503, ProblemCode.BUSY, detail, {"Retry-After": "2", "Connection": "close"})


class FileAnswer(Response):
    """A file response that answers `If-None-Match`, and whose plain-text errors about ranges become problems.

    `gone` is raised if the file is deleted before it is opened.
    """

    def __init__(self, response: FileResponse, gone: Exception) -> None:
        super().__init__()
        self._response = response
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, a part of it, 304, or the problem."""
        tag = self._response.headers.get("etag", "")
        # Before the range: a client that has the file needs no part of it (RFC 9110, 13.2.2).
        if tag and names_tag(Headers(scope=scope).get("if-none-match", ""), tag):
            kept = {name: value for name, value in self._response.headers.items() if name in _OF_NOT_MODIFIED}
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        refused: dict[str, str] | None = None
        status = 200
        # The status is sent with the first bytes, because the file is opened after it.
        held: Message | None = None

        async def watch(message: Message) -> None:
            nonlocal refused, status, held
            if message["type"] == "http.response.start" and message["status"] in _RANGE_ERRORS:
                status = message["status"]
                refused = {k: v for k, v in MutableHeaders(scope=message).items() if k == "content-range"}
            elif message["type"] == "http.response.start":
                held = message
            # The plain-text body of the refused answer is dropped.
            elif refused is None:
                if held is not None:
                    begun, held = held, None
                    await send(begun)
                await send(message)

        try:
            await self._response(_without_unknown_ranges(scope), receive, watch)
        except FileNotFoundError as error:
            if held is None:
                raise
            raise self._gone from error
        if refused is not None:
            problem = problem_response(status, ProblemCode.BAD_RANGE, _RANGE_ERRORS[status], refused)
            await problem(scope, receive, send)


def _without_unknown_ranges(scope: Scope) -> Scope:
    """The scope without a Range header in another unit than bytes, which a server must ignore (RFC 9110, 14.2)."""
    asked = Headers(scope=scope).get("range", "bytes")
    if asked.partition("=")[0].strip().lower() == "bytes":
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}


def _request_id(headers: Headers) -> str:
    """The client's or the proxy's request id; a new one if it is missing or invalid."""
    given = headers.get("x-request-id", "")
    # A proxy's id is kept, so that its log and ours can be joined.
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
