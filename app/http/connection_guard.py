"""What guards each HTTP connection before the application sees a request: time and room for the header, a pace for
the body, bounds on open connections and on requests sent ahead, and problems instead of uvicorn's plain texts.

Extends uvicorn's httptools protocol, whose names used here are held by `tests/app/test_connection_guard.py`. Its
parser takes headers of any length and requests without a `Host`: both are refused here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from sentiloc.app.http.problems import ProblemCode, problem_response
from sentiloc.app.settings import Settings

_REFUSED_POLITELY = 64
_ALWAYS_ANSWERED = "/healthz"
_MAX_HEADER_BYTES = 64 * 1024
_FIELD_BYTES = 4
_MAX_SENT_AHEAD = 16


def guarded_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's `http` option, with this service's limits."""
    return type("GuardedHTTP", (_GuardedHTTP,), {"settings": settings})


class _RefusedError(Exception):
    """Raised under the parser, which then takes the request for malformed."""


class _GuardedHTTP(HttpToolsProtocol):
    settings: Settings

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timer: asyncio.TimerHandle | None = None
        self._request: object = None
        self._began_at = 0.0
        self._received = 0
        self._in_header = False
        self._header_bytes = 0
        self._unheard = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, refuse it with a problem, or, far beyond the bound, drop it."""
        super().connection_made(transport)
        excess = len(self.connections) - self.settings.max_connections
        if excess > _REFUSED_POLITELY:
            transport.abort()
        elif excess > 0:
            self.app = _Busy(self.app)
        self._await(self.settings.header_seconds, self._header_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is timed any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let uvicorn read, then see whether a header or a body is under way."""
        self._received += len(data)
        self._unheard += len(data)
        super().data_received(data)
        if self._unheard > _MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("")
        self._watch(has_begun=True)

    def on_message_begin(self) -> None:
        """A header begins."""
        self._in_header, self._header_bytes, self._unheard = True, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the target; raises when the header becomes too long."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the header, or of what follows a body, which is left out; raises when they become too long."""
        self._count(len(name) + len(value) + _FIELD_BYTES)
        if self._in_header:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Raises for a header that does not name one host, and for too many requests at once."""
        self._in_header, self._unheard = False, 0
        hosts = sum(name == b"host" for name, _ in self.headers)
        least = 0 if self.parser.get_http_version() == "1.0" else 1
        if not least <= hosts <= 1 or len(self.pipeline) >= _MAX_SENT_AHEAD:
            raise _RefusedError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unheard = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's own keep-alive time counts, until the next one begins."""
        self._stop_timer()
        super().on_response_complete()
        self._watch(has_begun=self._in_header)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is not HTTP with a problem; in the midst of an answer, just end."""
        if not self._is_answering():
            self._answer(problem_response(400, ProblemCode.BAD_REQUEST, "The request is not valid HTTP."))
        self.transport.close()

    def _count(self, more: int) -> None:
        self._header_bytes += more
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise _RefusedError

    def _watch(self, has_begun: bool) -> None:
        """Time what is under way. `has_begun`: what came is, or will be, a header, unless it is a body."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle is not self._request:
            self._begin()
        elif self._timer is not None:
            return
        elif self._awaits_body():
            self._await(self.settings.slow_body_seconds, self._check_pace)
        elif has_begun and not self._is_busy():
            self._await(self.settings.header_seconds, self._header_is_late)

    def _begin(self) -> None:
        """A request's header is complete: from now on its body must come at a pace."""
        self._request, self._began_at, self._received = self.cycle, time.monotonic(), 0
        self._stop_timer()
        if self._awaits_body():
            self._await(self.settings.slow_body_seconds, self._check_pace)

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_answering(self) -> bool:
        return self._is_busy() and self.cycle.response_started

    def _awaits_body(self) -> bool:
        return self._is_busy() and self.cycle.more_body

    def _header_is_late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        detail = f"The request's header did not come within {self.settings.header_seconds:g} seconds."
        if self._in_header and not self._is_answering():
            self._answer(problem_response(408, ProblemCode.REQUEST_TIMEOUT, detail))
        self.transport.close()

    def _check_pace(self) -> None:
        """End a connection whose body drips; time in which we did not read is not the client's fault."""
        self._timer = None
        if not self._awaits_body() or self.transport.is_closing():
            return
        least = self.settings.slow_body_bytes_per_second * (time.monotonic() - self._began_at)
        if self._received < least and not self.flow.read_paused:
            self.transport.close()
        else:
            self._await(self.settings.slow_body_seconds, self._check_pace)

    def _await(self, seconds: float, what: Any) -> None:
        self._timer = self.loop.call_later(seconds, what)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, response: Response) -> None:
        headers = [*response.raw_headers, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        self.transport.write(b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body]))


class _Busy:
    """Refuses every request but the one that asks whether the process lives."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == _ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        detail = "The server has as many connections as it takes; try again in a few seconds."
        headers = {"Retry-After": "2", "Connection": "close"}
        await problem_response(503, ProblemCode.BUSY, detail, headers)(scope, receive, send)
