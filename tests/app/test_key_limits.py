"""One key cannot use up what all keys share: concurrent requests, event streams, open uploads, queued jobs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from redis import Redis, RedisError

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.key_limits import KeyLimitReached, KeySlots, KeyTurns
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.request_rules import is_quick_or_lasting, reads_many
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.routes.reels.highlights import Choice
from sentiloc.app.routes.reels.share import LinkNotFound
from sentiloc.app.settings import Settings
from tests.app.asking import assert_problem
from tests.app.test_events import is_listened_to
from tests.app.test_reel_routes import Planted, planted  # noqa: F401
from tests.model.test_highlights import segment
from tests.support.services import wait_for

CUT = {"format": "edl", "clips": [{"job": "a" * 22, "start": 0, "end": 1}]}
NEW_UPLOAD = {"Tus-Resumable": "1.0.0", "Upload-Length": "100"}


@pytest.fixture
def limited(settings: Settings) -> Iterator[TestClient]:
    limits = {
        "api_keys": "on",
        "max_requests_per_key": 2,
        "max_event_streams_per_key": 1,
        "max_open_uploads_per_key": 2,
        "max_queued_per_key": 2,
    }
    with TestClient(create_app(settings.model_copy(update=limits))) as client:
        yield client


@pytest.fixture
def pair(redis: Redis, settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """Headers of two keys."""
    keys = KeyStore(redis, settings.redis_prefix)
    texts = [keys.create(name, [Scope.READ, Scope.WRITE], rate_per_minute=0).text for name in "ab"]
    first, second = ({"Authorization": f"Bearer {text}"} for text in texts)
    return first, second


def test_slots_are_counted_by_key_and_freed() -> None:
    slots = KeySlots(2, "requests")
    held = ("a", "a", "b", None, None, None)
    with contextlib.ExitStack() as stack:
        for key in held:
            stack.enter_context(slots.hold(key))
        with pytest.raises(KeyLimitReached), slots.hold("a"):
            pass
    with slots.hold("a"):
        pass
    assert not slots._held


def localize(client: TestClient, key: dict[str, str]) -> str:
    answer = client.post("/localize", files={"video": b"not a video"}, headers=key)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_streams_and_requests(
    limited: TestClient, pair: tuple[dict[str, str], dict[str, str]], store: JobStore
) -> None:
    mine, other = pair
    job, others = localize(limited, mine), localize(limited, other)
    asked = threading.Thread(target=limited.get, args=(f"/jobs/{job}/events",), kwargs={"headers": mine})
    asked.start()
    wait_for(lambda: is_listened_to(store))
    refused = limited.get(f"/jobs/{job}/events", headers=mine)
    assert_problem(refused, 429, "key_limit")
    assert int(refused.headers["retry-after"]) > 0
    # The other key still has its stream, and this key its other requests.
    store.cancel(others)
    assert limited.get(f"/jobs/{others}/events", headers=other).status_code == 200
    assert limited.get("/jobs", headers=mine).status_code == 200
    store.cancel(job)
    asked.join()
    assert limited.get(f"/jobs/{job}/events", headers=mine).status_code == 200


def test_requests_beyond_the_limit_are_refused_until_one_ends(
    settings: Settings, pair: tuple[dict[str, str], dict[str, str]], store: JobStore
) -> None:
    mine, other = pair
    with TestClient(
        create_app(settings.model_copy(update={"api_keys": "on", "max_requests_per_key": 1}))
    ) as client:
        job = localize(client, mine)
        asked = threading.Thread(target=client.get, args=(f"/jobs/{job}/events",), kwargs={"headers": mine})
        asked.start()
        wait_for(lambda: is_listened_to(store))
        assert_problem(client.get("/jobs", headers=mine), 429, "key_limit")
        assert client.get("/jobs", headers=other).status_code == 200
        store.cancel(job)
        asked.join()
        assert client.get("/jobs", headers=mine).status_code == 200


def test_open_uploads(limited: TestClient, pair: tuple[dict[str, str], dict[str, str]], redis: Redis) -> None:
    mine, other = ({**key, **NEW_UPLOAD} for key in pair)
    places = [limited.post("/uploads", headers=mine).headers["location"] for _ in range(2)]
    assert_problem(limited.post("/uploads", headers=mine), 429, "key_limit")
    assert limited.post("/uploads", headers=other).status_code == 201
    assert limited.delete(places[0], headers=mine).status_code == 204
    again = limited.post("/uploads", headers=mine)
    assert again.status_code == 201
    chunk = {**mine, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert limited.patch(places[1], headers=chunk, content=bytes(100)).status_code == 204
    used = limited.post("/localize", json={"upload": places[1].rpartition("/")[2]}, headers=mine)
    assert used.status_code == 202
    assert limited.post("/uploads", headers=mine).status_code == 201


def test_a_refused_upload_leaves_no_file(
    limited: TestClient, pair: tuple[dict[str, str], dict[str, str]], settings: Settings
) -> None:
    mine = {**pair[0], **NEW_UPLOAD}
    for _ in range(4):
        limited.post("/uploads", headers=mine)
    assert len(list((settings.data_dir / "incoming").iterdir())) == 2


def test_queued_jobs(
    limited: TestClient, pair: tuple[dict[str, str], dict[str, str]], settings: Settings
) -> None:
    mine, other = pair
    for _ in range(2):
        localize(limited, mine)
    refused = limited.post("/localize", files={"video": b"not a video"}, headers=mine)
    assert_problem(refused, 429, "key_limit")
    assert limited.post("/localize", json={"url": "http://93.184.216.34/a"}, headers=mine).status_code == 429
    localize(limited, other)
    assert len(list((settings.data_dir / "uploads").glob("*.src"))) == 3


def test_kept_jobs(settings: Settings, pair: tuple[dict[str, str], dict[str, str]], store: JobStore) -> None:
    """Ended jobs count, too: their records fill Redis, in which all keys have theirs."""
    mine, other = pair
    limits = {"api_keys": "on", "max_kept_jobs_per_key": 2}
    with TestClient(create_app(settings.model_copy(update=limits))) as client:
        again = {**mine, "Idempotency-Key": "first"}
        jobs = [localize(client, again), localize(client, mine)]
        for job in jobs:
            store.cancel(job)
        for path, body in (("localize", {"url": "http://93.184.216.34/a"}), ("reels", {}), ("batches", {})):
            refused = client.post(f"/v1/{path}", json=body, headers=mine)
            assert_problem(refused, 429, "key_limit")
            assert "Delete some of them." in refused.json()["detail"]
        assert localize(client, again) == jobs[0]
        localize(client, other)
        assert client.delete(f"/v1/jobs/{jobs[1]}", headers=mine).status_code == 204
        localize(client, mine)


def test_a_full_queue_refuses_no_bytes_of_an_upload(
    limited: TestClient, pair: tuple[dict[str, str], dict[str, str]], store: JobStore
) -> None:
    mine, _ = pair
    queued = [localize(limited, mine) for _ in range(2)]
    chunk = {**mine, "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    new = {**chunk, "Upload-Length": "100", "Upload-Metadata": "localize"}
    place = limited.post("/uploads", headers=new, content=bytes(60)).headers["location"]
    last = limited.patch(place, headers={**chunk, "Upload-Offset": "60"}, content=bytes(40))
    assert (last.status_code, last.headers["upload-offset"]) == (204, "100")
    assert limited.post("/uploads", headers=new, content=bytes(100)).status_code == 201
    for answer in (last, limited.head(place, headers=chunk)):
        assert answer.is_success
        assert "sentiloc-job" not in answer.headers
    assert limited.get(place, headers=mine).json()["state"] == "complete"
    store.cancel(queued[0])
    services = limited.app.state.services  # type: ignore[attr-defined]
    services.upload_jobs.sweep()
    assert limited.head(place, headers=chunk).headers["sentiloc-job"].endswith(place.rpartition("/")[2])


def test_requests_that_combine_many_jobs_take_turns(
    settings: Settings, pair: tuple[dict[str, str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One runs, another key's waits without a thread, and all else is answered meanwhile."""
    begun, may_end = threading.Event(), threading.Event()

    def choose(*_: object) -> Choice:
        begun.set()
        assert may_end.wait(60)
        return Choice({})

    monkeypatch.setattr("sentiloc.app.routes.reels.highlights._chosen", choose)
    limits = {"api_keys": "on", "max_combining_requests": 1, "max_combining_requests_per_key": 2}
    mine, other = pair
    answers: list[int] = []
    with TestClient(create_app(settings.model_copy(update=limits))) as client:
        slots = client.app.state.services.combining._slots  # type: ignore[attr-defined]

        def ask(key: dict[str, str]) -> None:
            answers.append(client.get("/v1/highlights", headers=key).status_code)

        asking = [threading.Thread(target=ask, args=[key]) for key in (mine, mine, other)]
        for thread in asking:
            thread.start()
        try:
            assert begun.wait(60)
            wait_for(lambda: slots._held.total() == 3)
            refused = client.get("/v1/highlights", headers=mine)
            assert_problem(refused, 429, "key_limit")
            assert refused.headers["retry-after"] == "5"
            assert_problem(client.post("/v1/cuts", headers=mine, json=CUT), 429, "key_limit")
            assert client.get("/v1/jobs", headers=mine).status_code == 200
        finally:
            may_end.set()
        for thread in asking:
            thread.join()
    assert answers == [200, 200, 200]


