"""Several API and worker processes on one store; a test may kill and restart each of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.servers import free_port
from tests.support.services import PATIENCE, sentiloc_command, sentiloc_environment, wait_for

_LISTENS = re.compile(r"running on (http://[\d.:]+)")
START_SECONDS = 120.0


@dataclass
class Member:
    """One process, `api` or `worker`, with its own log."""

    kind: str
    log: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the process; an API keeps its port, which nobody else gets while it is down."""
        flags = ["--port", str(self.port)] if self.kind == "api" else []
        with self.log.open("ab") as output:
            command = self.command(self.kind, *flags)
            self.process = subprocess.Popen(command, env=self.environment, stderr=output, process_group=0)

    def command(self, *arguments: str) -> list[str]:
        """Its command line."""
        return sentiloc_command(*arguments)

    @property
    def url(self) -> str:
        """The address of an API; waits until it listens."""
        return wait_for(self._last_address, START_SECONDS)

    def _last_address(self) -> str | None:
        """The address of the last start; the log also holds those of earlier starts."""
        found = _LISTENS.findall(self.log.read_text(encoding="utf-8"))
        return str(found[-1]) if found else None

    def kill(self) -> None:
        """Send SIGKILL to this process alone; its children notice that their parent is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Send SIGTERM and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)


@contextmanager
def fleet(folder: Path, apis: int = 1, workers: int = 1, **settings: object) -> Iterator[list[Member]]:
    """Start APIs, then workers, and wait until they are ready; all are stopped at the end."""
    environment = sentiloc_environment(data_dir=folder / "data", **settings)
    kinds = ["api"] * apis + ["worker"] * workers
    members = [
        Member(kind, folder / f"{kind}-{number}.log", environment) for number, kind in enumerate(kinds)
    ]
    try:
        for member in members:
            member.start()
        with httpx.Client(base_url=members[0].url, timeout=PATIENCE) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200, START_SECONDS)
        yield members
    finally:
        for member in members:
            member.stop()


def post_clip(client: httpx.Client, video: Path, key: str) -> str | None:
    """Post a clip under an idempotency key; returns the job's id, or None if the service cannot accept it now."""
    with video.open("rb") as file:
        answer = client.post("/localize", files={"video": file}, headers={"Idempotency-Key": key})
    if answer.status_code not in (202, 503):
        raise AssertionError(answer.text)
    return str(answer.json()["id"]) if answer.status_code == 202 else None
