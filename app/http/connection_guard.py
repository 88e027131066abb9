"""Limits on each HTTP connection, applied before the application sees a request.

It limits the time and size of headers, the minimum speed of bodies and of clients that read answers, open connections
and pipelined requests. It answers with problems instead of uvicorn's plain texts. It extends uvicorn's httptools
protocol and uses internals of uvicorn, so `pyproject.toml` has an upper bound for it and
`tests/app/test_connection_guard.py` checks the names. The parser of httptools accepts headers of any length and
requests without `Host`: both are refused here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from sentiloc.app.http.connection_table import ConnectionTable, address_name
from sentiloc.app.http.handlers import problem_response
from sentiloc.app.http.problems import ProblemCode
from sentiloc.app.settings import Settings

# Number of connections above the limit that still get a 503; further ones are dropped.
_REFUSED_WITH_ANSWER = 64
# An orchestrator that gets no answer would restart a server that is only busy.
_ALWAYS_ANSWERED = "/healthz"
# As much as h11 accepts by default.
_MAX_HEADER_BYTES = 64 * 1024
# Bytes of a header field in addition to name and value: colon, space, end of line.
_FIELD_BYTES = 4
# Browsers and HTTP libraries do not pipeline. A client that sends more only costs memory.
_MAX_PIPELINED = 16


def guarded_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's option `http`, with the limits of `settings`."""
    table = ConnectionTable(
        settings.max_connections, settings.max_connections_per_address, settings.trusted_proxies
    )
    # Uvicorn creates the protocol itself and passes no arguments of ours, so they are class attributes.
    return type("GuardedHTTP", (_GuardedHTTP,), {"settings": settings, "table": table})


class _RefusedError(Exception):
    """Raised inside the parser, which then treats the request as malformed."""


class _GuardedHTTP(HttpToolsProtocol):
    settings: Settings
    table: ConnectionTable

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
        self._unparsed = 0
        self._running: RequestResponseCycle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._undrained = 0
        self.address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, refuse it with a problem, or, far above the limit, drop it."""
        super().connection_made(transport)
        self.address = address_name(self.client[0] if self.client else "")
        excess = self.table.add(self)
        # Even a refusal costs memory: under a flood of connections only the first ones get one.
        if excess > _REFUSED_WITH_ANSWER:
            # abort drops unsent bytes; close would wait for a client that does not read.
            transport.abort()
        elif excess > 0:
            self.app = _Busy(self.app)
        self._await(self.settings.header_seconds, self._header_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and notify the request in progress, which uvicorn does not do if others are pipelined behind
        it.
        """
        self._stop_timer()
        self._stop_drain_timer()
        self.table.remove(self)
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            # Wakes an application that waits for the body in `receive`.
            self._running.message_event.set()
        super().connection_lost(exc)

    def is_waiting(self) -> bool:
        """True if the connection waits for its client; False while a request is being worked on.

        A connection with unread bytes of an answer, or with pipelined requests, counts as waiting, so it may be closed
        for others.
        """
        if self.flow.write_paused or not self._is_busy() or self.transport.is_closing():
            return True
        if self.pipeline or self.transport.get_write_buffer_size():
            return True
        return bool(self._awaits_body() and not self.flow.read_paused)

    def give_way(self) -> None:
        """Close the connection at once, to make room for another one."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: from now on a minimum speed applies."""
        super().pause_writing()
        self._watch_drain()

    def resume_writing(self) -> None:
        """The client has read most of what was written."""
        self.table.touch(self)
        self._stop_drain_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Let uvicorn parse, then time the header or the body that has begun."""
        self.table.touch(self)
        self._received += len(data)
        # Counts bytes that the parser buffers without a callback, such as an endless header name.
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > _MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("")
        self._watch(has_begun=True)

    def on_message_begin(self) -> None:
        """A header begins."""
        self._in_header, self._header_bytes, self._unparsed = True, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request target; raises if the header becomes too long."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; raises if the header becomes too long. Trailer fields are counted and ignored."""
        self._count(len(name) + len(value) + _FIELD_BYTES)
        if self._in_header:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Raises for a header without exactly one `Host`, and for too many pipelined requests."""
        self._in_header, self._unparsed = False, 0
        hosts = sum(name == b"host" for name, _ in self.headers)
        # HTTP/1.1 requires Host; HTTP/1.0 has none.
        least = 0 if self.parser.get_http_version() == "1.0" else 1
        if not least <= hosts <= 1 or len(self.pipeline) >= _MAX_PIPELINED:
            raise _RefusedError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Uvicorn's keep-alive time counts between two requests; the timer starts with the next request."""
        self._stop_timer()
        self.table.touch(self)
        super().on_response_complete()
        self._watch(has_begun=self._in_header)
        if self._drain_timer is None and self.transport.get_write_buffer_size():
            self._watch_drain()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer malformed requests with a problem. If an answer is being sent, only close the connection."""
        if not self._is_answering():
            self._answer(problem_response(400, ProblemCode.BAD_REQUEST, "The request is not valid HTTP."))
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _count(self, more: int) -> None:
        self._header_bytes += more
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise _RefusedError

    def _watch(self, has_begun: bool) -> None:
        """Start the timer of the header or body that is arriving. `has_begun`: bytes of a request have arrived."""
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
        """The header of a request is complete: from now on its body must keep a minimum speed."""
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
        detail = f"The request's header did not arrive within {self.settings.header_seconds:g} seconds."
        if self._in_header and not self._is_answering():
            self._answer(problem_response(408, ProblemCode.REQUEST_TIMEOUT, detail))
        self.transport.close()

    def _check_pace(self) -> None:
        """Close a connection whose body is too slow, unless we paused reading ourselves."""
        self._timer = None
        if not self._awaits_body() or self.transport.is_closing():
            return
        # The mean speed since the body began, so a short pause of a fast client does not count.
        least = self.settings.slow_body_bytes_per_second * (time.monotonic() - self._began_at)
        if self._received < least and not self.flow.read_paused:
            self.transport.close()
        else:
            self._await(self.settings.slow_body_seconds, self._check_pace)

    def _watch_drain(self) -> None:
        """Check after a while how much of the written answer the client has taken."""
        self._stop_drain_timer()
        self._undrained = self.transport.get_write_buffer_size()
        self._drain_timer = self.loop.call_later(self.settings.slow_read_seconds, self._check_drain)

    def _check_drain(self) -> None:
        """Drop a client that reads too slowly, also after `close`, which waits until everything is written."""
        self._drain_timer = None
        left = self.transport.get_write_buffer_size()
        least = self.settings.slow_read_bytes_per_second * self.settings.slow_read_seconds
        # The buffer grows only if another answer was written. Then the speed is not known yet.
        if 0 < left <= self._undrained and self._undrained - left < min(least, self._undrained):
            self.transport.abort()
        elif left:
            self._watch_drain()

    def _stop_drain_timer(self) -> None:
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None

    def _await(self, seconds: float, what: Any) -> None:
        self._timer = self.loop.call_later(seconds, what)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, response: Response) -> None:
        # Written directly, because there is no request for uvicorn to answer.
        headers = [*response.raw_headers, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        self.transport.write(b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body]))


class _Busy:
    """Refuses every request except the liveness check."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == _ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        detail = "The server has reached its limit of connections. Try again in a few seconds."
        headers = {"Retry-After": "2", "Connection": "close"}
        await problem_response(503, ProblemCode.BUSY, detail, headers)(scope, receive, send)
