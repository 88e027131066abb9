"""What `sentiloc worker --check` and `--alive` say to those who wait for a worker, or restart it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from redis import Redis

from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.settings import Settings
from sentiloc.cli.server.worker import _check, _check_alive
from sentiloc.model.errors import SentilocError
from tests.support.services import private_redis

HERE = os.uname().nodename


def passes(settings: Settings) -> tuple[bool, bool]:
    """Whether `--check` and `--alive` pass."""
    passed = []
    for ask in (_check, _check_alive):
        try:
            ask(settings)
            passed.append(True)
        except SentilocError:
            passed.append(False)
    return passed[0], passed[1]


def test_a_worker_that_reports_is_alive_before_it_is_ready(tmp_path: Path) -> None:
    with private_redis(tmp_path) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        settings = Settings(redis_url=server.url)
        assert passes(settings) == (False, False)
        beat(
            redis,
            settings.redis_prefix,
            WorkerPresence(name="elsewhere/1", seen_at=0, model="m", device="CPU"),
        )
        assert passes(settings) == (False, False)
        loading = WorkerPresence(name=f"{HERE}/1", seen_at=0, model="m")
        beat(redis, settings.redis_prefix, loading)
        assert passes(settings) == (False, True)
        beat(
            redis, settings.redis_prefix, WorkerPresence(name=f"{HERE}/1", seen_at=0, model="m", device="CPU")
        )
        assert passes(settings) == (True, True)
        server.kill()
        assert passes(settings) == (False, True)


def test_a_redis_that_never_answers_is_no_evidence_against_the_worker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        # Longer than whoever asks would wait.
        settings = Settings(redis_url=f"redis://127.0.0.1:{port}/0", redis_timeout_seconds=600)
        _check_alive(settings)
