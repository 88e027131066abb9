"""The primary of a replicated Redis is lost: no accepted job is lost, and the service recovers by itself."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx

from tests.support.fleet import fleet, post_clip
from tests.support.sentinels import replicated_redis
from tests.support.services import wait_for

# Sentinels need 3 s to notice and about as long to agree; the rest is for a busy machine. `tests.proofs.faults
# sentinel` measures it.
BACK_SECONDS = 45.0
QUICK = {"lease_seconds": 4, "reaper_interval_seconds": 1}


def is_done(client: httpx.Client, job: str | None) -> bool:
    return bool(client.get(f"/jobs/{job}").json().get("state") == "succeeded")


def test_a_lost_primary_loses_no_job(tmp_path: Path, clips: Path) -> None:
    with (
        replicated_redis(tmp_path) as redis,
        fleet(tmp_path, redis_url=redis.url, redis_wait_replicas=1, **QUICK) as members,
        httpx.Client(base_url=members[0].url, timeout=30) as client,
    ):
        accepted = [post_clip(client, clips / "short.mp4", f"clip-{number}") for number in range(4)]
        assert all(accepted)
        redis.kill_primary()
        lost_at = time.monotonic()
        later = wait_for(lambda: post_clip(client, clips / "short.mp4", "clip-4"), BACK_SECONDS)
        assert time.monotonic() - lost_at < BACK_SECONDS
        for job in [*accepted, later]:
            wait_for(partial(is_done, client, job), 180)
