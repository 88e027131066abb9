"""The broker's settings, with a real Redis and the event loop that Celery's workers use."""

from __future__ import annotations

import time
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
from tests.support.services import PATIENCE


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
