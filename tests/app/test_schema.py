"""A release refuses to start on the records of a newer one, with a clear message."""

from __future__ import annotations

import subprocess

import pytest
from redis import Redis

from sentiloc.app.jobs.schema import SCHEMA, check_schema
from sentiloc.app.settings import Settings
from sentiloc.model.errors import SentilocError
from tests.support.services import sentiloc_command, sentiloc_environment


def test_a_new_or_older_store_is_taken_over(settings: Settings, redis: Redis) -> None:
    check_schema(settings)
    assert redis.get(f"{settings.redis_prefix}schema") == str(SCHEMA)
    redis.set(f"{settings.redis_prefix}schema", SCHEMA - 1)
    check_schema(settings)
    assert redis.get(f"{settings.redis_prefix}schema") == str(SCHEMA)


def test_a_downgrade_is_refused(settings: Settings, redis: Redis) -> None:
    redis.set(f"{settings.redis_prefix}schema", SCHEMA + 1)
    with pytest.raises(SentilocError, match=f"newer release \\(schema {SCHEMA + 1}\\)"):
        check_schema(settings)
    assert redis.get(f"{settings.redis_prefix}schema") == str(SCHEMA + 1)


@pytest.mark.parametrize("part", ["api", "worker"])
def test_api_and_worker_do_not_start_on_newer_records(settings: Settings, redis: Redis, part: str) -> None:
    redis.set(f"{settings.redis_prefix}schema", SCHEMA + 1)
    environment = sentiloc_environment(
        redis_url=settings.redis_url, redis_prefix=settings.redis_prefix, data_dir=settings.data_dir, port=0
    )
    done = subprocess.run(
        sentiloc_command(part), env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode != 0
    assert "newer release" in done.stderr


def test_the_start_continues_without_redis(settings: Settings) -> None:
    check_schema(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"}))
