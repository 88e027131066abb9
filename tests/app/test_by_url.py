"""`POST /localize` with the URL of a video: accepted addresses, and those refused before any connection."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from tests.app.asking import assert_problem
from tests.support.jobs import claim

URL = "https://media.example/a%20b/holiday.mp4?token=secret"


def post(client: TestClient, key: str | None = None, **body: Any) -> Response:
    headers = {"Idempotency-Key": key} if key else {}
    response: Response = client.post("/localize", json=body, headers=headers)
    return response


def test_a_url_becomes_a_job_at_once(client: TestClient, store: JobStore) -> None:
    job = post(client, url=URL, options={"labels": ["positive"]}).json()
    assert job["source"] == {
        "name": "holiday.mp4",
        "bytes": None,
        "url": "https://media.example/a%20b/holiday.mp4",
    }
    assert (job["state"], job["options"]["labels"]) == ("queued", ["positive"])
    record = store.get(job["id"])
    assert record is not None
    assert record.source_url == URL
    assert post(client, url=URL, name="../x y.mov").json()["source"]["name"] == "x y.mov"
    assert post(client, url="https://media.example").json()["source"]["name"] == "video"


def test_a_fetched_video_has_its_size(client: TestClient, store: JobStore, settings: Settings) -> None:
    job_id = post(client, url=URL).json()["id"]
    record = claim(store, job_id, "worker", 30.0)
    assert record is not None
    with LocalStorage(settings.data_dir).writer(record.source_key) as writer:
        writer.write(b"video")
        writer.commit()
    assert store.fetched(record.lease, 5)
    assert client.get(f"/jobs/{job_id}").json()["source"]["bytes"] == 5
    assert client.get(f"/jobs/{job_id}/video").content == b"video"


def test_the_same_key_and_url_are_the_same_job(client: TestClient, store: JobStore) -> None:
    first, again = post(client, "k", url=URL), post(client, "k", url=URL)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert_problem(post(client, "k", url=URL + "2"), 422, "idempotency_conflict")
    assert len(store.queued()) == 1


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1/a",
            "http://[::1]/a",
            "http://169.254.169.254/latest/meta-data",
            "http://0x7f.1/",
        ),
        *("http://2130706433/", "http://[::ffff:10.0.0.1]/", "http://localhost:6379/", "file:///etc/passwd"),
        *("https://user:secret@media.example/", "ftp://media.example/a", "media.example/a", "http://"),
    ],
)
def test_forbidden_urls_are_refused_at_the_door(client: TestClient, store: JobStore, url: str) -> None:
    assert_problem(post(client, url=url), 422, "url_forbidden")
    assert store.queued() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": URL, "upload": "abcdefgh"},
        {"url": 5},
        {"url": ""},
        {"url": "https://media.example/" + "a" * 3000},
        {"upload": "../x"},
        {"upload": "abcdefgh", "name": "x"},
        {"url": URL, "options": {"threshold": 7}},
        {"url": URL, "option": {}},
    ],
)
def test_other_bodies_are_refused(client: TestClient, body: dict[str, Any]) -> None:
    assert_problem(post(client, **body), 422, "invalid_request")


def test_unknown_things_are_typed(client: TestClient) -> None:
    assert_problem(post(client, url=URL, options={"model": "x"}), 422, "unknown_model")
    assert_problem(post(client, upload="abcdefgh"), 404, "upload_not_found")
    assert_problem(post(client, url=URL, name="x" * 70_000), 413, "body_too_large")
    wrong = client.post("/localize", content=b"{", headers={"Content-Type": "application/json"})
    assert_problem(wrong, 422, "invalid_request")
