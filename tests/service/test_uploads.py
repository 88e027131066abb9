"""Uploads over real sockets: clients that stop, stall, lie, or never end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.service.running import QUICK, RunningService
from tests.support.services import PATIENCE, wait_for

BOUNDARY = "b0undary"
HEAD = (
    "POST /localize HTTP/1.1\r\nHost: localhost\r\n"
    f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    "{length}\r\n\r\n"
)
FIELD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'.encode()
LIMIT = int(QUICK["max_upload_bytes"])
CHUNK = bytes(1 << 20)


@contextlib.contextmanager
def connection(service: RunningService, length: str) -> Iterator[socket.socket]:
    address = urlsplit(service.url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as client:
        client.sendall(HEAD.replace("{length}", length).encode())
        yield client


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def read_all(client: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65_536):
            answer += piece
    return answer


def uploads(service: RunningService) -> set[str]:
    return {path.name for path in (service.data / "uploads").glob("*")}


def nothing_new(service: RunningService, before: set[str]) -> bool:
    """Whether all files were there before. Some may be gone: the service deletes those of earlier tests' jobs."""
    return uploads(service) <= before


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_a_client_that_disconnects_leaves_no_file(service: RunningService) -> None:
    before = uploads(service)
    with connection(service, "Content-Length: 1000000") as client:
        client.sendall(FIELD + CHUNK[:1000])
        wait_for(lambda: not nothing_new(service, before))
    wait_for(lambda: nothing_new(service, before))


def test_a_stalled_client_gets_an_answer(service: RunningService) -> None:
    before = uploads(service)
    with connection(service, "Content-Length: 1000000") as client:
        client.sendall(FIELD)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"upload_timeout"' in answer
    wait_for(lambda: nothing_new(service, before))


def test_an_announced_size_beyond_the_limit_is_refused_before_the_body(service: RunningService) -> None:
    with connection(service, f"Content-Length: {10 * LIMIT}\r\nExpect: 100-continue") as client:
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_endless_upload_is_cut_off_with_flat_memory(service: RunningService) -> None:
    before, pid = uploads(service), service.process("API")
    at_first, answer, sent = memory(pid), b"", 0
    with connection(service, "Transfer-Encoding: chunked") as client:
        reader = threading.Thread(target=lambda: answers.append(read_all(client)))
        answers: list[bytes] = []
        reader.start()
        with contextlib.suppress(OSError):
            client.sendall(chunk(FIELD))
            while sent < 4 * LIMIT and not answers:
                client.sendall(chunk(CHUNK))
                sent += len(CHUNK)
        reader.join(PATIENCE)
        answer = answers[0]
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"upload_too_large"' in answer
    assert sent >= LIMIT
    wait_for(lambda: nothing_new(service, before))
    assert memory(pid) - at_first < 64 << 20


def test_an_upload_at_the_limit_is_streamed_with_flat_memory(service: RunningService) -> None:
    pid = service.process("API")
    at_first = memory(pid)
    with connection(service, "Transfer-Encoding: chunked") as client:
        client.sendall(chunk(FIELD))
        for _ in range(LIMIT // len(CHUNK)):
            client.sendall(chunk(CHUNK))
        client.sendall(chunk(f"\r\n--{BOUNDARY}--\r\n".encode()) + b"0\r\n\r\n")
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 202 "), answer
    assert memory(pid) - at_first < 64 << 20
