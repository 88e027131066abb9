"""API and worker processes side by side on one store, each of which a test may kill and start again."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.services import sentiloc_command, sentiloc_environment, wait_for

_LISTENS = re.compile(r"running on (http://[\d.:]+)")
START_SECONDS = 120.0


@dataclass
class Member:
    """One process, `api` or `worker`, with a log of its own."""

    kind: str
    log: Path
    environment: dict[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; an API keeps the port that it had."""
        flags = ["--port", str(self.port)] if self.kind == "api" else []
        with self.log.open("ab") as output:
            command = sentiloc_command(self.kind, *flags)
            self.process = subprocess.Popen(command, env=self.environment, stderr=output, process_group=0)
        if self.kind == "api":
            self.port = httpx.URL(self.url).port or 0

    @property
    def url(self) -> str:
        """Where an API listens; waits until it does."""
        return wait_for(self._last_address, START_SECONDS)

    def _last_address(self) -> str | None:
        """From the last start: the log holds those before, too."""
        found = _LISTENS.findall(self.log.read_text())
        return str(found[-1]) if found else None

    def kill(self) -> None:
        """SIGKILL to it alone; its children notice that they have lost their parent."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


@contextmanager
def fleet(folder: Path, apis: int = 1, workers: int = 1, **settings: object) -> Iterator[list[Member]]:
    """So many APIs, then so many workers, started and ready; all are stopped at the end."""
    environment = sentiloc_environment(data_dir=folder / "data", **settings)
    kinds = ["api"] * apis + ["worker"] * workers
    members = [
        Member(kind, folder / f"{kind}-{number}.log", environment) for number, kind in enumerate(kinds)
    ]
    try:
        for member in members:
            member.start()
        with httpx.Client(base_url=members[0].url, timeout=30) as client:
            wait_for(lambda: client.get("/readyz").status_code == 200, START_SECONDS)
        yield members
    finally:
        for member in members:
            member.stop()


def post_clip(client: httpx.Client, video: Path, key: str) -> str | None:
    """The id of the job that is accepted under an idempotency key; None where the service cannot take it now."""
    with video.open("rb") as file:
        answer = client.post("/localize", files={"video": file}, headers={"Idempotency-Key": key})
    if answer.status_code not in (202, 503):
        raise AssertionError(answer.text)
    return str(answer.json()["id"]) if answer.status_code == 202 else None
