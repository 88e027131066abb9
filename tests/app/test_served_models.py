"""A model that no live worker can run is refused at once, and accepted again as soon as one can."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from redis import Redis

from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.settings import Settings

REASON = "weights_missing: the weights 'i3d-kinetics' are missing. Run: sentiloc weights pull i3d-kinetics"
MODEL = "fsenet-i3d"


def worker(name: str = "one", **changes: Any) -> WorkerPresence:
    """A worker that lacks I3D's weights."""
    fields = {"served": ("fsenet-starter",), "missing": {MODEL: REASON}, **changes}
    return WorkerPresence(name=name, seen_at=0.0, model="fsenet-starter", device="cpu", **fields)


def post(client: TestClient, model: str = MODEL) -> Response:
    form = {"options": json.dumps({"model": model})}
    video = {"video": ("a.mp4", b"bytes", "video/mp4")}
    answer: Response = client.post("/localize", files=video, data=form)
    return answer


def test_a_model_that_no_worker_can_run_is_refused_with_the_command(
    client: TestClient, redis: Redis, settings: Settings
) -> None:
    beat(redis, settings.redis_prefix, worker())
    answer = post(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")
    assert "sentiloc weights pull i3d-kinetics" in answer.json()["detail"]
    assert answer.headers["Retry-After"]
    assert list((settings.data_dir / "uploads").glob("*")) == []
    assert post(client, "fsenet-starter").status_code == 202


def test_one_capable_worker_is_enough(client: TestClient, redis: Redis, settings: Settings) -> None:
    beat(redis, settings.redis_prefix, worker())
    beat(redis, settings.redis_prefix, worker("two", served=("fsenet-starter", MODEL), missing={}))
    assert post(client).status_code == 202


@pytest.mark.parametrize("known", [(), (worker(served=None, missing={}),)], ids=["no worker", "an older one"])
def test_without_a_report_of_workers_jobs_wait(
    client: TestClient, redis: Redis, settings: Settings, known: tuple[WorkerPresence, ...]
) -> None:
    for one in known:
        beat(redis, settings.redis_prefix, one)
    assert post(client).status_code == 202


def test_a_worker_that_may_be_restarting_counts(client: TestClient, redis: Redis, settings: Settings) -> None:
    beat(redis, settings.redis_prefix, worker())
    table = f"{settings.redis_prefix}workers"
    silent = worker("two", served=(MODEL,), missing={})
    beat(redis, settings.redis_prefix, silent)
    entry = json.loads(str(redis.hget(table, "two")))
    redis.hset(table, "two", json.dumps({**entry, "seen_at": entry["seen_at"] - 30}))
    assert post(client).status_code == 202


def test_every_way_to_a_job_refuses(client: TestClient, redis: Redis, settings: Settings) -> None:
    beat(redis, settings.redis_prefix, worker())
    options = {"model": MODEL}
    answers = [
        client.post("/localize/url", json={"url": "https://93.184.215.14/a.mp4", "options": options}),
        client.post("/batches", json={"items": [{"url": "https://93.184.215.14/a.mp4"}], "options": options}),
        client.post("/uploads", headers=tus_headers(options)),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (503, "model_unavailable")
    ] * 3, [answer.text for answer in answers]


def test_a_repeated_request_gets_its_job_while_the_model_is_not_served(
    client: TestClient, redis: Redis, settings: Settings
) -> None:
    """The key is looked up before the model is: the first request has been accepted."""
    options = {"model": MODEL}
    url = {"url": "https://93.184.215.14/a.mp4", "options": options}
    plain = post(client, "fsenet-starter").json()["id"]

    def ask() -> list[Response]:
        form = {
            "data": {"options": json.dumps(options)},
            "files": {"video": ("a.mp4", b"bytes", "video/mp4")},
        }
        batch = {"items": [{"url": url["url"]}], "options": options}
        return [
            client.post("/localize", headers={"Idempotency-Key": "form"}, **form),
            client.post("/localize/url", headers={"Idempotency-Key": "url"}, json=url),
            client.post(
                f"/jobs/{plain}/rerun", headers={"Idempotency-Key": "rerun"}, json={"options": options}
            ),
            client.post("/batches", headers={"Idempotency-Key": "batch"}, json=batch),
        ]

    first = ask()
    beat(redis, settings.redis_prefix, worker())
    again = ask()
    assert [answer.status_code for answer in first] == [answer.status_code for answer in again], [
        answer.text for answer in again
    ]
    assert [answer.json()["id"] for answer in first] == [answer.json()["id"] for answer in again]
    assert post(client).status_code == 503
    other = {**url, "url": "https://93.184.215.14/b.mp4"}
    assert client.post("/localize/url", headers={"Idempotency-Key": "url"}, json=other).status_code == 422
    # Only the videos of the form and of the rerun, each once, and the one that was run again.
    assert len(list((settings.data_dir / "uploads").glob("*.src"))) == 3


def tus_headers(options: dict[str, str]) -> dict[str, str]:
    metadata = f"localize {b64encode(json.dumps(options).encode()).decode()}"
    return {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": metadata}


def test_models_and_readiness_report_a_missing_model(
    client: TestClient, redis: Redis, settings: Settings
) -> None:
    assert {model["is_served"] for model in client.get("/models").json()} == {None}
    beat(redis, settings.redis_prefix, worker())
    found = {model["name"]: model for model in client.get("/models").json()}
    assert (found["fsenet-starter"]["is_served"], found[MODEL]["is_served"]) == (True, False)
    assert found[MODEL]["not_served_because"] == REASON
    assert client.get("/readyz").json()["workers"][0]["served"] == ["fsenet-starter"]
