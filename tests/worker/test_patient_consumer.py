"""A worker and a Redis that can be reached, but takes no messages."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.support.services import ROOT, sentiloc_environment, wait_for

SERVING = "from sentiloc.worker.celery_app import celery_app; celery_app.Worker(pool_cls='solo', quiet=True).start()"
COMMANDS = {"serving": ("-c", SERVING), "extraction": ("-m", "sentiloc.worker.bulk.process", "run", "1")}


@pytest.mark.parametrize("worker", COMMANDS)
def test_a_worker_does_not_press_a_redis_that_is_full(redis_url: str, tmp_path: Path, worker: str) -> None:
    log = tmp_path / "log"

    def refusals() -> int:
        return log.read_text(encoding="utf-8").count("Cannot connect")

    with connect(Settings(redis_url=redis_url)) as redis, log.open("wb") as output:
        redis.config_set("maxmemory", 1)
        process = subprocess.Popen(
            [sys.executable, *COMMANDS[worker]],
            env=sentiloc_environment(redis_url=redis_url, data_dir=tmp_path),
            cwd=ROOT,
            stderr=output,
        )
        try:
            wait_for(lambda: refusals() > 0)
            time.sleep(2)
            # Celery itself would try ten times in this time.
            assert refusals() <= 3
        finally:
            process.kill()
            process.wait()
            redis.config_set("maxmemory", 0)
