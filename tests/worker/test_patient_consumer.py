"""A worker and a Redis that can be reached, but takes no messages."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.support.services import ROOT, sentiloc_environment, wait_for

SERVING = "from sentiloc.worker.celery_app import celery_app; celery_app.Worker(pool_cls='solo', quiet=True).start()"
COMMANDS = {"serving": ("-c", SERVING), "extraction": ("-m", "sentiloc.worker.bulk.process", "run", "1")}


@contextmanager
def running(worker: str, redis_url: str, folder: Path) -> Iterator[Path]:
    """A worker of this kind; yields its log."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *COMMANDS[worker]],
            env=sentiloc_environment(redis_url=redis_url, data_dir=folder),
            cwd=ROOT,
            stderr=output,
        )
        try:
            yield log
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("worker", COMMANDS)
def test_a_worker_subscribes_to_nothing(redis_url: str, tmp_path: Path, worker: str) -> None:
    """A subscription has no time limit: it would wait for ever for a Redis that became a replica during a job."""
    with connect(Settings(redis_url=redis_url)) as redis, running(worker, redis_url, tmp_path):
        wait_for(lambda: any(client["cmd"] == "brpop" for client in redis.client_list()))
        assert (redis.pubsub_numpat(), redis.pubsub_channels()) == (0, [])


@pytest.mark.parametrize("worker", COMMANDS)
def test_a_worker_does_not_press_a_redis_that_is_full(redis_url: str, tmp_path: Path, worker: str) -> None:
    with connect(Settings(redis_url=redis_url)) as redis:
        redis.config_set("maxmemory", 1)
        try:
            with running(worker, redis_url, tmp_path) as log:

                def refusals() -> int:
                    return log.read_text(encoding="utf-8").count("Cannot connect")

                wait_for(lambda: refusals() > 0)
                time.sleep(2)
                # Celery itself would try ten times in this time.
                assert refusals() <= 3
        finally:
            redis.config_set("maxmemory", 0)
