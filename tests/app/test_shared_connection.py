"""The connection that requests share: everybody gets their own answer, also around failures of Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from redis import RedisError, ResponseError
from redis import TimeoutError as RedisTimeoutError

from sentiloc.app.jobs.store import JobReader, JobStore
from sentiloc.app.redis.shared_connection import SharedConnection
from sentiloc.app.settings import Settings
from tests.app.conftest import submit
from tests.support.services import private_redis


def test_concurrent_requests_get_their_own_answers(settings: Settings, store: JobStore) -> None:
    jobs = [submit(store, f"{number}.mp4") for number in range(20)]
    store.cancel(jobs[0].id)

    async def ask() -> list[tuple[str, int | None]]:
        shared = SharedConnection(settings)
        reader = JobReader(shared, settings.redis_prefix)
        answers = await asyncio.gather(*(reader.get(job.id) for job in jobs), reader.get("none"))
        await shared.close()
        assert answers[-1] == (None, None)
        return [(record.source_name, position) for record, position in answers if record is not None]

    places: list[int | None] = [None, *range(1, 20)]
    assert asyncio.run(ask()) == [(f"{number}.mp4", place) for number, place in enumerate(places)]


def test_who_leaves_takes_no_answer_of_another(settings: Settings, store: JobStore) -> None:
    stays, leaves = submit(store, "stays.mp4"), submit(store, "leaves.mp4")

    async def ask() -> None:
        shared = SharedConnection(settings)
        reader = JobReader(shared, settings.redis_prefix)
        for _ in range(20):
            first, second = (asyncio.create_task(reader.get(job.id)) for job in (leaves, stays))
            await asyncio.sleep(0)
            first.cancel()
            record, _ = await second
            assert record is not None and record.id == stays.id
        await shared.close()

    asyncio.run(ask())


def test_a_refused_command_leaves_no_answer_behind(settings: Settings, store: JobStore) -> None:
    job = submit(store)

    async def ask() -> None:
        shared = SharedConnection(settings)
        reader = JobReader(shared, settings.redis_prefix)
        with pytest.raises(RedisError):
            await shared.ask(("HGETALL", f"{settings.redis_prefix}queue"), ("PING",))
        record, position = await reader.get(job.id)
        assert (record and record.id, position) == (job.id, 1)
        await shared.close()

    asyncio.run(ask())


def test_a_refusal_concerns_its_own_request_only(settings: Settings, store: JobStore) -> None:
    job = submit(store)

    async def ask() -> None:
        shared = SharedConnection(settings)
        reader = JobReader(shared, settings.redis_prefix)
        refused, found = await asyncio.gather(
            shared.ask(("PING",), ("HGETALL", f"{settings.redis_prefix}queue"), ("PING",)),
            reader.get(job.id),
            return_exceptions=True,
        )
        assert isinstance(refused, ResponseError)
        assert not isinstance(found, BaseException) and found[0] is not None and found[0].id == job.id
        await shared.close()

    asyncio.run(ask())


def test_redis_may_end_start_again_and_hang(tmp_path: Path) -> None:
    with private_redis(tmp_path) as redis:

        async def ask() -> None:
            shared = SharedConnection(Settings(redis_url=redis.url, redis_timeout_seconds=3.0))
            assert await shared.ask(("PING",)) == ["PONG"]
            redis.kill()
            with pytest.raises(RedisError):
                await shared.ask(("PING",))
            redis.start()
            assert await shared.ask(("PING",)) == ["PONG"]
            assert redis.process is not None
            os.kill(redis.process.pid, signal.SIGSTOP)
            with pytest.raises(RedisTimeoutError):
                await shared.ask(("ECHO", "late"))
            os.kill(redis.process.pid, signal.SIGCONT)
            assert await shared.ask(("ECHO", "mine")) == ["mine"]
            await shared.close()

        asyncio.run(ask())


def test_another_event_loop_gets_a_connection_of_its_own(settings: Settings) -> None:
    shared = SharedConnection(settings)
    for _ in range(2):
        assert asyncio.run(shared.ask(("PING",))) == ["PONG"]
