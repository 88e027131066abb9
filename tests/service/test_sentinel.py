"""The primary of a replicated Redis is lost: no accepted job is lost, and the service recovers by itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx

from tests.service.running import JOB_SECONDS
from tests.support.fleet import fleet, post_clip
from tests.support.sentinels import replicated_redis
from tests.support.services import PATIENCE, wait_for

# Sentinels need 3 s to notice and about as long to agree. Sentinels that a busy machine has held up do nothing for
# 30 s. `tests.proofs.faults sentinel` measures the time.
BACK_SECONDS = 180.0
QUICK = {"lease_seconds": 4, "reaper_interval_seconds": 1}


def is_done(client: httpx.Client, job: str | None) -> bool:
    return bool(client.get(f"/jobs/{job}").json().get("state") == "succeeded")


def test_a_lost_primary_loses_no_job(tmp_path: Path, clips: Path) -> None:
    with (
        replicated_redis(tmp_path) as redis,
        fleet(tmp_path, redis_url=redis.url, redis_wait_replicas=1, **QUICK) as members,
        httpx.Client(base_url=members[0].url, timeout=PATIENCE) as client,
    ):
        accepted = [post_clip(client, clips / "short.mp4", f"clip-{number}") for number in range(4)]
        assert all(accepted)
        redis.kill_primary()
        later = wait_for(lambda: post_clip(client, clips / "short.mp4", "clip-4"), BACK_SECONDS)
        for job in [*accepted, later]:
            wait_for(partial(is_done, client, job), JOB_SECONDS)
