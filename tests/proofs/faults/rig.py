"""Shared by the proofs: a private service, a ledger that survives an interruption, and checks of outcomes."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.service.running import RunningService
from tests.support.media import make_clip

RESULTS = Path(__file__).parents[1] / "results"
PATIENCE_SECONDS = 300.0
SETTLE_SECONDS = 10.0
Row = dict[str, Any]


class Ledger:
    """Rows that are saved at once, so that an interrupted proof can resume."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def rows(self) -> list[Row]:
        """All rows so far."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]

    def add(self, row: Row) -> None:
        """Save one row."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def save(name: str, command: str, summary: Row) -> None:
    """Print a proof's summary and write it to `tests/proofs/results/NAME.json`."""
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "system": platform.system()}
    whole = {"command": command, "at": time.strftime("%Y-%m-%d"), "machine": machine, **summary}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(whole, indent=1))


@contextmanager
def running(work: Path, name: str, **settings: object) -> Iterator[RunningService]:
    """Run a service in a new folder under `work`; no process remains at its end."""
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    service = RunningService(folder, **settings)
    try:
        service.start()
        yield service
    finally:
        service.stop()
    service.wait_gone()


def clip(work: Path, name: str, seconds: float, **look: Any) -> Path:
    """A video of that many seconds with sound, made once."""
    path = work / "clips" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make_clip(path, seconds=seconds, **{"audio": "aac", **look})
    return path


def outcome(service: RunningService, job_id: str) -> Row:
    """The outcome of a job: its state, number of claims, final events and result files.

    The files of lost attempts are deleted a moment after a job is given up, so they get a few seconds.
    """
    job = service.wait_ended(job_id, PATIENCE_SECONDS)
    record = service.record(job_id)
    settled, until = int(job["state"] == "succeeded"), time.monotonic() + SETTLE_SECONDS
    while _results(service, job_id) != settled and time.monotonic() < until:
        time.sleep(0.1)
    return {
        "state": job["state"],
        "error": (job["error"] or {}).get("code"),
        "attempts": record.attempt,
        "crashes": record.crashes,
        "finals": service.finals(job_id),
        "results": _results(service, job_id),
    }


def _results(service: RunningService, job_id: str) -> int:
    return len(list((service.data / "results").glob(f"{job_id}.*.json")))


def undisturbed_seconds(service: RunningService, video: Path) -> float:
    """The time that a warm worker needs for this video; random times of faults are drawn from it."""
    service.wait_ended(service.submit(video), PATIENCE_SECONDS)
    started = time.monotonic()
    service.wait_ended(service.submit(video), PATIENCE_SECONDS)
    return time.monotonic() - started


def ended_well(row: Row) -> bool:
    """Whether the job succeeded exactly once."""
    return bool(row["state"] == "succeeded") and is_whole(row)


def is_whole(row: Row) -> bool:
    """Whether the job has one final state, one final event of it, and a result exactly if it succeeded."""
    return bool(row["finals"] == [row["state"]]) and row["results"] == (row["state"] == "succeeded")
