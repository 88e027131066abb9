"""One key gives one job: repeated requests, simultaneous requests, and another request with the same key."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from httpx import Response

from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.model.package import shipped_models_dir
from tests.app.asking import VIDEO, assert_problem


def post(client: TestClient, key: str, data: bytes = VIDEO, **options: Any) -> Response:
    response: Response = client.post(
        "/localize",
        headers={"Idempotency-Key": key},
        data={"options": json.dumps(options)},
        files={"video": ("a.mp4", data)},
    )
    return response


def uploads(settings: Settings) -> int:
    return len(list((settings.data_dir / "uploads").iterdir()))


def test_the_same_request_is_the_same_job(client: TestClient, settings: Settings, store: JobStore) -> None:
    first, again, other = post(client, "k 1"), post(client, "k 1"), post(client, "k 2")
    assert [response.status_code for response in (first, again, other)] == [202] * 3
    assert first.json() == again.json() != other.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert uploads(settings) == len(store.queued()) == 2


def test_another_request_with_the_key_is_refused(client: TestClient, settings: Settings) -> None:
    post(client, "k", threshold=0.5)
    assert_problem(post(client, "k", VIDEO + b"x", threshold=0.5), 422, "idempotency_conflict")
    assert_problem(post(client, "k", threshold=0.6), 422, "idempotency_conflict")
    assert post(client, "k", threshold=0.50).status_code == 202
    assert uploads(settings) == 1


def test_a_repeated_form_gets_its_job_although_its_options_are_impossible_now(
    settings: Settings, tmp_path: Path
) -> None:
    """The model was removed since, or the webhook's address is forbidden now."""
    models = tmp_path / "models"
    shutil.copytree(shipped_models_dir() / "fsenet-starter", models / "other")
    spec = models / "other" / "spec.json"
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "name": "other"}))
    now = settings.model_copy(update={"models_dir": models, "outbound_allow": ("127.0.0.0/8",)})
    hook = {"url": "http://127.0.0.1:9/", "secret": "whsec_" + "a" * 32}
    with TestClient(create_app(now)) as client:
        first = post(client, "k", model="other", webhook=hook)
    assert first.status_code == 202, first.text
    later = settings.model_copy(update={"models_dir": tmp_path / "none"})
    with TestClient(create_app(later)) as client:
        again = post(client, "k", model="other", webhook=hook)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["idempotent-replayed"] == "true"
        assert_problem(post(client, "k", VIDEO + b"x", model="other"), 422, "idempotency_conflict")
        assert_problem(post(client, "k 2", model="other"), 422, "unknown_model")
    assert uploads(settings) == 1


def test_the_key_of_a_deleted_job_is_free(client: TestClient) -> None:
    first = post(client, "k").json()
    client.delete(first["links"]["self"])
    assert post(client, "k").json()["state"] == "cancelled"
    client.delete(first["links"]["self"])
    assert post(client, "k").json()["id"] != first["id"]


def test_a_job_that_is_deleted_while_its_request_is_repeated_is_asked_for_again(
    client: TestClient, settings: Settings, store: JobStore
) -> None:
    """The repeated video is not kept, so the client has to send it once more."""
    first = post(client, "k").json()
    store.cancel(first["id"])
    field = b'Content-Disposition: form-data; name="video"; filename="a"'

    def body() -> Iterator[bytes]:
        yield b"--b\r\n" + field + b"\r\n\r\n" + VIDEO
        store.delete_many([first["id"]])
        yield b"\r\n--b--\r\n"

    headers = {"Idempotency-Key": "k", "Content-Type": "multipart/form-data; boundary=b"}
    refused = client.post("/localize", headers=headers, content=body())
    assert_problem(refused, 503, "busy")
    assert refused.headers["retry-after"] == "1"
    assert post(client, "k").json()["id"] != first["id"]


def test_keys_are_forgotten_in_time(client: TestClient, store: JobStore, settings: Settings) -> None:
    post(client, "k")
    (place,) = store.redis.scan_iter(f"{store.prefix}idempotency:*")
    assert 0 < int(store.redis.ttl(place)) <= settings.idempotency_seconds == 86_400


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_sensible_length(client: TestClient, key: str) -> None:
    assert_problem(post(client, key), 422, "invalid_request")


def test_500_posts_at_once_make_one_job(settings: Settings, store: JobStore) -> None:
    async def storm() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
            request = {"headers": {"Idempotency-Key": "k"}, "files": {"video": ("a.mp4", VIDEO)}}
            return await asyncio.gather(*(client.post("/localize", **request) for _ in range(500)))  # type: ignore[arg-type]

    answers = asyncio.run(storm())
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert uploads(settings) == len(store.queued()) == 1
