"""The primary of a replicated Redis is killed while clips are posted: counts lost jobs and the time without service."""

from __future__ import annotations

import shutil
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx

from tests.proofs.faults.rig import PATIENCE_SECONDS, Row, clip
from tests.support.fleet import fleet, post_clip
from tests.support.sentinels import replicated_redis
from tests.support.services import wait_for

LONGEST_OUTAGE = 15.0
_BEFORE, _AFTER = 10, 20
_PAUSE_SECONDS = 0.2


def prove_sentinel(work: Path, count: int) -> Row:
    """Kill the primary `count` times, each time on new servers."""
    rows = [_one(work / f"sentinel-{number}", clip(work, "second.mp4", 1.0)) for number in range(count)]
    return {
        "kills": count,
        "accepted": sum(row["accepted"] for row in rows),
        "lost": sum(row["lost"] for row in rows),
        "doubled": sum(row["doubled"] for row in rows),
        "longest_outage_seconds": max(row["outage_seconds"] for row in rows),
        "passed": all(
            row["lost"] == row["doubled"] == 0 and row["outage_seconds"] <= LONGEST_OUTAGE for row in rows
        ),
        "rows": rows,
    }


def _one(folder: Path, video: Path) -> Row:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (
        replicated_redis(folder) as redis,
        fleet(folder, redis_url=redis.url, redis_wait_replicas=1, lease_seconds=4) as members,
        httpx.Client(base_url=members[0].url, timeout=30) as client,
    ):
        accepted: dict[str, float] = {}
        refused = 0
        killed_at = 0.0
        for number in range(_BEFORE + _AFTER):
            if number == _BEFORE:
                redis.kill_primary()
                killed_at = time.monotonic()
            job, misses = _accepted(client, video, number)
            accepted[job] = time.monotonic()
            refused += misses
            time.sleep(_PAUSE_SECONDS)
        states = [wait_for(partial(_ended, client, job), PATIENCE_SECONDS) for job in accepted]
        listed = client.get("/jobs", params={"limit": 100}).json()["jobs"]
    times = [killed_at, *(at for at in accepted.values() if at > killed_at)]
    return {
        "accepted": len(accepted),
        "refused_meanwhile": refused,
        "lost": sum(state != "succeeded" for state in states),
        "doubled": len(listed) - len(accepted),
        "outage_seconds": round(max(b - a for a, b in pairwise(times)), 1),
    }


def _accepted(client: httpx.Client, video: Path, number: int) -> tuple[str, int]:
    """Post one clip until it is accepted; returns the job and the number of refusals."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    misses = 0
    while time.monotonic() < deadline:
        job = post_clip(client, video, f"clip-{number}")
        if job is not None:
            return job, misses
        misses += 1
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("no clip was accepted any more")


def _ended(client: httpx.Client, job: str) -> str | None:
    answer = client.get(f"/jobs/{job}")
    if answer.status_code == 404:
        return "lost"
    state = answer.json().get("state")
    return state if state in ("succeeded", "failed", "cancelled") else None
