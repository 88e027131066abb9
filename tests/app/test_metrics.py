"""Metrics for Prometheus, read by Prometheus's own parser."""

from __future__ import annotations

from dataclasses import replace

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from sentiloc.app.jobs.options import JobOptions, Priority
from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.jobs.record import JobError, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.model.errors import ErrorCode
from tests.app.conftest import submit
from tests.support.clock import set_clock
from tests.support.jobs import claim


def figures(client: TestClient) -> dict[tuple[str, ...], float]:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    samples = [sample for family in families for sample in family.samples]
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for sample in samples
    }


def test_an_idle_service(client: TestClient) -> None:
    found = figures(client)
    assert found["sentiloc_jobs_queued", "interactive"] == found["sentiloc_oldest_queued_seconds",] == 0
    assert found["sentiloc_workers",] == 0


def test_figures_follow_the_jobs(client: TestClient, store: JobStore) -> None:
    batch = JobOptions(priority=Priority.BATCH)
    store.submit(
        NewJob(source_key="uploads/abcdefgh", source_name="a", source_bytes=1, model="m", options=batch)
    )
    set_clock(store.redis, store.prefix, 100)
    running, cancelled = submit(store), submit(store)
    submit(store)
    assert claim(store, running.id, "one", 30)
    store.cancel(cancelled.id)
    found = figures(client)
    assert found["sentiloc_jobs_queued", "interactive"] == found["sentiloc_jobs_queued", "batch"] == 1
    assert (found["sentiloc_jobs_running",], found["sentiloc_jobs_kept",]) == (1, 4)
    assert 100 <= found["sentiloc_oldest_queued_seconds",] < 160


def test_the_oldest_job_need_not_be_the_next_one(client: TestClient, store: JobStore) -> None:
    """Owners take turns, so a new job of one owner may go before older ones of another."""
    jobs = [submit(store) for _ in range(3)]
    set_clock(store.redis, store.prefix, 100)
    assert claim(store, jobs[0].id, "one", 30)
    new = NewJob(source_key="uploads/abcdefgh", source_name="a", source_bytes=1, model="m", key_id="other")
    assert store.queue_position(store.submit(new).id) == 1
    assert 100 <= figures(client)["sentiloc_oldest_queued_seconds",] < 160


def test_the_age_of_jobs_without_a_worker_for_their_model_does_not_count(
    client: TestClient, store: JobStore
) -> None:
    """More workers would not help them. Without any worker it counts, so that a scaler starts one."""
    jobs = [submit(store) for _ in range(2)]
    set_clock(store.redis, store.prefix, 100)
    served = submit(store)
    store.wait(
        [job.id for job in jobs], JobError(code=ErrorCode.MODEL_UNAVAILABLE, detail="no weights"), 1000
    )
    found = figures(client)
    assert (found["sentiloc_jobs_unserved",], found["sentiloc_oldest_queued_seconds",] >= 100) == (2, True)

    beat(store.redis, store.prefix, WorkerPresence(name="host/1", seen_at=0, model="m", device="cpu"))
    assert figures(client)["sentiloc_oldest_queued_seconds",] < 60
    # The jobs leave the count in each way that ends the wait.
    store.served([jobs[0].id])
    assert figures(client)["sentiloc_oldest_queued_seconds",] >= 100
    assert store.cancel(jobs[1].id)
    assert claim(store, served.id, "one", 30)
    assert figures(client)["sentiloc_jobs_unserved",] == 0


def test_workers_are_named_by_model_and_device_only(client: TestClient, store: JobStore) -> None:
    good = WorkerPresence(name="host/1", seen_at=0, model="m", model_version="1", device="Some CPU")
    same = replace(good, name="host/3")
    bad = WorkerPresence(name="host/2", seen_at=0, model="m", error="a secret path", paused="a secret disk")
    for worker in (good, same, bad):
        beat(store.redis, store.prefix, worker)
    found = figures(client)
    assert found["sentiloc_workers",] == 3
    assert found["sentiloc_workers_paused",] == 1
    assert found["sentiloc_worker_ready", "Some CPU", "m", "1"] == 1
    assert found["sentiloc_workers_ready", "Some CPU", "m", "1"] == 2
    text = client.get("/metrics").text
    assert not [word for word in ("host/", "secret", store.prefix) if word in text]
