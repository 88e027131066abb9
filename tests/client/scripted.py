"""A real HTTP server on loopback with scripted answers, for behaviour that a healthy service never shows."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Answer = Callable[["Handler"], None]


class Request(NamedTuple):
    """A received request."""

    path: str
    headers: Message
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Sends the next answer of the script; the last one is repeated."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.requests.append(Request(self.path, self.headers, self.rfile.read(length)))
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    do_GET = do_POST = do_DELETE = do_PATCH = _handle  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class ScriptedServer(ThreadingHTTPServer):
    """Records every request with its body."""

    daemon_threads = True

    def __init__(self, script: tuple[Answer, ...]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = list(script)
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def sent(self, header: str) -> list[str | None]:
        """The value of a header in each request."""
        return [request.headers.get(header) for request in self.requests]


@contextmanager
def scripted(*script: Answer) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(status: int, body: Any = None, kind: str = "application/json", **headers: str) -> Answer:
    """An answer with a body: JSON or text."""

    def send(handler: Handler) -> None:
        data = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return send


def problem(status: int, code: str, **headers: str) -> Answer:
    body = {
        "type": f"urn:sentiloc:problem:{code}",
        "title": "T",
        "status": status,
        "detail": "D",
        "code": code,
    }
    return answer(status, body, "application/problem+json", **headers)


def hang_up(handler: Handler) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut_off(handler: Handler) -> None:
    """The connection ends in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id":')
    handler.wfile.flush()
    hang_up(handler)


def events(*blocks: str) -> Answer:
    """An event stream that breaks off after these blocks."""
    return answer(200, "".join(f"{block}\n\n" for block in blocks), "text/event-stream", Connection="close")
