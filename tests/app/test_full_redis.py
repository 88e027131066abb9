"""Redis has used its `maxmemory` and may evict nothing: it takes no new job, and those that it took still end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import OutOfMemoryError, ReadOnlyError, Redis

from sentiloc.app.housekeeping.reaper import Reaper
from sentiloc.app.housekeeping.retention import Retention
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.presence import WorkerPresence, alive_workers, beat
from sentiloc.app.jobs.record import JobError, JobRecord, JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.failures import FEW_REPLICAS, FULL, READS_ONLY, reason
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from sentiloc.app.webhooks.store import WebhookStore
from sentiloc.model.errors import ErrorCode
from tests.app.asking import upload
from tests.app.conftest import submit
from tests.support.jobs import claim
from tests.support.services import wait_for

LEASE = 30.0
ERROR = JobError(code=ErrorCode.INVALID_DATA, detail="This is no video.")


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """Redis has no room within the block."""
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


def running(store: JobStore) -> JobRecord:
    record = claim(store, submit(store).id, "one", LEASE)
    assert record is not None
    return record


def state(store: JobStore, job: JobRecord) -> JobState:
    record = store.get(job.id)
    assert record is not None
    return record.state


def ready(redis: Redis, prefix: str) -> None:
    beat(redis, prefix, WorkerPresence(name="host/1", seen_at=0.0, model="m", device="cpu"))


def test_running_jobs_end(settings: Settings, redis: Redis, store: JobStore) -> None:
    lucky, unlucky, given_back, deferred = (running(store) for _ in range(4))
    with full(redis):
        assert store.renew(lucky.lease, LEASE, "extracting", 0.5)
        assert store.succeed(lucky.lease, "results/abcdefgh.1.json")
        assert store.fail(unlucky.lease, ERROR)
        assert store.release(given_back.lease)
        store.defer(deferred.lease, ERROR, settings)
    ends = [state(store, job) for job in (lucky, unlucky, given_back, deferred)]
    assert ends == [JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED, JobState.QUEUED]


def test_nothing_new_is_taken_and_old_jobs_can_go(client: TestClient, redis: Redis, store: JobStore) -> None:
    kept, gone = submit(store), running(store)
    store.fail(gone.lease, ERROR)
    with full(redis):
        with pytest.raises(OutOfMemoryError):
            submit(store)
        assert upload(client).status_code == 503
        assert client.post(f"/jobs/{kept.id}/cancel").status_code == 200
        assert client.delete(f"/jobs/{gone.id}").status_code == 204
    assert (state(store, kept), store.get(gone.id)) == (JobState.CANCELLED, None)


def test_workers_still_report_and_readiness_states_the_reason(
    client: TestClient, settings: Settings, redis: Redis
) -> None:
    with full(redis):
        ready(redis, settings.redis_prefix)
        assert [worker.name for worker in alive_workers(redis, settings.redis_prefix)] == ["host/1"]
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["reasons"]) == (503, [FULL])
    assert client.get("/readyz").status_code == 200


def test_readiness_says_that_no_replica_can_hold_a_job(settings: Settings, redis: Redis) -> None:
    """Each job would be refused, because it has to be held by a replica."""
    ready(redis, settings.redis_prefix)
    with TestClient(create_app(settings.model_copy(update={"redis_wait_replicas": 1}))) as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, [FEW_REPLICAS])


def test_expired_jobs_make_room_although_a_message_cannot_be_sent(
    settings: Settings, redis: Redis, store: JobStore, tmp_path: Path
) -> None:
    quick = settings.model_copy(update={"keep_records_seconds": 0.1, "reaper_interval_seconds": 0.05})
    Retention(quick, store, LocalStorage(tmp_path)).publish_times()
    old = running(store)
    store.fail(old.lease, ERROR)
    submit(store)
    reaper = Reaper(quick, store, LocalStorage(tmp_path), Dispatcher(quick, redis))
    with full(redis):
        reaper.start()
        try:
            wait_for(lambda: store.get(old.id) is None)
        finally:
            reaper.stop()


def test_an_event_of_a_webhook_is_taken(redis: Redis, settings: Settings, store: JobStore) -> None:
    webhooks = WebhookStore(redis, settings.redis_prefix)
    redis.zadd(webhooks.due, {submit(store).id: 0})
    with full(redis):
        assert webhooks.claim()


def test_refused_writes_are_explained(redis: Redis) -> None:
    with full(redis), pytest.raises(OutOfMemoryError) as caught:
        redis.set("a", "b")
    assert reason(caught.value) == FULL
    assert reason(ReadOnlyError("You can't write against a read only replica.")) == READS_ONLY
