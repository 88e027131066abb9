"""The reaper and the messages that it sends, with a real Redis as store and broker."""

from __future__ import annotations

import json
import os
import time
from functools import partial

import pytest
from redis import Redis

from sentiloc.app.housekeeping.reaper import Chore, Reaper
from sentiloc.app.jobs.broker import LOCALIZE_QUEUE, LOCALIZE_TASK, Dispatcher
from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.jobs.record import JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import result_key
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import SentilocError
from tests.app.asking import storage_deletes_nothing
from tests.app.conftest import submit
from tests.support.clock import set_clock
from tests.support.jobs import claim
from tests.support.services import wait_for


@pytest.fixture
def quick(settings: Settings) -> Settings:
    changes = {"lease_seconds": 0.2, "reaper_interval_seconds": 60.0, "resend_seconds": 600.0}
    return settings.model_copy(update=changes)


@pytest.fixture
def reaper(quick: Settings, store: JobStore, redis: Redis) -> Reaper:
    wait_for(lambda: store.uptime_seconds() > 1.0)
    return Reaper(quick, store, LocalStorage(quick.data_dir), Dispatcher(quick, redis))


def messages(redis: Redis, settings: Settings) -> list[str]:
    """Job ids of the waiting messages, read by Celery's protocol."""
    waiting = redis.lrange(f"{settings.redis_prefix}{LOCALIZE_QUEUE}", 0, -1)
    headers = [json.loads(text)["headers"] for text in waiting]
    assert all(header["task"] == LOCALIZE_TASK for header in headers)
    return [header["argsrepr"].strip("[]()',") for header in headers]


def test_a_message_names_the_task_and_the_job(redis: Redis, quick: Settings, store: JobStore) -> None:
    dispatcher = Dispatcher(quick, redis)
    assert dispatcher.is_empty()
    job = submit(store)
    dispatcher.send(job.id)
    assert not dispatcher.is_empty()
    assert messages(redis, quick) == [job.id]


def test_a_queued_job_whose_message_is_gone_is_announced_again(
    reaper: Reaper, redis: Redis, quick: Settings, store: JobStore
) -> None:
    job = submit(store)
    reaper.sweep()
    assert messages(redis, quick) == []
    set_clock(redis, store.prefix, 61)
    reaper.sweep()
    assert messages(redis, quick) == [job.id]
    set_clock(redis, store.prefix, 61)
    reaper.sweep()
    assert messages(redis, quick) == [job.id]


