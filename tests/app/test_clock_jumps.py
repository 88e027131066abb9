"""Redis's clock jumps forward or back. Moving all stored times has the same effect as moving the clock."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from sentiloc.app.housekeeping.reaper import Chore, Reaper
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.presence import WorkerPresence, alive_workers, beat
from sentiloc.app.jobs.record import JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from tests.app.conftest import submit
from tests.support.clock import set_clock
from tests.support.jobs import claim
from tests.support.services import wait_for

HOUR = 3600.0
LEASE = 30.0


@pytest.fixture
def reaper(settings: Settings, store: JobStore, redis: Redis) -> Reaper:
    quick = settings.model_copy(update={"lease_seconds": 0.2})
    wait_for(lambda: store.uptime_seconds() > 1.0)
    return Reaper(quick, store, LocalStorage(quick.data_dir), Dispatcher(quick, redis))


def test_a_living_worker_keeps_its_job_over_a_jump_back(store: JobStore, redis: Redis) -> None:
    job = claim(store, submit(store).id, "a", LEASE)
    assert job is not None
    # First the same progress: a change of it renews the lease in any case.
    assert store.renew(job.lease, LEASE, "decoding", 0.0)
    set_clock(redis, store.prefix, -HOUR)
    assert store.renew(job.lease, LEASE, "decoding", 0.0)
    record = store.get(job.id)
    assert record is not None
    assert record.lease_until is not None
    assert record.lease_until - time.time() <= LEASE + 1


def test_a_dead_workers_job_is_not_held_for_the_length_of_a_jump_back(
    store: JobStore, redis: Redis, reaper: Reaper
) -> None:
    job = claim(store, submit(store).id, "a", LEASE)
    assert job is not None
    set_clock(redis, store.prefix, -HOUR)
    reaper.sweep()
    wait_for(lambda: store.expired() == [job.id])
    reaper.sweep()
    record = store.get(job.id)
    assert record is not None
    assert (record.state, record.crashes) == (JobState.QUEUED, 1)


def test_a_jump_forward_gives_the_job_away_once_and_fences_the_first_worker(
    store: JobStore, redis: Redis, reaper: Reaper
) -> None:
    first = claim(store, submit(store).id, "a", LEASE)
    assert first is not None
    set_clock(redis, store.prefix, HOUR)
    reaper.sweep()
    second = claim(store, first.id, "b", LEASE)
    assert second is not None
    assert not store.renew(first.lease, LEASE, "decoding", 0.5)
    assert not store.succeed(first.lease, "results/abcdefgh.1.json")
    assert store.succeed(second.lease, "results/abcdefgh.2.json")
    assert [fields["state"] for _, fields in store.events(first.id) if fields["kind"] == "final"] == [
        "succeeded"
    ]


def test_a_live_worker_that_renews_first_keeps_its_job_after_a_jump_forward(
    store: JobStore, redis: Redis, reaper: Reaper
) -> None:
    job = claim(store, submit(store).id, "a", LEASE)
    assert job is not None
    set_clock(redis, store.prefix, HOUR)
    assert store.renew(job.lease, LEASE, "decoding", 0.0)
    assert store.expired() == []
    reaper.sweep()
    record = store.get(job.id)
    assert record is not None
    assert (record.state, record.attempt) == (JobState.DECODING, 1)


def test_a_queued_job_is_announced_again_after_a_jump_back(store: JobStore, redis: Redis) -> None:
    job = submit(store)
    assert not store.should_announce(job.id, 60.0, broker_is_empty=True)
    set_clock(redis, store.prefix, -HOUR)
    assert store.should_announce(job.id, 60.0, broker_is_empty=True)
    assert not store.should_announce(job.id, 60.0, broker_is_empty=True)


def test_a_worker_of_the_future_is_not_alive(store: JobStore, redis: Redis) -> None:
    beat(redis, store.prefix, WorkerPresence(name="w", seen_at=0, model="m", device="cpu"))
    assert len(alive_workers(redis, store.prefix)) == 1
    set_clock(redis, store.prefix, -HOUR)
    assert alive_workers(redis, store.prefix) == []


def test_the_reaper_takes_its_turn_after_a_jump_back(
    settings: Settings, store: JobStore, redis: Redis
) -> None:
    swept: list[str] = []
    chores = [Chore("test", 5.0, lambda: swept.append("x"))]
    quick = settings.model_copy(update={"reaper_interval_seconds": 0.05})
    redis.set(f"{store.prefix}turn:test", "1", px=3_600_000)
    reaper = Reaper(quick, store, LocalStorage(quick.data_dir), Dispatcher(quick, redis), chores)
    reaper.start()
    wait_for(lambda: swept)
    reaper.stop()
