"""Row 1: `kill -9` of the worker at random times in all stages."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.proofs.faults.rig import Ledger, Row, clip, ended_well, outcome, running, undisturbed_seconds
from tests.service.running import RunningService, kill

STAGES = ("queued", "decoding", "extracting", "localizing", "any")
_SPREAD = {"queued": 0.005, "decoding": 0.2, "extracting": 0.9, "localizing": 0.02, "any": 1.1}
"""Latest time of a kill after the beginning of a stage, as a share of an undisturbed job's time."""


def prove(work: Path, kills: int, seed: int = 0) -> Row:
    """Kill the worker `kills` times, alternately the parent and the child that runs the job."""
    ledger = Ledger(work / "worker_kills.jsonl")
    video = clip(work, "minute.mp4", 60.0, size=(160, 120))
    if len(ledger.rows()) < kills:
        with running(work, "worker_kills", reaper_interval_seconds=1) as service:
            undisturbed = undisturbed_seconds(service, video)
            for index in range(len(ledger.rows()), kills):
                ledger.add(_one(service, video, index, undisturbed, random.Random(seed + index)))
    return _summary(ledger.rows()[:kills])


def _one(service: RunningService, video: Path, index: int, undisturbed: float, chance: random.Random) -> Row:
    wanted = STAGES[index % len(STAGES)]
    victim = "worker" if index // len(STAGES) % 2 else "child"
    service.worker_child()
    job_id = service.submit(video)
    _wait_for_stage(service, job_id, wanted)
    time.sleep(chance.uniform(0, _SPREAD[wanted] * undisturbed))
    record = service.record(job_id)
    _kill(service, victim)
    return {
        "victim": victim,
        "killed_at": record.stage or str(record.state),
        "progress": record.progress,
        **outcome(service, job_id),
    }


def _kill(service: RunningService, victim: str) -> None:
    """Kill the running process of that kind; a process that was killed before may still be ending."""
    while True:
        pid = service.worker_child() if victim == "child" else service.process("worker")
        with suppress(ProcessLookupError):
            kill(pid)
            return


def _wait_for_stage(service: RunningService, job_id: str, wanted: str) -> None:
    store = service.store()
    while wanted not in ("any", "queued"):
        record = store.get(job_id)
        if record is None or record.stage == wanted or record.state.is_terminal:
            return
        time.sleep(0.001)


def _summary(rows: list[Row]) -> Row:
    lost = [row for row in rows if not ended_well(row)]
    return {
        "kills": len(rows),
        "killed_at": dict(Counter(row["killed_at"] for row in rows)),
        "victims": dict(Counter(row["victim"] for row in rows)),
        "attempts": dict(Counter(str(row["attempts"]) for row in rows)),
        "jobs_lost_or_doubled": len(lost),
        "lost": lost,
        "passed": not lost,
    }
