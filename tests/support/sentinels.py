"""A primary, two replicas and three Sentinels as private, real processes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis, RedisError

from sentiloc.cli.server.redis_server import find_redis_server
from tests.support.servers import free_port
from tests.support.services import wait_for

PRIMARY = "jobs"
PASSWORD = "a password: /@?"
_SENTINELS = 3
_REPLICAS = 2


class Replicated:
    """The processes; `url` is for `SENTILOC_REDIS_URL`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = find_redis_server().path
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.servers = [free_port() for _ in range(1 + _REPLICAS)]
        self.sentinels = [free_port() for _ in range(_SENTINELS)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://:a%20password%3A%20%2F%40%3F@{hosts}/{PRIMARY}"

    def start(self) -> None:
        """Start all processes and wait until the replicas follow and the Sentinels agree."""
        for port in self.servers:
            self.start_server(port)
        first = self.servers[0]
        wait_for(
            lambda: answer(self.client(first), "info", "replication").get("connected_slaves") == _REPLICAS
        )
        for port in self.sentinels:
            self._start_sentinel(port, first)
        wait_for(lambda: all(self._sees_all(port) for port in self.sentinels))

    def start_server(self, port: int) -> None:
        """Start the primary, or a replica that follows it."""
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        follows = [] if port == self.servers[0] else ["--replicaof", "127.0.0.1", str(self.servers[0])]
        options = ["--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
        login = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        quick = ["--repl-diskless-sync-delay", "0", "--logfile", str(folder / "log")]
        self._running[port] = subprocess.Popen([self._program, *options, *login, *quick, *follows])

    def client(self, port: int) -> Redis:
        """A client of one server."""
        return Redis(port=port, password=PASSWORD, decode_responses=True, socket_timeout=2)

    def kill_primary(self) -> int:
        """Kill the current primary; returns its port."""
        port = self.primary()
        self._running[port].kill()
        self._running[port].wait()
        return port

    def primary(self) -> int:
        """The port of the primary according to the first Sentinel."""
        found = Redis(port=self.sentinels[0], decode_responses=True).sentinel_get_master_addr_by_name(PRIMARY)
        return int(found[1]) if isinstance(found, tuple) else 0

    def stop(self) -> None:
        """Stop all processes."""
        for process in self._running.values():
            process.kill()
            process.wait()

    def _start_sentinel(self, port: int, primary: int) -> None:
        path = self._folder / f"sentinel-{port}.conf"
        lines = [
            f"port {port}",
            f"dir {self._folder}",
            f"logfile {self._folder}/sentinel-{port}.log",
            f"sentinel monitor {PRIMARY} 127.0.0.1 {primary} 2",
            f'sentinel auth-pass {PRIMARY} "{PASSWORD}"',
            f"sentinel down-after-milliseconds {PRIMARY} 3000",
            f"sentinel failover-timeout {PRIMARY} 10000",
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._running[port] = subprocess.Popen([self._program, str(path), "--sentinel"])

    def _sees_all(self, port: int) -> bool:
        state = answer(Redis(port=port, decode_responses=True), "sentinel_master", PRIMARY)
        return (state.get("num-slaves"), state.get("num-other-sentinels")) == (_REPLICAS, _SENTINELS - 1)


def answer(client: Redis, command: str, *arguments: str) -> dict[str, object]:
    """A server's answer; empty while it does not respond."""
    try:
        found: dict[str, object] = getattr(client, command)(*arguments)
        return found
    except RedisError:
        time.sleep(0.1)
        return {}


@contextmanager
def replicated_redis(folder: Path) -> Iterator[Replicated]:
    """Primary, replicas and Sentinels, running."""
    redis = Replicated(folder)
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
