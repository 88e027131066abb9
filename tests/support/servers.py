"""Redis servers on a port, with options of the test's choice."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentiloc.cli.server.redis_server import find_redis_server
from tests.support.services import wait_for


@contextmanager
def redis_on_a_port(folder: Path, *options: str) -> Iterator[int]:
    """A server that listens on a free port of 127.0.0.1; yields the port once it accepts connections."""
    log = folder / "redis-port.log"
    port = free_port()
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
