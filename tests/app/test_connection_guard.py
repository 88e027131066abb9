"""The guard of each connection, over real sockets: slow, broken and too many clients."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI, Request

from sentiloc.app.http.connection_guard import guarded_protocol
from sentiloc.app.settings import Settings
from tests.support.services import wait_for

MOST = 4
HEADER_SECONDS = 0.5
SETTINGS = Settings(
    max_connections=MOST,
    header_seconds=HEADER_SECONDS,
    slow_body_seconds=0.5,
    slow_body_bytes_per_second=100_000,
)
GET = b"GET /size HTTP/1.1\r\nHost: test\r\n\r\n"


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/size")
    @app.get("/healthz")
    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.post("/late")
    async def late(request: Request) -> int:
        await request.body()
        headers: list[tuple[bytes, bytes]] = request.scope["headers"]
        return sum(name == b"x-late" for name, _ in headers)

    return app


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[uvicorn.Server, int]]:
    config = uvicorn.Config(
        application(), port=0, http=guarded_protocol(SETTINGS), log_config=None, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    yield server, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@contextlib.contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        yield client


def read_all(client: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65_536):
            answer += piece
    return answer


def read_answer(client: socket.socket, body: bytes = b"0") -> bytes:
    """One answer on a connection that stays open."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n" + body):
        piece = client.recv(65_536)
        assert piece, answer
        answer += piece
    return answer


