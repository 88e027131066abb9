"""A separate listener for `/healthz`, which answers however many connections the service has.

It runs in a thread with its own event loop. The service's event loop sends heartbeats; if they stop, the answer is 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator

from sentiloc.app.http.listening import listen
from sentiloc.app.version import version
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

_PATH = "/healthz"
_BEAT_SECONDS = 1.0
# How soon the thread notices a stop.
_LOOK_SECONDS = 0.2
# Longer than any pause of a busy event loop, and shorter than an orchestrator's time-out.
_SILENCE_SECONDS = 15.0
_REQUEST_SECONDS = 2.0
# A probe's header has a few hundred bytes.
_MAX_HEADER_BYTES = 8192
_MAX_CONNECTIONS = 64
_BACKLOG = 256
_STATUS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


class HealthListener:
    """Answers `GET /healthz` on `host` and `port`: 200 while the event loop that runs `beating` responds."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._heard_at = time.monotonic()
        self._open = 0
        self._stop = threading.Event()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Listen, and send heartbeats from the caller's event loop, while the context lasts. Raises `invalid_data`."""
        # Bound in the caller's thread, so that a used port is an error at the start.
        with self._bind() as listener:
            thread = threading.Thread(
                # A separate thread, because this must answer while the service's event loop is blocked.
                target=lambda: asyncio.run(self._serve(listener)),
                name="health",
                daemon=True,
            )
            thread.start()
            beat = asyncio.get_running_loop().create_task(self._beat())
            try:
                yield
            finally:
                beat.cancel()
                self._stop.set()
                thread.join(timeout=2)

    async def _beat(self) -> None:
        while True:
            self._heard_at = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)

    def _bind(self) -> socket.socket:
        try:
            listener = listen(self._host, self._port, _BACKLOG)
        except OSError as error:
            detail = f"SENTILOC_HEALTH_PORT: cannot listen on {self._host}:{self._port}: {error.strerror}"
            raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
        self._port = listener.getsockname()[1]
        return listener

    async def _serve(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._answer, sock=listener, limit=_MAX_HEADER_BYTES)
        while not self._stop.is_set():
            await asyncio.sleep(_LOOK_SECONDS)
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            # Above the limit the connection is closed at once: a flood must not take memory here either.
            if self._open <= _MAX_CONNECTIONS:
                async with asyncio.timeout(_REQUEST_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._response(head))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            logger.debug("a connection to the health listener broke off")
        finally:
            self._open -= 1
            writer.close()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("ascii", "replace")
        is_alive = time.monotonic() - self._heard_at < _SILENCE_SECONDS
        status = 404 if method not in (b"GET", b"HEAD") or path != _PATH else 200 if is_alive else 503
        body = json.dumps({"status": "ok", "version": version()}).encode() if status == 200 else b""
        lines = (
            f"HTTP/1.1 {status} {_STATUS[status]}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        sent = b"" if method == b"HEAD" else body
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + sent
