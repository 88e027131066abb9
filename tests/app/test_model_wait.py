"""A queued job whose model no worker can run waits for a bounded time, and says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.housekeeping.waiting import ModelWatch
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.presence import beat
from sentiloc.app.jobs.record import JobError, JobRecord, JobState, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import result_key
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode
from tests.app.test_served_models import MODEL, worker
from tests.support.clock import set_clock
from tests.support.jobs import claim
from tests.support.services import wait_for

BOUND = 100.0


@pytest.fixture
def watch(store: JobStore, settings: Settings) -> ModelWatch:
    wait_for(lambda: store.uptime_seconds() > 1.0)
    return ModelWatch(store, LocalStorage(settings.data_dir), BOUND, grace_seconds=1.0)


def queue(store: JobStore, model: str = MODEL, **changes: Any) -> JobRecord:
    new = NewJob(source_key="uploads/abcdefgh", source_name="a.mp4", source_bytes=7, model=model, **changes)
    return store.submit(new)


def test_the_wait_is_seen_in_the_job_and_ends_with_a_worker(
    client: TestClient, watch: ModelWatch, store: JobStore, redis: Redis, settings: Settings
) -> None:
    job, other = queue(store), queue(store, "fsenet-starter")
    beat(redis, settings.redis_prefix, worker())
    watch.sweep()
    shown = client.get(f"/jobs/{job.id}").json()
    assert (shown["state"], shown["waiting"]["code"]) == ("queued", "model_unavailable")
    assert "sentiloc weights pull i3d-kinetics" in shown["waiting"]["detail"]
    assert shown["waiting"]["since"] < shown["waiting"]["until"]
    assert client.get("/jobs").json()["jobs"][1]["waiting"] == shown["waiting"]
    assert client.get(f"/jobs/{other.id}").json()["waiting"] is None
    assert [fields["kind"] for _, fields in store.events(job.id)] == ["state", "state"]

    beat(redis, settings.redis_prefix, worker("two", served=(MODEL,), missing={}))
    watch.sweep()
    assert client.get(f"/jobs/{job.id}").json()["waiting"] is None
    assert claim(store, job.id, "two", 30.0) is not None


def test_a_job_that_a_worker_has_taken_waits_for_none(
    client: TestClient, watch: ModelWatch, store: JobStore, redis: Redis
) -> None:
    """The worker was there before the next sweep."""
    job = queue(store)
    watch.sweep()
    assert client.get(f"/jobs/{job.id}").json()["waiting"]
    assert claim(store, job.id, "two", 30.0) is not None
    assert client.get(f"/jobs/{job.id}").json()["waiting"] is None
    assert not redis.exists(f"{store.prefix}unserved")


def test_it_ends_only_after_the_bound(
    client: TestClient, watch: ModelWatch, store: JobStore, redis: Redis
) -> None:
    """Without any worker, too."""
    job = queue(store)
    watch.sweep()
    set_clock(redis, store.prefix, BOUND - 10)
    watch.sweep()
    assert client.get(f"/jobs/{job.id}").json()["waiting"]["detail"].endswith("no worker is running")
    set_clock(redis, store.prefix, 11)
    watch.sweep()
    shown = client.get(f"/jobs/{job.id}").json()
    assert (shown["state"], shown["error"]["code"], shown["waiting"]) == ("failed", "model_unavailable", None)
    assert store.queued() == []
    assert [fields["kind"] for _, fields in store.events(job.id)].count("final") == 1


def test_a_worker_that_returns_starts_the_wait_again(
    watch: ModelWatch, store: JobStore, redis: Redis, settings: Settings
) -> None:
    job = queue(store)
    watch.sweep()
    set_clock(redis, store.prefix, BOUND - 10)
    beat(redis, settings.redis_prefix, worker(served=(MODEL,), missing={}))
    watch.sweep()
    set_clock(redis, store.prefix, 60)
    watch.sweep()
    record = store.get(job.id)
    assert record is not None and record.waiting is not None
    assert record.waiting.until - record.waiting.since == pytest.approx(BOUND)
    assert record.state is JobState.QUEUED


def test_a_clock_that_was_set_back_makes_no_wait_longer(
    watch: ModelWatch, store: JobStore, redis: Redis
) -> None:
    job = queue(store)
    watch.sweep()
    first = store.get(job.id)
    assert first is not None and first.waiting is not None
    since, until = first.waiting.since + 3600, first.waiting.until + 3600
    redis.hset(job_key(store.prefix, job.id), mapping={"unserved_at": since, "unserved_until": until})
    watch.sweep()
    record = store.get(job.id)
    assert record is not None and record.waiting is not None
    assert record.waiting.until - first.waiting.until < BOUND


def test_jobs_that_an_earlier_version_s_worker_took_wait_no_longer(
    watch: ModelWatch, store: JobStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a worker knows nothing of the set of waiting jobs. They are found on every page of it."""
    monkeypatch.setattr("sentiloc.app.housekeeping.waiting._PAGE", 2)
    jobs = [queue(store) for _ in range(5)]
    watch.sweep()
    assert redis.zcard(f"{store.prefix}unserved") == 5
    taken = [jobs[number].id for number in (0, 3, 4)]
    for job_id in taken:
        assert claim(store, job_id, "earlier", 30.0) is not None
    redis.zadd(f"{store.prefix}unserved", dict.fromkeys(taken, 1.0))
    watch.sweep()
    assert set(redis.zrange(f"{store.prefix}unserved", 0, -1)) == {jobs[1].id, jobs[2].id}