def problem(answer: bytes) -> tuple[bytes, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    return head.split(b"\r\n")[0], json.loads(body)["code"]


def test_a_request_and_a_second_one_on_the_same_connection(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        for _ in range(2):
            client.sendall(GET)
            assert read_answer(client).startswith(b"HTTP/1.1 200")
            # An idle connection is no slow header: uvicorn's keep-alive time holds for it.
            time.sleep(2 * HEADER_SECONDS)


@pytest.mark.parametrize("start", [b"", b"GET /a", b"GET / HTTP/1.1\r\nHost: test\r\nX: "])
@pytest.mark.parametrize("first", [b"", GET])
def test_a_header_that_does_not_end_is_cut_off(
    server: tuple[uvicorn.Server, int], first: bytes, start: bytes
) -> None:
    if first and not start:
        pytest.skip("that is an idle connection")
    began = time.monotonic()
    with connection(server[1]) as client:
        if first:
            client.sendall(first)
            assert read_answer(client).startswith(b"HTTP/1.1 200")
            began = time.monotonic()
        ended = threading.Event()
        threading.Thread(target=_drip, args=(client, start, ended)).start()
        answer = read_all(client)
        ended.set()
        assert time.monotonic() - began >= 0.9 * HEADER_SECONDS
    if start:
        assert problem(answer) == (b"HTTP/1.1 408 Request Timeout", "request_timeout")
    else:
        assert answer == b""


def _drip(client: socket.socket, start: bytes, ended: threading.Event, piece: bytes = b"x") -> None:
    """Send the start, then a byte ten times a second, as a slow loris does."""
    with contextlib.suppress(OSError):
        client.sendall(start)
        while start and not ended.wait(0.1):
            client.sendall(piece)


def test_a_body_that_drips_is_cut_off(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        client.sendall(b"POST /size HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n")
        ended = threading.Event()
        threading.Thread(target=_drip, args=(client, b"x", ended)).start()
        assert read_all(client) == b""
        ended.set()


def test_a_body_at_a_pace_is_taken(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        client.sendall(b"POST /size HTTP/1.1\r\nHost: test\r\nContent-Length: 1200000\r\n\r\n")
        for _ in range(12):
            client.sendall(bytes(100_000))
            time.sleep(0.1)
        assert read_answer(client, b"1200000").startswith(b"HTTP/1.1 200")


LONG = b"x" * 2_000_000
NO_HTTP = (
    b"\x16\x03\x01\x02\0\1\0",
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: " + LONG,
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 20_000,
    b"GET /" + LONG + b" HTTP/1.1\r\nHost: a",
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
)


@pytest.mark.parametrize("text", NO_HTTP, ids=range(len(NO_HTTP)))
def test_what_is_not_http_is_a_problem(server: tuple[uvicorn.Server, int], text: bytes) -> None:
    with connection(server[1]) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(text + b"\r\n\r\n")
        assert problem(read_all(client)) == (b"HTTP/1.1 400 Bad Request", "bad_request")


def test_a_body_that_is_not_http_ends_the_connection(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        client.sendall(b"POST /size HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        answer = read_all(client)
        assert not answer or answer.startswith(b"HTTP/1.1 400")
    with connection(server[1]) as client:
        client.sendall(GET)
        assert read_answer(client).startswith(b"HTTP/1.1 200")


CHUNKED = b"POST /size HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("endless", [b"1;", b"1\r\nx\r\n0\r\nA: ", b"1\r\nx\r\n0\r\n"])
def test_what_surrounds_a_body_is_bounded(server: tuple[uvicorn.Server, int], endless: bytes) -> None:
    with connection(server[1]) as client:
        client.sendall(CHUNKED + endless)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                client.sendall(b"A: b\r\n" * 1000 if endless.endswith(b"\n") else b"x" * 6000)
            raise AssertionError("6 MB were taken")
        answer = read_all(client)
        assert not answer or problem(answer) == (b"HTTP/1.1 400 Bad Request", "bad_request")


def test_what_follows_a_body_is_no_header(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        client.sendall(CHUNKED.replace(b"/size", b"/late"))
        client.sendall(b"1\r\nx\r\n0\r\nX-Late: xxx\r\n\r\n")
        assert read_answer(client).startswith(b"HTTP/1.1 200")


def test_requests_sent_ahead_are_answered_in_order_and_bounded(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        client.sendall(GET * 8)
        answer = b""
        while answer.count(b"HTTP/1.1 200") < 8 or not answer.endswith(b"0"):
            answer += client.recv(65_536)
    with connection(server[1]) as client:
        client.sendall(GET * 1000)
        assert read_all(client).count(b"HTTP/1.1 200") < 100


@pytest.mark.parametrize(
    "before",
    [
        b"POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n",
        GET + b"POST /size HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n",
    ],
)
def test_what_drips_around_answers_is_cut_off(server: tuple[uvicorn.Server, int], before: bytes) -> None:
    """A body that nobody reads, and one behind another request."""
    with connection(server[1]) as client:
        ended = threading.Event()
        threading.Thread(target=_drip, args=(client, before, ended)).start()
        assert read_all(client).count(b"HTTP/1.1 ") == 1
        ended.set()


def test_blank_lines_are_no_way_to_stay(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        client.sendall(GET)
        assert read_answer(client).startswith(b"HTTP/1.1 200")
        ended = threading.Event()
        threading.Thread(target=_drip, args=(client, b"\r\n", ended, b"\r\n")).start()
        assert read_all(client) == b""
        ended.set()


def test_more_connections_than_the_bound_are_refused(server: tuple[uvicorn.Server, int]) -> None:
    wait_for(lambda: not server[0].server_state.connections)
    with contextlib.ExitStack() as stack:
        for _ in range(MOST):
            client = stack.enter_context(connection(server[1]))
            client.sendall(GET)
            assert read_answer(client).startswith(b"HTTP/1.1 200")
        late = stack.enter_context(connection(server[1]))
        late.sendall(GET)
        assert problem(read_all(late)) == (b"HTTP/1.1 503 Service Unavailable", "busy")
        health = stack.enter_context(connection(server[1]))
        health.sendall(GET.replace(b"/size", b"/healthz"))
        assert read_answer(health).startswith(b"HTTP/1.1 200")
    wait_for(lambda: not server[0].server_state.connections)


def test_a_flood_of_connections_is_bounded(server: tuple[uvicorn.Server, int]) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connection(server[1])) for _ in range(MOST + 164)]
        wait_for(lambda: sum(is_closed(client) for client in clients) >= 90)
        assert len(server[0].server_state.connections) <= MOST + 64 + 1
    wait_for(lambda: not server[0].server_state.connections)


def is_closed(client: socket.socket) -> bool:
    try:
        client.setblocking(False)
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
