"""One key cannot use up what all keys share: concurrent requests, event streams, open uploads, queued jobs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.key_limits import KeyLimitReached, KeySlots
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from tests.app.asking import assert_problem
from tests.app.test_events import is_listened_to
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

    def choose(*_: object) -> dict[str, object]:
        begun.set()
        assert may_end.wait(60)
        return {}

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
