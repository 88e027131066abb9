"""A `sentiloc serve` process, with methods to use, break and stop it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from tests.support.services import PATIENCE, sentiloc_command, sentiloc_environment, wait_for

START_SECONDS = 180.0
JOB_SECONDS = 240.0
QUICK: dict[str, Any] = {
    "lease_seconds": 4,
    "reaper_interval_seconds": 1,
    "shutdown_grace_seconds": 0.2,
    "upload_idle_seconds": 2,
    "max_upload_bytes": 100 << 20,
    # The same few clips are sent repeatedly and must be processed each time.
    "feature_cache_bytes": 0,
    "outbound_allow": '["127.0.0.0/8"]',
}


class RunningService:
    """Starts, uses, breaks and stops one service in `folder`."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._environment = sentiloc_environment(**{**QUICK, **settings})
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: set[int] = set()
        self.client = httpx.Client(timeout=PATIENCE)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8")

    def launch(self, *flags: str) -> None:
        """Start without waiting for readiness."""
        command = sentiloc_command("serve", "--port", "0", "--data-dir", str(self.data), *flags)
        with (self.folder / "output").open("ab") as output:
            output.truncate(0)
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )

    def start(self) -> None:
        """Start and wait until the service is ready."""
        self.launch()
        wait_for(lambda: "Sentiloc is ready" in self.output, START_SECONDS)
        self.client.base_url = httpx.URL(self.url)
        self._sessions |= {self.process(part) for part in ("API", "worker", "redis")}

    @property
    def url(self) -> str:
        lines = [line.split() for line in self.output.splitlines()]
        return next(words[1] for words in lines if words[:1] == ["page:"])

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """Signal the supervisor and wait until it ends; returns its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(seconds)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.end()
        self.client.close()

    def wait_gone(self) -> None:
        """Wait until no process of this service runs: what is killed with its parent is gone an instant later."""
        wait_for(lambda: not self.left_over())

    def left_over(self) -> list[int]:
        """Processes of this service that still run. They are found by their session, which is the service's own."""
        return [pid for pid in _processes() if _session(pid) in self._sessions]

    def process(self, part: str) -> int:
        """Process id of `API`, `worker` or `redis`; waits until it runs."""
        mark = {"API": " api --fd", "worker": " worker", "redis": "-server "}[part]

        def find() -> int | None:
            found = [pid for pid in children(self.pid) if mark in _command(pid)]
            return found[0] if found else None

        pid = wait_for(find)
        self._sessions.add(pid)
        return pid

    def worker_child(self) -> int:
        """Process id of the worker's child, in which jobs run."""
        return wait_for(lambda: next(iter(children(self.process("worker"))), None))

    def store(self) -> JobStore:
        """The job records, read past the API."""
        return JobStore(Redis.from_url(f"unix://{self.data}/redis/redis.sock", decode_responses=True))

    def record(self, job_id: str) -> JobRecord:
        record = self.store().get(job_id)
        assert record is not None
        return record

    def finals(self, job_id: str) -> list[str]:
        """States of the job's final events: there must be exactly one."""
        events = self.store().events(job_id)
        return [fields["state"] for _, fields in events if fields["kind"] == "final"]

    def post(self, path: Path, name: str | None = None, **options: Any) -> httpx.Response:
        with path.open("rb") as file:
            video = (name or path.name, file, "video/mp4")
            form = {"options": json.dumps(options)} if options else {}
            return self.client.post("/localize", files={"video": video}, data=form)

    def submit(self, path: Path, name: str | None = None, **options: Any) -> str:
        """Upload; returns the job's id."""
        response = self.post(path, name, **options)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/jobs/{job_id}").json())

    def wait_running(self, job_id: str, attempt: int = 1) -> dict[str, Any]:
        """Wait until a worker has the job and has made some progress."""

        def running() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["state"] not in ("succeeded", "cancelled"), job
            return job if job["attempt"] >= attempt and job["progress"] > 0 else None

        return wait_for(running, JOB_SECONDS)

    def wait_ended(self, job_id: str, seconds: float = JOB_SECONDS) -> dict[str, Any]:
        """Wait for a final state."""

        def ended() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in ("succeeded", "failed", "cancelled") else None

        return wait_for(ended, seconds)

    def wait_ready(self) -> None:
        wait_for(lambda: self._status("/readyz") == 200, START_SECONDS)

    def _status(self, path: str) -> int | None:
        try:
            return self.client.get(path).status_code
        except httpx.HTTPError:
            return None


def children(pid: int) -> list[int]:
    """Process ids whose parent is `pid`."""
    return [other for other in _processes() if _stat(other)[1:2] == [str(pid)]]


def _processes() -> list[int]:
    alive = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in alive if _stat(pid)[:1] not in ([], ["Z"], ["X"])]


def _stat(pid: int) -> list[str]:
    """State, parent, group, session … of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _session(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[3]) if fields else 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
