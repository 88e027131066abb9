"""Redis, or the object store, accepts connections and never answers: typed errors in time, nothing lost, recovery."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sentiloc.app.jobs.record import NewJob, new_job_id
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.app.storage.breaker import Breaker
from sentiloc.app.storage.keys import result_key, source_key
from sentiloc.app.storage.s3 import S3Storage
from sentiloc.app.telemetry import outages
from sentiloc.app.telemetry.outages import Outage
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.app.asking import VIDEO, assert_problem
from tests.support.black_hole import BlackHole, black_hole
from tests.support.jobs import claim
from tests.support.s3_server import BUCKET, SeaweedFS, seaweedfs
from tests.support.services import PrivateRedis, wait_for

REQUESTS = 100
THREADS = 40
"""The number of threads in which the framework runs handlers that wait."""


@pytest.fixture(autouse=True)
def _no_earlier_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "REDIS", Outage("Redis"))
    monkeypatch.setattr("sentiloc.app.storage.breaker._REST_SECONDS", 1.0)


@pytest.fixture
def redis_hole(redis_server: PrivateRedis) -> Iterator[BlackHole]:
    def connect_to_redis() -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(redis_server.url.removeprefix("unix://"))
        return server

    with black_hole(connect_to_redis) as hole:
        yield hole


def storm(app: FastAPI, path: str, count: int = REQUESTS) -> list[httpx.Response]:
    """The answers to so many simultaneous requests."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
            return await asyncio.gather(*(client.get(path) for _ in range(count)))

    return asyncio.run(send())


def codes(answers: list[httpx.Response]) -> Counter[Any]:
    return Counter((answer.status_code, answer.json().get("code")) for answer in answers)


def test_a_redis_that_never_answers(settings: Settings, store: JobStore, redis_hole: BlackHole) -> None:
    quiet = {"redis_url": f"redis://127.0.0.1:{redis_hole.port}/0", "redis_timeout_seconds": 1.5}
    app = create_app(settings.model_copy(update=quiet))
    (before,) = storm(app, "/jobs", 1)
    assert before.status_code == 200
    redis_hole.is_silent = True
    answers = storm(app, "/jobs")
    assert codes(answers) == {(503, "redis_unavailable"): REQUESTS}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    # The outage is known now: requests wait together for one command, and hold no thread.
    redis_hole.swallowed = 0
    assert codes(storm(app, "/jobs")) == {(503, "redis_unavailable"): REQUESTS}
    assert redis_hole.swallowed <= 10
    # The page's files and the name of the provider need no Redis, and find a thread.
    for path in ("/", "/session"):
        (page,) = storm(app, path, 1)
        assert page.status_code == 200
    redis_hole.is_silent = False
    wait_for(lambda: codes(storm(app, "/jobs", 3)) == {(200, None): 3})


def test_a_job_that_is_sent_while_redis_is_silent_is_made_once(
    settings: Settings, store: JobStore, redis_hole: BlackHole
) -> None:
    quiet = {"redis_url": f"redis://127.0.0.1:{redis_hole.port}/0", "redis_timeout_seconds": 1.5}
    with TestClient(create_app(settings.model_copy(update=quiet))) as client:

        def post() -> httpx.Response:
            answer: httpx.Response = client.post(
                "/localize", headers={"Idempotency-Key": "k"}, files={"video": ("a.mp4", VIDEO)}
            )
            return answer

        redis_hole.is_silent = True
        assert_problem(post(), 503, "redis_unavailable")
        assert store.queued() == []
        redis_hole.is_silent = False
        made = wait_for(lambda: answer if (answer := post()).status_code == 202 else None)
        redis_hole.is_silent = True
        assert_problem(post(), 503, "redis_unavailable")
        redis_hole.is_silent = False
        again = wait_for(lambda: answer if (answer := post()).status_code == 202 else None)
        assert again.json()["id"] == made.json()["id"]
    assert store.queued() == [made.json()["id"]]
    wait_for(lambda: len(list((settings.data_dir / "uploads").iterdir())) == 1)


@pytest.fixture(scope="module")
def object_store() -> Iterator[SeaweedFS]:
    with seaweedfs() as server:
        yield server


@pytest.fixture
def store_hole(object_store: SeaweedFS) -> Iterator[BlackHole]:
    place = httpx.URL(object_store.url)
    with black_hole(lambda: socket.create_connection((place.host, place.port or 0))) as hole:
        yield hole


@pytest.fixture
def remote(settings: Settings, store_hole: BlackHole) -> Settings:
    return settings.model_copy(
        update={
            "storage_url": f"s3://{BUCKET}/x",
            "storage_endpoint": f"http://127.0.0.1:{store_hole.port}",
            "storage_timeout_seconds": 2.0,
        }
    )


def patient(settings: Settings) -> S3Storage:
    """The storage for what is stored before a test: the first write to a new SeaweedFS takes its time."""
    return S3Storage(settings.model_copy(update={"storage_timeout_seconds": 60.0}))


def finished_job(store: JobStore, settings: Settings) -> str:
    job_id = new_job_id()
    new = NewJob(id=job_id, source_key=source_key(job_id), source_name="a.mp4", source_bytes=1, model="m")
    claimed = claim(store, store.submit(new).id, "one", 30.0)
    assert claimed is not None
    with patient(settings).writer(result_key(job_id, 1)) as writer:
        writer.write(json.dumps(EXAMPLE_RESULT).encode())
        writer.commit()
    assert store.succeed(claimed.lease, result_key(job_id, 1), ["positive"])
    return job_id


