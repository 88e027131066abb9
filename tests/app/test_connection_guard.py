"""The connection guard over real sockets: slow clients, broken requests, too many connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from sentiloc.app.http.connection_guard import guarded_protocol
from sentiloc.app.settings import Settings
from tests.support.services import PATIENCE, wait_for
from tests.support.sockets import is_closed

MOST = 4
# Short, and longer than any pause of a busy machine.
HEADER_SECONDS = 1.0
SETTINGS = Settings(
    max_connections=MOST,
    header_seconds=HEADER_SECONDS,
    slow_body_seconds=1.0,
    slow_body_bytes_per_second=100_000,
    slow_read_seconds=1.0,
    slow_read_bytes_per_second=1000,
)
BIG_BYTES = 30 << 20
GET = b"GET /size HTTP/1.1\r\nHost: test\r\n\r\n"


def application() -> FastAPI:
    app = FastAPI()
    released = asyncio.Event()

    @app.get("/wait")
    async def wait() -> int:
        await released.wait()
        return 0

    @app.get("/release")
    async def release() -> int:
        released.set()
        return 0

    @app.get("/big")
    async def big() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(BIG_BYTES >> 16):
                yield bytes(1 << 16)

        return StreamingResponse(pieces())

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


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[tuple[uvicorn.Server, int]]:
    config = uvicorn.Config(
        application(), port=0, http=guarded_protocol(settings), log_config=None, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started)
    yield server, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[uvicorn.Server, int]]:
    with serving(SETTINGS) as started:
        yield started


@contextlib.contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
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
    """Send the start, then ten bytes a second, as a slow loris does."""
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
        client.sendall(b"POST /size HTTP/1.1\r\nHost: test\r\nContent-Length: 2400000\r\n\r\n")
        for _ in range(24):
            client.sendall(bytes(100_000))
            time.sleep(0.1)
        assert read_answer(client, b"2400000").startswith(b"HTTP/1.1 200")


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
def test_data_that_is_not_http_is_a_problem(server: tuple[uvicorn.Server, int], text: bytes) -> None:
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
def test_headers_and_trailers_of_a_body_are_bounded(
    server: tuple[uvicorn.Server, int], endless: bytes
) -> None:
    with connection(server[1]) as client:
        client.sendall(CHUNKED + endless)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                client.sendall(b"A: b\r\n" * 1000 if endless.endswith(b"\n") else b"x" * 6000)
            raise AssertionError("6 MB were taken")
        answer = read_all(client)
        assert not answer or problem(answer) == (b"HTTP/1.1 400 Bad Request", "bad_request")


def test_bytes_after_a_body_are_not_a_header(server: tuple[uvicorn.Server, int]) -> None:
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
def test_slow_bytes_around_answers_are_cut_off(server: tuple[uvicorn.Server, int], before: bytes) -> None:
    """A body that no route reads, and one after another request."""
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


def test_requests_that_are_worked_on_do_not_give_way(server: tuple[uvicorn.Server, int]) -> None:
    wait_for(lambda: not server[0].server_state.connections)
    with contextlib.ExitStack() as stack:
        working = [stack.enter_context(connection(server[1])) for _ in range(MOST)]
        for client in working:
            client.sendall(GET.replace(b"/size", b"/wait"))
        wait_for(lambda: len(server[0].server_state.tasks) >= MOST)
        late = stack.enter_context(connection(server[1]))
        late.sendall(GET)
        assert problem(read_all(late)) == (b"HTTP/1.1 503 Service Unavailable", "busy")
        health = stack.enter_context(connection(server[1]))
        health.sendall(GET.replace(b"/size", b"/healthz"))
        assert read_answer(health).startswith(b"HTTP/1.1 200")
        working[0].close()
        wait_for(lambda: len(server[0].server_state.connections) < MOST + 2)
        with connection(server[1]) as release:
            release.sendall(GET.replace(b"/size", b"/release"))
            assert read_answer(release).startswith(b"HTTP/1.1 200")
        assert all(read_answer(client).startswith(b"HTTP/1.1 200") for client in working[1:])
    wait_for(lambda: not server[0].server_state.connections)


def half_open(client: socket.socket) -> None:
    client.sendall(b"GET /size HTTP/1.1\r\nHost: test\r\n")


def idle(client: socket.socket) -> None:
    client.sendall(GET)
    assert read_answer(client).startswith(b"HTTP/1.1 200")


def unread(client: socket.socket) -> None:
    client.sendall(GET.replace(b"/size", b"/big") * 10)


@pytest.mark.parametrize("occupy", [half_open, idle, unread])
def test_idle_connections_keep_no_other_client_out(
    occupy: Callable[[socket.socket], None],
) -> None:
    patient = SETTINGS.model_copy(update={"header_seconds": 600.0, "slow_read_seconds": 600.0})
    with serving(patient) as (server, port), contextlib.ExitStack() as stack:
        for _ in range(3 * MOST):
            occupy(stack.enter_context(connection(port)))
        for _ in range(20):
            with connection(port) as honest:
                honest.sendall(GET)
                assert read_answer(honest).startswith(b"HTTP/1.1 200")
        wait_for(lambda: len(server.server_state.connections) <= MOST + 1)


def test_an_address_has_a_limit_of_its_own() -> None:
    own = SETTINGS.model_copy(update={"max_connections": 100, "max_connections_per_address": 2})
    with serving(own) as (server, port), contextlib.ExitStack() as stack:
        mine = [stack.enter_context(connection(port)) for _ in range(2)]
        for client in mine:
            client.sendall(GET.replace(b"/size", b"/wait"))
        # A connection gives way until its request is worked on.
        wait_for(lambda: len(server.server_state.tasks) >= 2)
        late = stack.enter_context(connection(port))
        late.sendall(GET)
        assert problem(read_all(late)) == (b"HTTP/1.1 503 Service Unavailable", "busy")
        other = stack.enter_context(socket.socket())
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", port))
        other.sendall(GET.replace(b"/size", b"/release"))
        assert read_answer(other).startswith(b"HTTP/1.1 200")
        assert all(read_answer(client).startswith(b"HTTP/1.1 200") for client in mine)


def test_an_answer_that_is_not_read_is_cut_off(
    server: tuple[uvicorn.Server, int], caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as stack, caplog.at_level(logging.WARNING):
        clients = [stack.enter_context(connection(server[1])) for _ in range(MOST)]
        for client in clients:
            unread(client)
        assert all(client.recv(1) for client in clients)
        wait_for(lambda: not server[0].server_state.connections)
        assert all(len(read_all(client)) < BIG_BYTES for client in clients)
    assert not caplog.records


def test_clients_that_leave_amid_answers_leave_no_traceback(
    server: tuple[uvicorn.Server, int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(MOST):
            with connection(server[1]) as client:
                unread(client)
                client.recv(1 << 16)
        wait_for(lambda: not server[0].server_state.connections and not server[0].server_state.tasks)
    assert not caplog.records


def test_an_answer_that_is_read_slowly_is_sent_whole(server: tuple[uvicorn.Server, int]) -> None:
    with connection(server[1]) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.sendall(GET.replace(b"/size", b"/big").replace(b"1.1\r\n", b"1.0\r\n"))
        got = 0
        while piece := client.recv(1 << 20):
            got += len(piece)
            time.sleep(0.002)
        assert got > BIG_BYTES


def test_a_flood_of_connections_is_bounded(server: tuple[uvicorn.Server, int]) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connection(server[1])) for _ in range(MOST + 164)]
        wait_for(lambda: sum(is_closed(client) for client in clients) >= 160)
        wait_for(lambda: len(server[0].server_state.connections) <= MOST + 1)
    wait_for(lambda: not server[0].server_state.connections)