def require_turns(
    asking: list[threading.Thread],
    running: threading.Semaphore,
    may_end: threading.Event,
    turns: int,
    ask: Callable[[], Response],
) -> None:
    """Of the threads in `asking`, `turns` run at a time, and the request of another caller is answered meanwhile.

    Each that runs releases `running`, and ends after `may_end`.
    """
    for thread in asking:
        thread.start()
    try:
        assert all(running.acquire(timeout=60) for _ in range(turns))
        answers: list[int] = []
        asked = threading.Thread(target=lambda: answers.append(ask().status_code))
        asked.start()
        asked.join(60)
        assert answers == [200]
        assert not running.acquire(blocking=False)
    finally:
        may_end.set()
    for thread in [*asking, asked]:
        thread.join()


@pytest.mark.parametrize(
    ("path", "work"),
    [
        ("/v1/jobs/summary", "sentiloc.app.routes.jobs.listing.summarize"),
        ("/v1/webhooks", "sentiloc.app.webhooks.endpoints.EndpointStore.of_key"),
    ],
)
def test_slow_requests_of_one_key_leave_threads_to_others(
    settings: Settings,
    pair: tuple[dict[str, str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    work: str,
) -> None:
    """There are 40 threads for all requests."""
    running, may_end = threading.Semaphore(0), threading.Event()

    def wait(*_: object) -> None:
        running.release()
        assert may_end.wait(60)
        raise RedisError

    monkeypatch.setattr(work, wait)
    limits = {"api_keys": "on", "max_running_requests_per_key": 3, "max_lists_per_key": 3}
    mine, other = pair
    with TestClient(create_app(settings.model_copy(update=limits)), raise_server_exceptions=False) as client:
        asking = [
            threading.Thread(target=client.get, args=[path], kwargs={"headers": mine}) for _ in range(45)
        ]
        require_turns(asking, running, may_end, 3, lambda: client.get("/v1/jobs", headers=other))


def test_a_shared_link_leaves_threads_to_others(
    client: TestClient,
    planted: Planted,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It needs no key, so no limit of keys applies to those who have it."""
    job = planted.job("clip.mp4", segment(1, 2))
    path = client.post(f"/v1/jobs/{job}/share").json()["path"]
    running, may_end = threading.Semaphore(0), threading.Event()

    def wait(*_: object) -> None:
        running.release()
        assert may_end.wait(60)
        raise LinkNotFound

    monkeypatch.setattr("sentiloc.app.routes.reels.share.read_corrected", wait)
    asking = [threading.Thread(target=client.get, args=[path]) for _ in range(45)]
    require_turns(asking, running, may_end, 16, lambda: client.get("/v1/jobs"))


def test_turns_are_given_back_and_forgotten() -> None:
    turns = KeyTurns(1)

    async def use() -> list[str]:
        order: list[str] = []

        async def ask(key: str, name: str) -> None:
            async with turns.hold(key):
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(ask("a", "first"), ask("a", "second"), ask("b", "other"))
        return order

    assert asyncio.run(use()) == ["first", "other", "second"]
    assert not turns._turns
    assert not turns._users


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/jobs/x", "free"),
        ("GET", "/jobs/x/events", "free"),
        ("GET", "/jobs/x/video", "free"),
        ("GET", "/reels/x/video", "free"),
        ("POST", "/localize", "free"),
        ("PATCH", "/uploads/x", "free"),
        ("GET", "/jobs", "list"),
        ("DELETE", "/jobs", "list"),
        ("GET", "/jobs/summary", "list"),
        ("HEAD", "/feedback/export", "list"),
        ("GET", "/jobs/x/result", "other"),
        ("DELETE", "/jobs/x", "other"),
        ("POST", "/batches", "other"),
        ("POST", "/localize/url", "other"),
    ],
)
def test_which_requests_wait_for_a_turn(method: str, path: str, kind: str) -> None:
    assert is_quick_or_lasting(method, path) is (kind == "free")
    assert reads_many(method, path) is (kind == "list")
