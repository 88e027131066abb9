"""The primary of a replicated Redis is lost: no accepted job is lost, and the service comes back by itself."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx

from tests.support.fleet import fleet
from tests.support.sentinels import replicated_redis
from tests.support.services import wait_for

# Sentinels need 3 s to notice and about as long to agree; the rest is for a busy machine. `tests.proofs.faults
# sentinel` measures it.
BACK_SECONDS = 45.0
QUICK = {"lease_seconds": 4, "reaper_interval_seconds": 1}


def post(client: httpx.Client, video: Path, number: int) -> str | None:
    """The id of an accepted job; None if the service could not take it."""
    headers = {"Idempotency-Key": f"clip-{number}"}
    with video.open("rb") as file:
        answer = client.post("/localize", files={"video": file}, headers=headers)
    assert answer.status_code in (202, 503), answer.text
    return str(answer.json()["id"]) if answer.status_code == 202 else None


def is_done(client: httpx.Client, job: str | None) -> bool:
    return bool(client.get(f"/jobs/{job}").json().get("state") == "succeeded")


def test_a_lost_primary_loses_no_job(tmp_path: Path, clips: Path) -> None:
    with (
        replicated_redis(tmp_path) as redis,
        fleet(tmp_path, redis_url=redis.url, redis_wait_replicas=1, **QUICK) as members,
        httpx.Client(base_url=members[0].url, timeout=30) as client,
    ):
        accepted = [post(client, clips / "short.mp4", number) for number in range(4)]
        assert all(accepted)
        redis.kill_primary()
        lost_at = time.monotonic()
        later = wait_for(lambda: post(client, clips / "short.mp4", 4), BACK_SECONDS)
        assert time.monotonic() - lost_at < BACK_SECONDS
        for job in [*accepted, later]:
            wait_for(partial(is_done, client, job), 180)
