"""The workers' counters for Prometheus, and the timing of requests."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.metrics.job_counters import JobMetrics, count_job, read_counts
from tests.app.asking import upload
from tests.app.conftest import submit
from tests.app.test_metrics import figures
from tests.support.jobs import claim

JOB = JobMetrics({"decoding": 0.2, "face": 3.0}, media_seconds=10.0, work_seconds=4.0, video_bytes=1000)


def test_jobs_add_up(client: TestClient, store: JobStore) -> None:
    for _ in range(2):
        count_job(store.redis, store.prefix, JOB)
    count_job(store.redis, store.prefix, JobMetrics({"face": 9999.0}, 0.0, 1.0, 1))
    found = figures(client)
    assert found["sentiloc_stage_seconds_bucket", "0.25", "decoding"] == 2
    assert found["sentiloc_stage_seconds_bucket", "0.1", "decoding"] == 0
    faces = [found["sentiloc_stage_seconds_bucket", bound, "face"] for bound in ("2.5", "5.0", "+Inf")]
    assert faces == [0, 2, 3]
    assert found["sentiloc_stage_seconds_sum", "face"] == 6 + 9999
    assert (found["sentiloc_realtime_factor_bucket", "0.5"], found["sentiloc_realtime_factor_count",]) == (
        2,
        2,
    )
    assert found["sentiloc_media_seconds_total",] == 20
    assert (found["sentiloc_work_seconds_total",], found["sentiloc_video_bytes_total",]) == (9, 2001)


@pytest.mark.parametrize("seconds", [5e-324, 1e-300, 0.0004])
def test_a_part_of_less_than_a_millisecond_has_no_factor(store: JobStore, seconds: float) -> None:
    count_job(store.redis, store.prefix, JobMetrics({}, seconds, work_seconds=2.0, video_bytes=7))
    counts = read_counts(store.redis, store.prefix)
    found = [counts.get(name) for name in ("factor sum", "media_milliseconds", "work_milliseconds")]
    assert found == [0, 0, 2000]


def test_states_and_ends(client: TestClient, store: JobStore) -> None:
    running, cancelled = submit(store), submit(store)
    submit(store)
    record = claim(store, running.id, "one", 30)
    assert record is not None and store.renew(record.lease, 30, "extracting", 0.2)
    store.cancel(cancelled.id)
    found = figures(client)
    states = [found["sentiloc_jobs", state] for state in ("queued", "decoding", "extracting")]
    assert states == [1, 0, 1]
    ends = [found["sentiloc_jobs_finished_total", state] for state in ("succeeded", "failed", "cancelled")]
    assert ends == [0, 0, 1]
    assert found["sentiloc_queue_messages", "localize"] == 0


def test_a_model_s_load_is_reported_and_other_versions_are_tolerated(
    client: TestClient, store: JobStore
) -> None:
    worker = WorkerPresence(
        name="a/1", seen_at=0, model="m", model_version="2", device="CPU", load_seconds=1.5
    )
    beat(store.redis, store.prefix, worker)
    key = f"{store.prefix}workers"
    text = str(store.redis.hget(key, "a/1"))
    store.redis.hset(key, "a/1", text.replace("{", '{"unheard_of": 1, ', 1))
    assert figures(client)["sentiloc_model_load_seconds", "CPU", "m", "2"] == 1.5


def test_requests_are_timed_by_route_for_any_path(client: TestClient) -> None:
    job_id = upload(client).json()["id"]
    client.get(f"/jobs/{job_id}")
    for number in range(30):
        client.get(f"/nowhere/{number}")
        client.get(f"/jobs/{number}")
        client.request(f"X{number}", "/jobs")
    client.get("/web/main.js")
    families = text_string_to_metric_families(client.get("/metrics").text)
    timed = next(family for family in families if family.name == "sentiloc_http_request_seconds")
    counted = [sample for sample in timed.samples if sample.name.endswith("_count")]
    routes = {(s.labels["method"], s.labels["route"], s.labels["status"]): s.value for s in counted}
    assert routes["GET", "/jobs/{job_id}", "200"] == 1
    assert routes["GET", "/jobs/{job_id}", "404"] == 30
    assert routes["GET", "unmatched", "404"] == 30
    assert routes["GET", "static", "200"] == 1
    assert len(routes) <= 7
    assert job_id not in client.get("/metrics").text


def test_missing_counts_are_zero(store: JobStore) -> None:
    counts = read_counts(store.redis, store.prefix)
    assert (counts.get("stage", "x", "sum"), counts.stages()) == (0, [])
