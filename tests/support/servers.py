"""Redis servers on a port, with options of the test's choice."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiloc.cli.server.redis_server import find_redis_server
from tests.support.services import wait_for

HIGHEST_OF_A_PAIR = 55_000


@contextmanager
def redis_on_a_port(folder: Path, *options: str) -> Iterator[int]:
    """A server that listens on a free port of 127.0.0.1; yields the port once it accepts connections."""
    log = folder / "redis-port.log"
    # In cluster mode the servers talk to each other on a second port.
    port = free_pair()
    command = [find_redis_server().path, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--save", "", "--logfile", str(log), *options])
    try:
        wait_for(
            lambda: log.exists() and "Ready to accept connections" in log.read_text(encoding="utf-8"), 30
        )
        yield port
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def free_pair() -> int:
    """A free port, of which the one 10,000 above is free, too: some servers take both, and do not start otherwise."""
    return next(port for port in iter(free_port, 0) if port < HIGHEST_OF_A_PAIR and is_free(port + 10_000))


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of 127.0.0.1."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0
