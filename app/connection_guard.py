"""What guards each HTTP connection before the application sees a request: time for the header, a pace for the
body, a bound on open connections, and problems instead of uvicorn's plain texts.

Extends uvicorn's h11 protocol, whose names used here are held by `tests/app/test_connection_guard.py`.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any

import h11
from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from app.problems import ProblemCode, problem_response
from app.settings import Settings

_REFUSED_POLITELY = 64
_ALWAYS_ANSWERED = "/healthz"


def guarded_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's `http` option, with this service's limits."""
    return type("GuardedHTTP", (_GuardedHTTP,), {"settings": settings})


class _GuardedHTTP(H11Protocol):
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
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's own keep-alive time counts, until the next one begins."""
        self._stop_timer()
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is not HTTP with a problem; in the midst of an answer, just end."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(problem_response(400, ProblemCode.BAD_REQUEST, "The request is not valid HTTP."))
        self.transport.close()

    def _watch(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle is not self._request:
            self._begin()
        elif self._header_is_under_way() and self._timer is None:
            self._await(self.settings.header_seconds, self._header_is_late)

    def _begin(self) -> None:
        """A request's header is complete: from now on its body must come at a pace."""
        self._request, self._began_at, self._received = self.cycle, time.monotonic(), 0
        self._stop_timer()
        if self.cycle.more_body:
            self._await(self.settings.slow_body_seconds, self._check_pace)

    def _header_is_under_way(self) -> bool:
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def _header_is_late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        detail = f"The request's header did not come within {self.settings.header_seconds:g} seconds."
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self._answer(problem_response(408, ProblemCode.REQUEST_TIMEOUT, detail))
        self.transport.close()

    def _check_pace(self) -> None:
        """End a connection whose body drips; time in which we did not read is not the client's fault."""
        self._timer = None
        if self.cycle is None or not self.cycle.more_body or self.transport.is_closing():
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
        phrase = HTTPStatus(response.status_code).phrase.encode()
        events = (
            h11.Response(status_code=response.status_code, headers=headers, reason=phrase),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")


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
