"""The object store or Redis is away for minutes while clips are posted, queued and run; then it returns."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import boto3
import httpx

from tests.proofs.faults.rig import PATIENCE_SECONDS, Row, clip
from tests.proofs.faults.senders import Load, Phase
from tests.support.fleet import fleet
from tests.support.s3_server import BUCKET, seaweedfs
from tests.support.services import private_redis, wait_for

_BEFORE_SECONDS, _AFTER_SECONDS = 15.0, 20.0
# Posted at once before the fault, so that jobs wait in the queue while it lasts.
_BURST = 8
_SETTINGS = {"lease_seconds": 4, "reaper_interval_seconds": 1, "feature_cache_bytes": 0, "threads": 1}
_ENDED = ("succeeded", "failed", "cancelled")


_BARS = ("lost", "doubled", "keys_with_another_job", "results_unreadable", "jobs_without_exactly_one_result")


@dataclass(frozen=True, slots=True)
class Outage:
    """What was left when the server answered again: jobs that had not ended, and clips that were refused.

    `returned` is a Unix time; `start_seconds` is how long the server took to answer.
    """

    returned: float
    start_seconds: float
    waiting: list[str]
    refused: list[str]


class Server(Protocol):
    """A server that can be killed and started again on its data."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def start(self) -> None:
        """Start on the same data and wait until it answers."""


def prove_store_outage(work: Path, seconds: int) -> Row:
    """Stop SeaweedFS for that many seconds."""
    folder = _new(work / "outage")
    with private_redis(folder / "redis") as redis, seaweedfs() as store:
        place = {"storage_url": f"s3://{BUCKET}/videos", "storage_endpoint": store.url}
        settings = {**_SETTINGS, **place, "redis_url": redis.url}
        return _prove(work, folder, settings, store, seconds, partial(_objects, store.url))


def prove_redis_outage(work: Path, seconds: int) -> Row:
    """Stop Redis for that many seconds; videos and results are in a local folder."""
    folder = _new(work / "redis_outage")
    with private_redis(folder / "redis") as redis:
        settings = {**_SETTINGS, "redis_url": redis.url}
        return _prove(work, folder, settings, redis, seconds, partial(_files, folder / "data"))


def _new(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _prove(
    work: Path,
    folder: Path,
    settings: dict[str, Any],
    server: Server,
    seconds: int,
    results: Callable[[], list[str]],
) -> Row:
    video = clip(work, "moment.mp4", 0.4, size=(64, 48)).read_bytes()
    with fleet(folder, **settings) as members, httpx.Client(base_url=members[0].url, timeout=60) as client:
        with Load(members[0].url, video) as load:
            time.sleep(_BEFORE_SECONDS)
            load.burst(_BURST)
            at_the_stop = Counter(_state(client, job) for job in load.accepted)
            outage = _break(load, server, seconds)
            time.sleep(_AFTER_SECONDS)
        # The load has ended, so each of its clips has been accepted.
        ends = {job: wait_for(partial(_end, client, job), PATIENCE_SECONDS) for job in load.accepted}
        again = {key: load.post(key) for key in outage.refused}
        row = {
            "seconds": seconds,
            "accepted": len(ends),
            "at_the_stop": dict(at_the_stop),
            "refused_clips_accepted_later": len(outage.refused),
            "ends": dict(Counter(state for state, _ in ends.values())),
            "lost": sum(state != "succeeded" for state, _ in ends.values()),
            "doubled": len(_listed(client) ^ set(ends)),
            "keys_with_another_job": sum(job != load.jobs[key] for key, job in again.items()),
            "results_unreadable": sum(client.get(f"/jobs/{job}/result").status_code != 200 for job in ends),
            "jobs_without_exactly_one_result": _unequal(ends, results()),
            "answers": {phase.value: dict(load.answers[phase]) for phase in Phase},
            "unclear_answers": load.unclear(),
            **_times(outage, load, {job: at for job, (_, at) in ends.items()}),
        }
    bars = (*_BARS, "unclear_answers")
    row["passed"] = _refused_all(load.answers[Phase.DURING]) and not any(row[bar] for bar in bars)
    return row


def _break(load: Load, server: Server, seconds: int) -> Outage:
    """Stop the server for that many seconds."""
    load.phase = Phase.CHANGE
    server.kill()
    load.phase = Phase.DURING
    time.sleep(seconds)
    load.phase = Phase.CHANGE
    begun = time.monotonic()
    server.start()
    returned, start_seconds = time.time(), time.monotonic() - begun
    load.phase = Phase.AFTER
    waiting = [job for job in load.accepted if job not in load.succeeded]
    return Outage(returned, start_seconds, waiting, load.refused())


def _times(outage: Outage, load: Load, ends: dict[str, float]) -> Row:
    """The seconds until the service had recovered, counted from the server's first answer."""
    backlog = {*outage.waiting, *(load.jobs[key] for key in outage.refused)}
    first = min(at for at in ends.values() if at > outage.returned)
    last = max(ends[job] for job in backlog)
    return {
        "backlog": len(backlog),
        "seconds_until_the_server_answered": round(outage.start_seconds, 1),
        "seconds_from_return_to_first_success": round(first - outage.returned, 1),
        "seconds_from_return_to_backlog_done": round(last - outage.returned, 1),
    }


def _unequal(jobs: Iterable[str], results: list[str]) -> int:
    """The number of jobs that do not have exactly one result."""
    return sum(sum(name.startswith(f"{job}.") for name in results) != 1 for job in jobs)


def _refused_all(answers: Counter[str]) -> bool:
    """Whether clips were sent and results were asked for, and each answer was a 503."""
    return all(
        f"{what} 202" not in answers
        and f"{what} 200" not in answers
        and any(name.startswith(f"{what} 503") for name in answers)
        for what in ("submission", "result")
    )


def _state(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/jobs/{job}").json()["state"])


def _end(client: httpx.Client, job: str) -> tuple[str, float] | None:
    """The final state of a job and its Unix time."""
    answer = client.get(f"/jobs/{job}")
    if answer.status_code == 404:
        return "lost", 0.0
    body = answer.json()
    if body.get("state") not in _ENDED:
        return None
    why = f" {body['error']['code']}" if body["error"] else ""
    return f"{body['state']}{why}", datetime.fromisoformat(body["finished_at"]).timestamp()


def _listed(client: httpx.Client) -> set[str]:
    found: set[str] = set()
    query: dict[str, str] = {"limit": "100"}
    while True:
        body = client.get("/jobs", params=query).json()
        found |= {job["id"] for job in body["jobs"]}
        if not body["next_cursor"]:
            return found
        query["cursor"] = body["next_cursor"]


def _objects(url: str) -> list[str]:
    """Names of the result objects."""
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    prefix = "videos/results/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())]


def _files(data: Path) -> list[str]:
    """Names of the result files."""
    return [path.name for path in (data / "results").iterdir()]
