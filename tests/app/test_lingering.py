"""An answer that is sent before the whole body has arrived still reaches the client."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import Response
from starlette.types import Message

from sentiloc.app.http.lingering import LingeringResponse
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from tests.support.services import PATIENCE, wait_for

BODY_BYTES = 40 << 20


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    yield int(server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    thread.join()


def test_a_refusal_reaches_a_client_that_reads_only_after_sending(port: int) -> None:
    head = (
        f"POST /localize HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {BODY_BYTES}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(head.encode())
        # Far more than all socket buffers can hold, so it can only be sent if the other side reads.
        client.sendall(bytes(BODY_BYTES))
        answer = b""
        while data := client.recv(65_536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


def test_the_rest_of_the_body_is_discarded_between_answer_and_close() -> None:
    log: list[str] = []
    parts = iter([True, True, False])

    async def receive() -> Message:
        log.append("receive")
        return {"type": "http.request", "body": b"x", "more_body": next(parts)}

    async def send(message: Message) -> None:
        log.append("close" if message.get("more_body") is None and "body" in message else "answer")

    asyncio.run(LingeringResponse(Response(b"no", 413))({"type": "http"}, receive, send))
    assert log == ["answer", "answer", "receive", "receive", "receive", "close"]


def test_a_client_that_leaves_ends_the_wait() -> None:
    ended: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        ended.append(message)

    asyncio.run(LingeringResponse(Response(b"no", 413))({"type": "http"}, receive, send))
    assert len(ended) == 3
