"""Redis's answer is lost and the client sends the script again: everything happens once, with the same answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.jobs.record import JobError, JobRecord, JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode
from tests.app.asking import upload
from tests.app.conftest import submit
from tests.support.clock import set_clock
from tests.support.jobs import claim
from tests.support.lost_answers import LossyProxy
from tests.support.services import PrivateRedis

LEASE = 30.0
ERROR = JobError(code=ErrorCode.STORAGE_UNAVAILABLE, detail="The object store cannot be reached.")


@pytest.fixture
def proxy(redis_server: PrivateRedis) -> Iterator[LossyProxy]:
    proxy = LossyProxy(redis_server.url.removeprefix("unix://"))
    yield proxy
    proxy.close()


@pytest.fixture
def lossy(settings: Settings, proxy: LossyProxy) -> Iterator[JobStore]:
    with connect(settings.model_copy(update={"redis_url": proxy.url})) as redis:
        yield JobStore(redis, settings.redis_prefix)


def events(store: JobStore, job_id: str) -> list[str]:
    return [f"{fields['kind']} {fields['state']}" for _, fields in store.events(job_id)]


def claimed(store: JobStore) -> JobRecord:
    record = claim(store, submit(store).id, "one", LEASE)
    assert record is not None
    return record


Step = Callable[[JobStore, JobRecord, Settings], Any]
STEPS: dict[str, tuple[bool, Step]] = {
    "claim": (False, lambda store, job, _: claim(store, job.id, "one", LEASE)),
    "renew": (True, lambda store, job, _: store.renew(job.lease, LEASE, "extracting", 0.5)),
    "succeed": (True, lambda store, job, _: store.succeed(job.lease, "results/abcdefgh.1.json")),
    "fail": (True, lambda store, job, _: store.fail(job.lease, ERROR)),
    "release": (True, lambda store, job, _: store.release(job.lease)),
    "defer": (True, lambda store, job, settings: store.defer(job.lease, ERROR, settings)),
    "wait": (False, lambda store, job, _: store.wait([job.id], ERROR, 0.0)),
    "cancel": (False, lambda store, job, _: store.cancel(job.id)),
    "expire": (True, lambda store, job, _: store.expire(job.id, 3, dead_owner="one")),
    "fetched": (True, lambda store, job, _: store.fetched(job.lease, 77)),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_acts_once(
    name: str, settings: Settings, store: JobStore, lossy: JobStore, proxy: LossyProxy
) -> None:
    needs_claim, step = STEPS[name]
    outcomes = []
    for through, is_lossy in ((store, False), (lossy, True)):
        job = claimed(store) if needs_claim else submit(store)
        lossy.queue_position(job.id)
        proxy.lose_next(b"EVALSHA" if is_lossy else None)
        answer = step(through, job, settings)
        record = store.get(job.id)
        assert record is not None
        told = answer.state if isinstance(answer, JobRecord) else answer
        outcomes.append((told, record.state, record.attempt, record.crashes, events(store, job.id)))
    assert proxy.lost == 1
    assert outcomes[0] == outcomes[1]


def test_a_queued_job_is_cancelled_and_not_deleted_too(
    settings: Settings, store: JobStore, proxy: LossyProxy
) -> None:
    behind = settings.model_copy(update={"redis_url": proxy.url})
    with TestClient(create_app(behind), raise_server_exceptions=False) as client:
        warm = upload(client).json()["links"]["self"]
        client.delete(warm)
        client.delete(warm)
        job = upload(client).json()
        proxy.lose_next(b"EVALSHA")
        answer = client.delete(job["links"]["self"])
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        assert proxy.lost == 1
        record = store.get(job["id"])
        assert record is not None and record.state is JobState.CANCELLED
        assert (settings.data_dir / record.source_key).exists()


def test_deleting_a_finished_job_takes_its_files_along(
    settings: Settings, store: JobStore, proxy: LossyProxy
) -> None:
    behind = settings.model_copy(update={"redis_url": proxy.url})
    with TestClient(create_app(behind), raise_server_exceptions=False) as client:
        job = upload(client).json()
        assert client.post(f"/jobs/{job['id']}/cancel").status_code == 200
        record = store.get(job["id"])
        assert record is not None
        # The route first tries to cancel, then deletes: the second script loses its answer.
        proxy.lose_next(b"EVALSHA", after=1)
        assert client.delete(job["links"]["self"]).status_code == 204
        assert proxy.lost == 1
        assert store.get(job["id"]) is None
        assert not (settings.data_dir / record.source_key).exists()


def test_answers_are_not_kept_for_long(redis: Redis, store: JobStore) -> None:
    store.cancel(submit(store).id)
    kept = list(redis.scan_iter(f"{store.prefix}answer:*"))
    assert kept
    assert all(0 < int(redis.ttl(key)) <= 60 for key in kept)


def test_a_worker_that_was_cut_off_from_redis_is_not_blamed(redis: Redis, store: JobStore) -> None:
    job = claimed(store)
    set_clock(redis, store.prefix, 2 * LEASE)
    assert store.expire(job.id, 3) is JobState.QUEUED
    assert not store.release(job.lease)
    record = store.get(job.id)
    assert record is not None and (record.crashes, record.state) == (0, JobState.QUEUED)
    assert not store.release(job.lease)
    again = store.get(job.id)
    assert again is not None and again.crashes == 0
