"""The broker's settings, with a real Redis and the event loop that Celery's workers use."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu.asynchronous import Hub
from kombu.entity import Queue
from kombu.message import Message
from kombu.messaging import Consumer
from redis import Redis

from sentiloc.app.jobs.broker import LOCALIZE_QUEUE, Dispatcher, make_celery
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from tests.app.conftest import submit
from tests.support.services import PATIENCE, ROOT, wait_for


def test_a_message_comes_again_soon_after_its_visibility_timeout(
    settings: Settings, redis: Redis, store: JobStore
) -> None:
    """A worker's loop takes a message, and never acknowledges it."""
    quick = settings.model_copy(update={"visibility_timeout_seconds": 2})
    Dispatcher(quick, redis).send(submit(store).id)
    received: list[Message] = []
    hub, queue = Hub(), Queue(LOCALIZE_QUEUE)  # type: ignore[no-untyped-call]
    with (
        make_celery(quick).connection_for_read() as connection,
        Consumer(connection, [queue], on_message=received.append, accept=["json"]),  # type: ignore[no-untyped-call]
    ):
        connection.register_with_event_loop(hub)
        loop, until = hub.create_loop(), time.monotonic() + PATIENCE  # type: ignore[no-untyped-call]
        while len(received) < 2 and time.monotonic() < until:
            next(loop)
    assert [bool(message.headers.get("redelivered")) for message in received] == [False, True]


def test_a_worker_looks_for_a_lost_redis_at_a_steady_pace(settings: Settings, tmp_path: Path) -> None:
    """With pauses that grow, workers would find Redis half a minute after it is back."""
    pauses: list[float] = []

    def note(_: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 2:
            raise LookupError("two pauses are enough")

    lost = settings.model_copy(update={"redis_url": f"unix://{tmp_path}/none.sock"})
    with make_celery(lost).connection_for_read() as connection, pytest.raises(LookupError):
        connection.ensure_connection(note)
    assert pauses[0] == pauses[1] <= 5


WORKER = """
import sys
from sentiloc.app.jobs.broker import LOCALIZE_TASK, make_celery
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings

settings = Settings.model_validate_json(sys.stdin.read())
celery = make_celery(settings)

@celery.task(name=LOCALIZE_TASK)
def note(job_id):
    connect(settings).rpush(f"{settings.redis_prefix}noted", job_id)

celery.Worker(pool_cls="solo", quiet=True, without_gossip=True, without_mingle=True, without_heartbeat=True).start()
"""


@contextmanager
def listening(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A process that takes messages as a worker does, and notes the jobs that they name."""
    process = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdin is not None
        process.stdin.write(settings.model_dump_json(exclude_none=True))
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_worker_outlives_a_redis_that_is_full(settings: Settings, redis: Redis) -> None:
    """A taken message cannot be put aside in a full Redis. The worker takes the next one when there is room again."""
    dispatcher, noted = Dispatcher(settings, redis), f"{settings.redis_prefix}noted"
    queue = f"{settings.redis_prefix}{LOCALIZE_QUEUE}"
    dispatcher.send("first")
    message = redis.lindex(queue, 0)
    with listening(settings) as process:
        wait_for(lambda: redis.llen(noted) == 1)
        try:
            with redis.pipeline() as pipe:
                pipe.lpush(queue, str(message))
                pipe.config_set("maxmemory", 1)
                pipe.execute()
            wait_for(lambda: redis.llen(queue) == 0)
            time.sleep(0.5)
        finally:
            # Other tests use the same Redis.
            redis.config_set("maxmemory", 0)
        dispatcher.send("second")
        wait_for(lambda: redis.llen(noted) == 2 or process.poll() is not None)
        assert process.poll() is None