def test_while_messages_wait_only_the_jobs_at_the_front_are_announced(
    quick: Settings, store: JobStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.app.housekeeping.reaper._FRONT", 2)
    eager = quick.model_copy(update={"resend_seconds": 30.0})
    dispatcher = Dispatcher(eager, redis)
    reaper = Reaper(eager, store, LocalStorage(quick.data_dir), dispatcher)
    jobs = [submit(store).id for _ in range(4)]
    dispatcher.send(jobs[3])
    set_clock(redis, store.prefix, 61)
    reaper.sweep()
    assert sorted(messages(redis, quick)) == sorted([*jobs[:2], jobs[3]])
    redis.delete(f"{quick.redis_prefix}{LOCALIZE_QUEUE}")
    set_clock(redis, store.prefix, 61)
    reaper.sweep()
    assert sorted(messages(redis, quick)) == sorted(jobs)


def test_an_expired_lease_puts_the_job_back_and_wakes_a_worker(
    reaper: Reaper, redis: Redis, quick: Settings, store: JobStore
) -> None:
    job = submit(store)
    assert claim(store, job.id, "gone", 60.0)
    reaper.sweep()
    assert store.leased() == [job.id]
    set_clock(redis, store.prefix, 61)
    reaper.sweep()
    record = store.get(job.id)
    assert record is not None
    assert (record.state, record.crashes) == (JobState.QUEUED, 1)
    assert messages(redis, quick) == [job.id]


def test_leases_get_time_to_be_renewed_after_redis_was_down(
    settings: Settings, redis: Redis, store: JobStore
) -> None:
    patient = settings.model_copy(update={"lease_seconds": 10_000.0})
    job = submit(store)
    assert claim(store, job.id, "waits for Redis", 0.0)
    Reaper(patient, store, LocalStorage(settings.data_dir), Dispatcher(patient, redis)).sweep()
    assert store.leased() == [job.id]


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_result_of_a_lost_attempt_goes_with_the_last_one(
    quick: Settings, reaper: Reaper, store: JobStore, redis: Redis, attempts: int
) -> None:
    """While there is another attempt, its worker deletes the file."""
    last = quick.model_copy(update={"max_attempts": attempts})
    storage = LocalStorage(quick.data_dir)
    job = submit(store)
    assert claim(store, job.id, "gone", 60.0)
    with storage.writer(result_key(job.id, 1)) as writer:
        writer.commit()
    set_clock(redis, store.prefix, 61)
    Reaper(last, store, storage, Dispatcher(last, redis)).sweep()
    record = store.get(job.id)
    assert record is not None and record.state is (JobState.FAILED if attempts == 1 else JobState.QUEUED)
    assert storage.size(result_key(job.id, 1)) == (None if attempts == 1 else 0)


def test_the_reaper_deletes_what_has_expired_although_a_file_stays(
    reaper: Reaper, store: JobStore, redis: Redis
) -> None:
    jobs = [submit(store) for _ in range(2)]
    for job in jobs:
        assert store.cancel(job.id)
        redis.zadd(f"{store.prefix}kept:records", {job.id: 1.0})
    with storage_deletes_nothing(), pytest.raises(SentilocError):
        reaper.sweep()
    assert [store.get(job.id) for job in jobs] != [None, None]
    for job in jobs:
        redis.zadd(f"{store.prefix}kept:records", {job.id: 1.0})
    reaper.sweep()
    assert [store.get(job.id) for job in jobs] == [None, None]


def test_one_process_does_a_chore_in_its_interval(
    reaper: Reaper, quick: Settings, store: JobStore, redis: Redis
) -> None:
    other = Reaper(quick, store, LocalStorage(quick.data_dir), Dispatcher(quick, redis))
    done: list[int] = []
    for one in (reaper, other, reaper):
        one._attempt(Chore("count", 60.0, partial(done.append, 1)))
    assert done == [1]
    assert 50_000 < redis.pttl(f"{store.prefix}turn:count") <= 60_000
    often = {chore.name: chore.seconds for chore in reaper._chores}
    # Free again at the next round, which comes after `reaper_interval_seconds`.
    assert 30 < often["models"] == often["reaper"] < quick.reaper_interval_seconds == 60


def test_unfinished_files_of_dead_writers_are_deleted(reaper: Reaper, quick: Settings) -> None:
    storage = LocalStorage(quick.data_dir)
    (chore,) = [chore for chore in reaper._chores if chore.name == "unfinished"]
    with storage.writer("uploads/abcdefgh"), storage.writer("uploads/abcdefgi"):
        (old, recent) = sorted((quick.data_dir / "uploads").glob("*.part"))
        os.utime(old, (time.time() - 3700,) * 2)
        os.utime(recent, (time.time() - 3500,) * 2)
        chore.do()
        assert (old.exists(), recent.exists()) == (False, True)


def test_two_reapers_do_not_announce_twice(quick: Settings, store: JobStore, redis: Redis) -> None:
    eager = quick.model_copy(update={"reaper_interval_seconds": 0.05})
    dispatcher = Dispatcher(eager, redis)
    job = submit(store)
    set_clock(redis, store.prefix, 10_000)
    # A queue with a message is not looked at every 0.05 s, however long a busy machine takes for a round.
    dispatcher.send(other := submit(store).id)
    # Without a worker that can run its model, no message is sent for a job.
    beat(redis, store.prefix, WorkerPresence(name="w", seen_at=0, model=job.model))
    rounds: list[list[int]] = [[], []]
    reapers = [
        Reaper(
            eager,
            store,
            LocalStorage(quick.data_dir),
            dispatcher,
            [Chore(f"round-{number}", 0.001, partial(done.append, number))],
        )
        for number, done in enumerate(rounds)
    ]
    for reaper in reapers:
        reaper.start()
    wait_for(lambda: job.id in messages(redis, quick))
    before = [len(done) for done in rounds]
    wait_for(lambda: all(len(done) >= had + 3 for done, had in zip(rounds, before, strict=True)))
    for reaper in reapers:
        reaper.stop()
    assert sorted(messages(redis, quick)) == sorted([other, job.id])
