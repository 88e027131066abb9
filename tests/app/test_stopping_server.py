"""A server that stops while requests are in progress: each gets an answer, and the log has no tracebacks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from sentiloc.app.http.answers import Answers, Running
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from tests.app.asking import VIDEO
from tests.support.services import PATIENCE, wait_for

FORM = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000"
TUS = "Tus-Resumable: 1.0.0\r\nUpload-Length: 9\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 9"
UNFINISHED = [
    f"POST /v1/localize HTTP/1.1\r\nHost: test\r\n{FORM}\r\n\r\n--x\r\n",
    "POST /v1/localize HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
    f"POST /v1/uploads HTTP/1.1\r\nHost: test\r\n{TUS}\r\n\r\nabc",
]


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[tuple[uvicorn.Server, int]]:
    """A server that cancels what is in progress as soon as it stops."""
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    yield server, int(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    thread.join()


def sent(port: int, text: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(text.encode())
    return client


def read_all(client: socket.socket) -> bytes:
    with client:
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_every_request_gets_a_typed_answer(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving(create_app(settings)) as (server, port):
        job = httpx.post(f"http://127.0.0.1:{port}/v1/localize", files={"video": VIDEO}).json()["id"]
        stream = sent(port, f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: test\r\n\r\n")
        begun = stream.recv(1)
        clients = [sent(port, text) for text in UNFINISHED]
        wait_for(lambda: len(server.server_state.tasks) == len(clients) + 1)
    for client in clients:
        head, _, body = read_all(client).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 2" in head
        assert json.loads(body)["code"] == "busy"
    # The last chunk: the stream ends, it is not cut off.
    assert (begun + read_all(stream)).endswith(b"0\r\n\r\n")
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(("kind", "ends"), [("text/event-stream; charset=utf-8", True), ("text/csv", False)])
def test_a_cut_off_answer_never_looks_complete(
    kind: str, ends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a,b\n", "more_body": True})
        await asyncio.Event().wait()

    with serving(Answers(endless, Running())) as (_, port):
        client = sent(port, "GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        begun = client.recv(1)
    assert (begun + read_all(client)).endswith(b"0\r\n\r\n") is ends
    assert [record for record in caplog.records if record.exc_info] == []