def test_an_object_store_that_never_answers(remote: Settings, store: JobStore, store_hole: BlackHole) -> None:
    result = f"/jobs/{finished_job(store, remote)}/result"
    app = create_app(remote)
    (before,) = storm(app, result, 1)
    assert before.status_code == 200
    store_hole.is_silent = True
    assert codes(storm(app, result)) == {(503, "storage_unavailable"): REQUESTS}
    # Each request is repeated once, and at most one for each thread was sent before the first one failed.
    assert store_hole.swallowed <= 2 * THREADS
    # Others are not held up, and know the reason at once.
    store_hole.swallowed = 0
    assert codes(storm(app, "/jobs", 3)) == {(200, None): 3}
    assert codes(storm(app, result)) == {(503, "storage_unavailable"): REQUESTS}
    assert store_hole.swallowed <= 10
    store_hole.is_silent = False

    def again() -> httpx.Response | None:
        (answer,) = storm(app, result, 1)
        return answer if answer.status_code == 200 else None

    assert wait_for(again).json() == before.json()


def test_a_video_sent_to_a_silent_object_store_is_refused_and_leaves_nothing(
    remote: Settings, store: JobStore, store_hole: BlackHole
) -> None:
    with TestClient(create_app(remote)) as client:

        def post() -> httpx.Response:
            answer: httpx.Response = client.post(
                "/localize", headers={"Idempotency-Key": "k"}, files={"video": ("a.mp4", VIDEO)}
            )
            return answer

        store_hole.is_silent = True
        assert_problem(post(), 503, "storage_unavailable")
        assert (store.queued(), list(remote.data_dir.rglob("*.src"))) == ([], [])
        store_hole.is_silent = False
        made = wait_for(lambda: answer if (answer := post()).status_code == 202 else None)
    assert store.queued() == [made.json()["id"]]


def test_a_request_that_is_refused_quickly_opens_no_breaker(
    remote: Settings, store_hole: BlackHole, object_store: SeaweedFS
) -> None:
    """Such as a connection that is refused while the store restarts."""
    storage = S3Storage(remote)
    assert storage.size("uploads/none0000.src") is None
    missing = S3Storage(remote.model_copy(update={"storage_endpoint": "http://127.0.0.1:9"}))
    for _ in range(2):
        with pytest.raises(SentilocError, match="cannot be reached"):
            missing.size("uploads/none0000.src")
    store_hole.is_silent = True
    for detail in ("cannot be reached", "does not answer"):
        with pytest.raises(SentilocError, match=detail) as caught:
            storage.size("uploads/none0000.src")
        assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


def test_a_store_that_accepts_no_connection_opens_the_breaker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as behind a firewall that drops packets: connecting then takes its own, shorter time limit."""
    monkeypatch.setattr("sentiloc.app.storage.s3_client._CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        place = f"http://127.0.0.1:{full.getsockname()[1]}"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        slow = {"storage_url": "s3://any", "storage_endpoint": place, "storage_timeout_seconds": 60.0}
        storage = S3Storage(settings.model_copy(update=slow))
        for detail in ("cannot be reached", "does not answer"):
            with pytest.raises(SentilocError, match=detail):
                storage.size("uploads/none0000.src")


def test_a_long_request_that_breaks_off_opens_no_breaker_while_others_are_answered() -> None:
    breaker, an_hour_ago = Breaker(5.0), time.monotonic() - 3600
    breaker.answered()
    breaker.failed(an_hour_ago)
    breaker.enter()
    silent = Breaker(5.0)
    silent.failed(an_hour_ago)
    with pytest.raises(SentilocError, match="does not answer"):
        silent.enter()


def test_a_job_survives_a_worker_s_silent_object_store(
    remote: Settings, store: JobStore, store_hole: BlackHole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is alive, so no crash is counted; the job is done when the store answers again."""
    from sentiloc.worker.jobs.runner import JobRunner
    from tests.worker.test_runner import Answer, OnePipeline

    # Waiting for the store takes longer than a job may stand still, and does not count.
    quick = remote.model_copy(update={"stall_seconds": 1.0, "fault_pause_seconds": 0.01})
    monkeypatch.setattr("sentiloc.worker.jobs.runner.end_hung_process", lambda: None)
    storage = S3Storage(quick)
    job = NewJob(source_key="uploads/abcdefgh.src", source_name="a", source_bytes=5, model="m")
    with patient(quick).writer(job.source_key) as writer:
        writer.write(b"video")
        writer.commit()
    store.submit(job)
    runner = JobRunner(
        quick, JobStore(connect(quick), quick.redis_prefix), storage, OnePipeline(quick, lambda *_: Answer())
    )
    store_hole.is_silent = True
    assert runner.run(job.id)
    waiting = store.get(job.id)
    assert waiting is not None and waiting.waiting is not None
    assert (waiting.state, waiting.crashes) == ("queued", 0)
    assert waiting.waiting.error.code is ErrorCode.STORAGE_UNAVAILABLE
    store_hole.is_silent = False
    wait_for(lambda: runner.run(job.id) and getattr(store.get(job.id), "state", None) == "succeeded")
    ended = store.get(job.id)
    assert ended is not None and (ended.attempt, ended.crashes) == (2, 0)
    assert storage.read(ended.result_key or "") == b'{"answer": 42}'
