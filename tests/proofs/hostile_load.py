"""Hostile and honest clients at the same time: honest ones must only notice a busy machine.

    python -m tests.proofs.hostile_load [--seconds 600] [--work runs/hostile]

Two hostile addresses hold 700 half-open headers and 560 connections whose answers they do not read. They guess keys,
and use their own key to the limits: jobs, uploads, event streams, unread videos. Meanwhile honest clients of another
key poll, list, upload and fetch results. For comparison, the honest clients use the service alone for a tenth of that
time before the attack, and again after it. The two parts are counted together, so other load on the machine that comes
or goes during the run counts on both sides. The load average of each part is reported.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.proofs.faults.rig import Row, clip, running, save
from tests.service.running import RunningService
from tests.support.services import sentiloc_command
from tests.support.sockets import is_closed

HOSTILE = ("127.0.0.2", "127.0.0.3")
HALF_OPEN, UNREAD, POLLERS = 700, 560, 4
POLLS_PER_SECOND = 10
MOST_TIMES = 5.0


def main() -> None:
    """Measure, and save; as `--attack`, be the hostile clients."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--work", type=Path, default=Path("runs") / "hostile")
    parser.add_argument("--attack", nargs=4, metavar=("PORT", "KEY", "JOB", "VIDEO"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.attack:
        port, key, job, video = args.attack
        Attack(int(port), key, job, Path(video)).run()
    work = args.work.resolve()
    command = f"python -m tests.proofs.hostile_load --seconds {args.seconds:g}"
    save("hostile_load", command, prove(work, args.seconds))


def prove(work: Path, seconds: float) -> Row:
    """Quiet, attacked, quiet again."""
    settings = {"api_keys": "on", "key_rate_per_minute": 100_000, "feature_cache_bytes": 2 << 30}
    with running(work, "service", **settings) as service:
        honest, greedy = make_key(service, "honest"), make_key(service, "greedy")
        video = clip(work, "moment.mp4", 0.4)
        long = clip(work, "long.mp4", 30.0, fps=5.0, size=(64, 48))
        api = service.process("API")
        quiet = max(10.0, seconds / 10)
        earlier = Honest(service, honest, video)
        earlier.work(quiet)
        before = memories(service)
        job = submit(service, greedy, long)
        command = [sys.executable, "-m", "tests.proofs.hostile_load", "--attack"]
        hostile = subprocess.Popen([*command, service.url.rpartition(":")[2], greedy, job, str(long)])
        try:
            time.sleep(5.0)
            began, used = time.monotonic(), cpu_seconds(api)
            amid = Honest(service, honest, video)
            amid.work(seconds / 2)
            middle = memories(service)
            amid.work(seconds / 2)
            share = (cpu_seconds(api) - used) / (time.monotonic() - began)
            end = memories(service)
        finally:
            hostile.kill()
            hostile.wait()
        queued = cancel_queued(service)
        later = Honest(service, honest, video)
        later.work(quiet)
        after = memories(service)
        traces = service.output.count("Traceback")
    idle = percentile(earlier.times + later.times)
    times = percentile(amid.times) / idle
    rows = {"idle_before": earlier.row(), "attacked": amid.row(), "idle_after": later.row()}
    return {
        "seconds": seconds,
        **rows,
        "idle_p99_ms": round(1000 * idle, 1),
        "p99_times_idle": round(times, 2),
        "jobs_of_the_greedy_key_left": queued,
        "memory_mb": {"before": before, "middle": middle, "end": end, "after": after},
        "api_cores_attacked": round(share, 2),
        "tracebacks": traces,
        "passed": not any(row["errors"] for row in rows.values())
        and times <= MOST_TIMES
        and end["API"] - middle["API"] < 20
        and traces == 0,
    }


def percentile(times: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(times, n=100)[98]


def cancel_queued(service: RunningService) -> int:
    """Cancel all jobs that still wait, so that the worker has no more to do than before; returns their number."""
    store = service.store()
    return sum(store.cancel_many(store.queued(100_000)))


def make_key(service: RunningService, name: str) -> str:
    """A new key, created as an operator would do it."""
    command = sentiloc_command(
        "keys", "create", "--name", name, "--rate", "0", "--data-dir", str(service.data)
    )
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=service._environment)
    found = re.search(r"key: +(\S+)", done.stdout)
    assert found is not None
    return found[1]


def memories(service: RunningService) -> dict[str, float]:
    """Resident memory in MB of the API, the process that runs jobs, and Redis."""
    pids = {"API": service.process("API"), "job process": service.worker_child()}
    return {name: memory(pid) for name, pid in {**pids, "Redis": service.process("redis")}.items()}


def memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return round(int(found[1]) / 1024, 1) if found else 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def submit(service: RunningService, key: str, video: Path) -> str:
    """Submit a job of this key."""
    with video.open("rb") as file:
        answer = httpx.post(
            f"{service.url}/localize", files={"video": file}, headers={"X-API-Key": key}, timeout=60
        )
    return str(answer.json()["id"])


@dataclass
class Honest:
    """Clients of one key: pollers, and one that repeatedly sends a video, follows it and fetches the result."""

    service: RunningService
    key: str
    video: Path
    times: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    job_seconds: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)

    def work(self, seconds: float) -> None:
        """Use the service for this time."""
        until = time.monotonic() + seconds
        job = submit(self.service, self.key, self.video)
        threads = [threading.Thread(target=self._poll, args=(job, until)) for _ in range(POLLERS)]
        threads.append(threading.Thread(target=self._localize, args=(until,)))
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.loads.append(os.getloadavg()[0])
            threads[-1].join(5.0)

    def row(self) -> Row:
        """The observations: times of polls, and every unexpected answer."""
        errors = {end: count for end, count in self.ends.items() if end not in ("200", "202", "succeeded")}
        return {
            "polls": len(self.times),
            "p50_ms": round(1000 * statistics.median(self.times), 1),
            "p99_ms": round(1000 * percentile(self.times), 1),
            "slowest_ms": round(1000 * max(self.times), 1),
            "load": [round(min(self.loads), 1), round(max(self.loads), 1)],
            "jobs": len(self.job_seconds),
            "slowest_job_seconds": round(max(self.job_seconds, default=0.0), 1),
            "answers": dict(self.ends),
            "errors": errors,
        }

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.service.url, headers={"X-API-Key": self.key}, timeout=30)

    def _poll(self, job: str, until: float) -> None:
        with self._client() as client:
            number = 0
            while time.monotonic() < until:
                path = "/jobs?limit=5" if number % 20 == 19 else f"/jobs/{job}"
                began = time.perf_counter()
                end = self._ask(client, "GET", path)
                self.times.append(time.perf_counter() - began)
                self.ends[end] += 1
                number += 1
                time.sleep(1 / POLLS_PER_SECOND)

    def _localize(self, until: float) -> None:
        with self._client() as client:
            while time.monotonic() < until:
                began = time.monotonic()
                # Bytes that no cache knows.
                data = self.video.read_bytes() + b"\0\0\0\x18free" + secrets.token_bytes(16)
                try:
                    answer = client.post("/localize", files={"video": ("a.mp4", data)})
                    self.ends[str(answer.status_code)] += 1
                    if answer.status_code == 202:
                        self._follow(client, answer.json()["id"])
                except httpx.HTTPError as error:
                    self.ends[type(error).__name__] += 1
                self.job_seconds.append(time.monotonic() - began)
                time.sleep(2.0)

    def _follow(self, client: httpx.Client, job: str) -> None:
        while (state := client.get(f"/jobs/{job}").json()["state"]) not in (
            "succeeded",
            "failed",
            "cancelled",
        ):
            time.sleep(0.5)
        self.ends[state] += 1
        self.ends[self._ask(client, "GET", f"/jobs/{job}/result")] += 1

    def _ask(self, client: httpx.Client, method: str, path: str) -> str:
        try:
            return str(client.request(method, path).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__


class Attack:
    """The hostile clients; they run until the process is killed."""

    def __init__(self, port: int, key: str, job: str, video: Path) -> None:
        self._port, self._key, self._job, self._video = port, key, job, video
        self._sockets: dict[bytes, list[socket.socket]] = {}

    def run(self) -> None:
        """Run all attacks at once."""
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        static = b"GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 10
        video = f"GET /jobs/{self._job}/video HTTP/1.1\r\nHost: x\r\nX-API-Key: {self._key}\r\n\r\n".encode()
        stream = video.replace(b"/video", b"/events")
        ways: list[tuple[Any, ...]] = [
            (self._hold, HOSTILE[0], b"GET /jobs HTTP/1.1\r\nHost: x\r\n", HALF_OPEN),
            (self._hold, HOSTILE[1], static, UNREAD // 2),
            (self._hold, HOSTILE[1], video, UNREAD // 2),
            (self._hold, HOSTILE[0], stream, 100),
            (self._guess,),
            (self._fill,),
        ]
        for way, *arguments in ways:
            threading.Thread(target=way, args=arguments, daemon=True).start()
        while os.getppid() != 1:
            time.sleep(0.5)

    def _hold(self, address: str, request: bytes, count: int) -> None:
        """Keep this number of connections that have sent `request` and read nothing."""
        held = self._sockets.setdefault(request, [])
        while True:
            held[:] = [one for one in held if not is_closed(one)]
            for _ in range(count - len(held)):
                one = socket.socket()
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.settimeout(2.0)
                try:
                    one.bind((address, 0))
                    one.connect(("127.0.0.1", self._port))
                    one.sendall(request)
                    held.append(one)
                except OSError:
                    one.close()
                    break
            time.sleep(1.5)

    def _guess(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=10) as client:
            while True:
                key = f"sentiloc_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
                with contextlib.suppress(httpx.HTTPError):
                    client.get("/jobs", headers={"X-API-Key": key})
                time.sleep(0.05)

    def _fill(self) -> None:
        """Fill the queue and the open uploads."""
        data = self._video.read_bytes()
        headers = {"X-API-Key": self._key}
        tus = {**headers, "Tus-Resumable": "1.0.0", "Upload-Length": "1000000"}
        with httpx.Client(base_url=f"http://127.0.0.1:{self._port}", headers=headers, timeout=30) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    new = data + b"\0\0\0\x18free" + secrets.token_bytes(16)
                    client.post("/localize", files={"video": ("a.mp4", new)})
                    for _ in range(5):
                        client.post("/uploads", headers=tus)
                time.sleep(0.2)


if __name__ == "__main__":
    main()
