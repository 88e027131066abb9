"""Real parts for tests: a private Redis, a `sentiloc` process, and waiting for a condition."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sentiloc.cli.server.redis_server import (
    find_redis_server,
    redis_command,
    remove_socket,
    socket_path,
    wait_for_redis,
)

ROOT = Path(__file__).parents[2]
# Seconds that a busy machine may take for what usually takes an instant.
PATIENCE = 120.0
T = TypeVar("T")


class PrivateRedis:
    """A private Redis server, started as `sentiloc serve` does."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = socket_path(folder)
        self._command = redis_command(find_redis_server().path, folder, self._path)
        self.url = f"unix://{self._path}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command)
        assert wait_for_redis(self.url, PATIENCE)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def private_redis(folder: Path) -> Iterator[PrivateRedis]:
    redis = PrivateRedis(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()
        remove_socket(folder)


def sentiloc_command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-c", "from sentiloc.cli.main import main; main()", *arguments]


def sentiloc_environment(**settings: object) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTILOC_")}
    named = {f"SENTILOC_{name.upper()}": str(value) for name, value in settings.items()}
    return {**kept, "PYTHONPATH": str(ROOT), **named}


def wait_for(what: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """Wait for a true value and return it; fails after a time limit. An empty list counts as false."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = what()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s in vain for {what}")
