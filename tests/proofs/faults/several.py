"""Three API and three worker processes on one store and one bucket, killed at random while clips are posted."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from functools import partial
from pathlib import Path

import boto3
import httpx

from sentiloc.app.housekeeping.ownership import MARKER_KEY
from tests.proofs.faults.rig import PATIENCE_SECONDS, Row, clip
from tests.support.fleet import Member, fleet, post_clip
from tests.support.s3_server import BUCKET, s3_server
from tests.support.services import private_redis, wait_for

APIS, WORKERS = 3, 3
_PAUSE_SECONDS = 0.5
_KILL_EVERY = 15.0
_SETTINGS = {
    "lease_seconds": 4,
    "reaper_interval_seconds": 1,
    "shutdown_grace_seconds": 0.2,
    "feature_cache_bytes": 0,
    "threads": 1,
}
_ENDED = ("succeeded", "failed", "cancelled")


def prove_several(work: Path, count: int) -> Row:
    """Apply load for `count` seconds; every fifteen seconds a random process gets SIGKILL and is restarted."""
    folder = work / "several"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = {"storage_url": f"s3://{BUCKET}/videos"}
    with private_redis(folder / "redis") as redis, s3_server("seaweedfs") as url:
        settings = {**_SETTINGS, **place, "redis_url": redis.url, "storage_endpoint": url}
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        os.environ.update(keys)
        with fleet(folder, APIS, WORKERS, **settings) as members:
            accepted, kills = _load(members, clip(work, "second.mp4", 1.0), count)
            with httpx.Client(base_url=members[0].url, timeout=30) as client:
                states = [wait_for(partial(_ended, client, job), PATIENCE_SECONDS) for job in accepted]
                listed = {job["id"] for page in _pages(client) for job in page}
                results = sum(client.get(f"/jobs/{job}/result").status_code == 200 for job in accepted)
        objects = boto3.client("s3", endpoint_url=url, region_name="us-east-1").list_objects_v2(
            Bucket=BUCKET, Prefix="videos/results/"
        )
    found = [entry["Key"].removeprefix("videos/") for entry in objects.get("Contents", [])]
    made = [key for key in found if key != MARKER_KEY]
    row = {
        "seconds": count,
        "accepted": len(accepted),
        "kills": kills,
        "lost": sum(state != "succeeded" for state in states),
        "ends": dict(Counter(states)),
        "doubled": len(listed - set(accepted)),
        "results_readable": results,
        "results_without_a_job": sum(not any(job in key for job in accepted) for key in made),
    }
    row["passed"] = row["lost"] == row["doubled"] == row["results_without_a_job"] == 0 and results == len(
        accepted
    )
    return row


def _load(members: list[Member], video: Path, seconds: int) -> tuple[list[str], dict[str, int]]:
    """Post clips to the APIs in turn until the time is over; returns accepted jobs and kills by kind."""
    rng = random.Random(0)
    apis = [member for member in members if member.kind == "api"]
    accepted: list[str] = []
    kills = {"api": 0, "worker": 0}
    ends, next_kill = time.monotonic() + seconds, time.monotonic() + _KILL_EVERY
    number = 0
    while time.monotonic() < ends:
        if time.monotonic() > next_kill:
            victim = rng.choice(members)
            victim.kill()
            victim.start()
            kills[victim.kind] += 1
            next_kill = time.monotonic() + _KILL_EVERY
        job = _posted(apis[number % len(apis)], video, number)
        # A clip that was not accepted is posted again, with its key, to the next API.
        if job is not None:
            accepted.append(job)
            number += 1
        time.sleep(_PAUSE_SECONDS)
    return accepted, kills


def _posted(api: Member, video: Path, number: int) -> str | None:
    """Post a clip; returns its job, or None if this API has just been killed or cannot accept it."""
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{api.port}", timeout=30) as client:
            return post_clip(client, video, f"clip-{number}")
    except httpx.TransportError:
        return None


def _ended(client: httpx.Client, job: str) -> str | None:
    answer = client.get(f"/jobs/{job}")
    if answer.status_code == 404:
        return "lost"
    body = answer.json()
    state = body.get("state")
    return f"failed: {body['error']['code']}" if state == "failed" else state if state in _ENDED else None


def _pages(client: httpx.Client) -> list[list[Row]]:
    pages: list[list[Row]] = []
    cursor = None
    while True:
        query = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        body = client.get("/jobs", params=query).json()
        pages.append(body["jobs"])
        cursor = body["next_cursor"]
        if not cursor:
            return pages