def test_no_message_is_sent_while_a_job_waits_and_one_at_once_afterwards(
    watch: ModelWatch, store: JobStore, redis: Redis, settings: Settings
) -> None:
    job = queue(store)
    set_clock(redis, store.prefix, 3600)
    assert store.should_announce(job.id, 5.0, broker_is_empty=True)
    watch.sweep()
    set_clock(redis, store.prefix, 3600)
    assert not store.should_announce(job.id, 5.0, broker_is_empty=True)
    beat(redis, settings.redis_prefix, worker(served=(MODEL,), missing={}))
    watch.sweep()
    assert store.should_announce(job.id, 5.0, broker_is_empty=False)
    assert not store.should_announce(job.id, 5.0, broker_is_empty=True)


def test_a_wait_that_is_noted_costs_no_write(watch: ModelWatch, store: JobStore, redis: Redis) -> None:
    jobs = [queue(store) for _ in range(3)]
    watch.sweep()
    noted = [store.events(job.id) for job in jobs]
    written = []
    for _ in range(5):
        offset = redis.info("replication")["master_repl_offset"]
        watch.sweep()
        written.append(redis.info("replication")["master_repl_offset"] - offset)
    assert [store.events(job.id) for job in jobs] == noted
    # Redis counts a key of an earlier test that expires meanwhile, too.
    assert min(written) == 0


def test_a_job_that_a_worker_holds_and_a_reel_do_not_wait(watch: ModelWatch, store: JobStore) -> None:
    reel, held = queue(store, reel="{}"), queue(store)
    assert claim(store, held.id, "one", 30.0) is not None
    watch.sweep()
    assert store.wait([held.id], JobError(code=ErrorCode.MODEL_UNAVAILABLE, detail="x"), 0.0) == [None]
    assert [getattr(store.get(job.id), "waiting", 0) for job in (reel, held)] == [None, None]


def test_right_after_a_start_of_redis_no_wait_ends(
    watch: ModelWatch, store: JobStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queue(store)
    watch.sweep()
    set_clock(redis, store.prefix, 2 * BOUND)
    monkeypatch.setattr(store, "uptime_seconds", lambda: 0.0)
    other = queue(store)
    watch.sweep()
    assert getattr(store.get(other.id), "waiting", None) is not None
    assert getattr(store.get(job.id), "state", None) is JobState.QUEUED
    monkeypatch.undo()
    watch.sweep()
    assert getattr(store.get(job.id), "state", None) is JobState.FAILED


def test_all_pages_of_the_queue_end(
    watch: ModelWatch, store: JobStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that end leave the queue, and those behind them move up."""
    monkeypatch.setattr("sentiloc.app.housekeeping.waiting._PAGE", 2)
    jobs = [queue(store) for _ in range(7)]
    watch.sweep()
    set_clock(redis, store.prefix, BOUND + 1)
    watch.sweep()
    assert [getattr(store.get(job.id), "state", None) for job in jobs] == [JobState.FAILED] * 7


def test_a_job_that_ends_while_it_waits_keeps_no_result(
    watch: ModelWatch, store: JobStore, redis: Redis, settings: Settings
) -> None:
    """A worker was killed after it had stored the result, and no other worker has the model."""
    storage, job = LocalStorage(settings.data_dir), queue(store)
    held = claim(store, job.id, "one", 30.0)
    assert held is not None
    with storage.writer(result_key(job.id, held.attempt)) as writer:
        writer.write(b"{}")
        writer.commit()
    assert store.release(held.lease)
    watch.sweep()
    set_clock(redis, store.prefix, BOUND + 1)
    watch.sweep()
    assert getattr(store.get(job.id), "state", None) is JobState.FAILED
    assert storage.size(result_key(job.id, held.attempt)) is None


def test_a_new_bound_and_a_new_reason_are_noted(
    watch: ModelWatch, store: JobStore, redis: Redis, settings: Settings
) -> None:
    job = queue(store)
    watch.sweep()
    replace(watch, seconds=2 * BOUND).sweep()
    record = store.get(job.id)
    assert record is not None and record.waiting is not None
    assert record.waiting.until - record.waiting.since == pytest.approx(2 * BOUND)
    beat(redis, settings.redis_prefix, worker())
    watch.sweep()
    record = store.get(job.id)
    assert record is not None and record.waiting is not None
    assert "sentiloc weights pull" in record.waiting.error.detail


def test_a_passing_fault_is_seen_in_the_job(client: TestClient, store: JobStore, settings: Settings) -> None:
    job = queue(store)
    held = claim(store, job.id, "one", 30.0)
    assert held is not None
    store.defer(held.lease, JobError(code=ErrorCode.STORAGE_UNAVAILABLE, detail="down"), settings)
    waiting = client.get(f"/jobs/{job.id}").json()["waiting"]
    assert (waiting["code"], waiting["detail"]) == ("storage_unavailable", "down")
