"""Rows 3, 4, 5 and 18: poison, jobs longer than the visibility timeout, SIGTERM, and clocks that jump."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from tests.proofs.faults.rig import (
    Ledger,
    Row,
    clip,
    ended_well,
    is_whole,
    outcome,
    running,
    undisturbed_seconds,
)
from tests.service.running import RunningService, children, kill
from tests.support.services import wait_for

VISIBILITY_SECONDS = 4
_NOTHING_TO_DO = "nothing to do"


def prove_poison(work: Path, jobs: int) -> Row:
    """Each job's worker is killed whenever it begins to work on it; another job waits behind it."""
    rows = []
    with running(work, "poison") as service:
        long, short = clip(work, "poison.mp4", 600.0, fps=5.0, size=(64, 48)), clip(work, "moment.mp4", 0.4)
        for _ in range(jobs):
            bad, good = service.submit(long), service.submit(short)
            for attempt in range(1, 4):
                service.wait_running(bad, attempt)
                kill(service.worker_child())
            rows.append({"bad": outcome(service, bad), "good": outcome(service, good)})
    right = [
        row
        for row in rows
        if (row["bad"]["error"], row["bad"]["attempts"]) == ("poison", 3)
        and is_whole(row["bad"])
        and row["good"]["state"] == "succeeded"
        and is_whole(row["good"])
    ]
    return {"jobs": jobs, "rows": rows, "passed": len(right) == jobs}


def prove_visibility(work: Path, jobs: int) -> Row:
    """A job is held up for three visibility timeouts, so that Redis delivers its message repeatedly."""
    rows = []
    settings = {"visibility_timeout_seconds": VISIBILITY_SECONDS, "worker_concurrency": 2}
    with running(work, "visibility", **settings) as service:
        video = clip(work, "poison.mp4", 600.0, fps=5.0, size=(64, 48))
        for _ in range(jobs):
            job_id = service.submit(video)
            before = service.output.count(_NOTHING_TO_DO)
            held = _hold(service, job_id, 3 * VISIBILITY_SECONDS)
            row = outcome(service, job_id)
            again = service.output.count(_NOTHING_TO_DO) - before
            rows.append({**row, "held_seconds": held, "delivered_again": again})
    once = [row for row in rows if row["attempts"] == 1 and ended_well(row)]
    return {
        "visibility_timeout_seconds": VISIBILITY_SECONDS,
        "jobs": jobs,
        "started_once": len(once),
        "delivered_again": sum(row["delivered_again"] for row in rows),
        "rows": rows,
        "passed": len(once) == jobs and any(row["delivered_again"] for row in rows),
    }


def _hold(service: RunningService, job_id: str, seconds: float) -> float:
    """Stop the job's decoder until Redis has delivered the message again, but at least this long."""
    service.wait_running(job_id)
    forkers = [pid for child in children(service.process("worker")) for pid in children(child)]
    decoders = [pid for forker in forkers for pid in children(forker)]
    started = time.monotonic()
    seen = service.output.count(_NOTHING_TO_DO)
    for pid in decoders:
        os.kill(pid, signal.SIGSTOP)
    # The proof needs a job that waits: a clip that is done by now would prove nothing.
    assert decoders and service.record(job_id).state.is_running
    while time.monotonic() - started < 25.0:
        is_again = service.output.count(_NOTHING_TO_DO) > seen
        if is_again and time.monotonic() - started > seconds:
            break
        time.sleep(0.1)
    for pid in decoders:
        os.kill(pid, signal.SIGCONT)
    return round(time.monotonic() - started, 1)


def prove_sigterm(work: Path, stops: int) -> Row:
    """Send SIGTERM to the worker at random times of a job, with a short and a longer grace time."""
    ledger = Ledger(work / "sigterm.jsonl")
    video = clip(work, "minute.mp4", 60.0, size=(160, 120))
    for grace in (0.2, 5.0):
        done = [row for row in ledger.rows() if row["grace_seconds"] == grace]
        if len(done) < stops // 2:
            with running(work, f"sigterm_{grace:g}", shutdown_grace_seconds=grace) as service:
                undisturbed = undisturbed_seconds(service, video)
                for index in range(len(done), stops // 2):
                    after = random.Random(index).uniform(0, undisturbed)
                    ledger.add({"grace_seconds": grace, **_stop_worker(service, video, after)})
    rows = ledger.rows()
    lost = [row for row in rows if not ended_well(row) or row["crashes"]]
    return {
        "stops": len(rows),
        "ended_by_itself": sum(row["ended_by_itself"] for row in rows),
        "attempts": dict(Counter(str(row["attempts"]) for row in rows)),
        "slowest_end_seconds": max(row["end_seconds"] for row in rows),
        "jobs_lost_doubled_or_blamed": len(lost),
        "lost": lost,
        "passed": not lost,
    }


def _stop_worker(service: RunningService, video: Path, after: float) -> Row:
    """Run one job; its worker gets SIGTERM some seconds after the job has begun."""
    worker = service.process("worker")
    service.worker_child()
    job_id = service.submit(video)
    service.wait_running(job_id)
    time.sleep(after)
    started = time.monotonic()
    os.kill(worker, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{worker}").exists(), 60)
    seconds = round(time.monotonic() - started, 2)
    ended = "worker ended (exit status 0)" in service.output
    return {"end_seconds": seconds, "ended_by_itself": ended, **outcome(service, job_id)}
