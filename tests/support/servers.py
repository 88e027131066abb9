"""Redis servers on a port, with options of the test's choice, and ports for servers that cannot choose their own."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sentiloc.cli.server.redis_server import find_redis_server
from tests.support.services import wait_for

# Below the ports that the system gives to clients and to servers without a fixed port: nobody else takes one of these
# between the choice and the start of the server. The second port of a pair is in the upper half.
PORTS = range(11_000, 20_000)
PAIR = 10_000
_reserved: list[IO[str]] = []


@contextmanager
def redis_on_a_port(folder: Path, *options: str) -> Iterator[int]:
    """A server that listens on a free port of 127.0.0.1; yields the port once it accepts connections."""
    log = folder / "redis-port.log"
    # In cluster mode the servers talk to each other on a second port.
    port = free_pair()
    command = [find_redis_server().path, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--save", "", "--logfile", str(log), *options])
    try:
        wait_for(lambda: log.exists() and "Ready to accept connections" in log.read_text(encoding="utf-8"))
        yield port
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A free port, which no other test process gets while this process lasts."""
    return next(port for port in _shuffled() if is_free(port) and _reserve(port))


def free_pair() -> int:
    """A free port, of which the one 10,000 above is free, too: some servers take both, and do not start otherwise."""
    return next(port for port in _shuffled() if is_free(port) and is_free(port + PAIR) and _reserve(port))


def _shuffled() -> list[int]:
    """The ports in an order of their own for each call, so that a port is rarely used twice in a row."""
    return random.SystemRandom().sample(PORTS, len(PORTS))


def _reserve(port: int) -> bool:
    """Take a port for this process by a lock that the system releases at its end; False if another one has it."""
    # Each user has a folder of its own, because it cannot open the files of another.
    folder = Path(tempfile.gettempdir()) / f"sentiloc-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    file = (folder / str(port)).open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _reserved.append(file)
    return True


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of 127.0.0.1."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0
