"""Options of a job: from the form to the record, into the queue's order, and back to the client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from redis import Redis

from sentiloc.app.http.problems import InvalidRequest
from sentiloc.app.jobs.broker import BATCH_QUEUE, LOCALIZE_QUEUE
from sentiloc.app.jobs.checks import check_webhook
from sentiloc.app.jobs.options import MAX_METADATA_BYTES, TimeRange
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.model.package import shipped_models_dir
from sentiloc.model.spec import load_spec
from tests.app.asking import VIDEO, assert_problem

VERSION = load_spec(shipped_models_dir() / "fsenet-starter" / "spec.json").version
FULL: dict[str, Any] = {
    "threshold": 0.6,
    "min_length": 2.0,
    "merge_gap": 0.0,
    "labels": ["positive"],
    "model": f"fsenet-starter@{VERSION}",
    "time_range": {"start": 1.5, "end": 60.0},
    "audio_track": 2,
    "quality": "draft",
    "webhook": None,
    "priority": "batch",
    "metadata": {"project": "a b", "reel": 3, "tags": ["x"], "💥": None},
    "tags": ["holiday"],
}


def post(client: TestClient, options: object, raw: bool = False) -> Response:
    text = options if raw else json.dumps(options)
    response: Response = client.post("/localize", data={"options": text}, files={"video": ("a.mp4", VIDEO)})
    return response


def test_options_are_kept_and_echoed(client: TestClient, store: JobStore) -> None:
    response = post(client, FULL)
    assert response.status_code == 202, response.text
    assert response.json()["options"] == FULL
    assert client.get(response.json()["links"]["self"]).json()["options"] == FULL
    record = store.get(response.json()["id"])
    assert record is not None
    assert (record.model, record.options.threshold) == ("fsenet-starter", 0.6)


def test_without_options_the_defaults_hold(client: TestClient) -> None:
    plain = post(client, {}).json()["options"]
    assert plain == dict.fromkeys(FULL) | {
        "priority": "interactive",
        "quality": "full",
        "metadata": {},
        "tags": [],
    }


@pytest.mark.parametrize("is_last", [False, True])
def test_the_fields_may_come_in_any_order(client: TestClient, is_last: bool) -> None:
    parts: list[Any] = [("options", (None, '{"threshold": 0.25}')), ("video", ("a.mp4", VIDEO))]
    response = client.post("/localize", files=parts[::-1] if is_last else parts)
    assert (response.status_code, response.json()["options"]["threshold"]) == (202, 0.25)
    assert response.json()["source"]["bytes"] == len(VIDEO)


def test_the_document_lets_every_option_be_left_out(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["JobOptions"]["properties"]) == set(FULL)
    assert "required" not in schemas["JobOptions"]
    assert "Priority" in schemas


BAD = {
    "not json": "x",
    "not an object": "[1]",
    "unknown": '{"treshold": 0.5}',
    "range": '{"threshold": 1.5}',
    "nan": '{"threshold": NaN}',
    "label": '{"labels": ["happy"]}',
    "priority": '{"priority": "now"}',
    "range backwards": '{"time_range": {"start": 5, "end": 5}}',
    "range before": '{"time_range": {"start": -1}}',
    "range key": '{"time_range": {"from": 1}}',
    "metadata kind": '{"metadata": [1]}',
    "metadata nan": '{"metadata": {"a": NaN}}',
    "metadata infinity": '{"metadata": {"a": [1e999]}}',
    "metadata surrogate": '{"metadata": {"a": "\\ud800"}}',
    "metadata size": json.dumps({"metadata": {"a": "é" * (MAX_METADATA_BYTES // 2)}}),
    "deep": '{"metadata": {"a": ' + "[" * 5000 + "]" * 5000 + "}}",
    "huge": '{"metadata": {"a": "' + "x" * 20_000 + '"}}',
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_refused_and_no_file_is_kept(
    client: TestClient, settings: Settings, name: str
) -> None:
    assert_problem(post(client, BAD[name], raw=True), 422, "invalid_request")
    assert not [path for path in settings.data_dir.rglob("*") if path.is_file()]


@pytest.mark.parametrize("model", ["nothing", "../fsenet-starter", ""])
def test_an_unknown_model_is_refused(client: TestClient, model: str) -> None:
    assert_problem(post(client, {"model": model}), 422, "unknown_model")


def test_batch_jobs_wait_for_interactive_ones(client: TestClient, redis: Redis, settings: Settings) -> None:
    batch = post(client, {"priority": "batch"}).json()
    first, second = post(client, {}).json(), post(client, {}).json()
    assert [first["queue_position"], second["queue_position"]] == [1, 2]
    assert client.get(batch["links"]["self"]).json()["queue_position"] == 3
    lengths = [redis.llen(f"{settings.redis_prefix}{name}") for name in (LOCALIZE_QUEUE, BATCH_QUEUE)]
    assert lengths == [2, 1]


def test_jobs_are_found_by_their_metadata(client: TestClient) -> None:
    job = post(client, FULL).json()["id"]
    post(client, {"metadata": {"project": "b"}})

    def found(*pairs: str) -> list[str]:
        return [row["id"] for row in client.get("/jobs", params={"metadata": list(pairs)}).json()["jobs"]]

    assert found("project=a b") == found("reel=3") == found("reel=3", "project=a b") == [job]
    assert found("project=a b", "reel=4") == found("reel=") == found("other=1") == []
    assert_problem(client.get("/jobs", params={"metadata": "project"}), 422, "invalid_request")


@pytest.mark.parametrize(
    ("start", "end", "seconds"), [(0.0, 4.0, 4.0), (8.0, None, 2.0), (8.0, 60.0, 2.0), (11.0, 12.0, 0.0)]
)
def test_a_part_is_charged_by_its_length(start: float, end: float | None, seconds: float) -> None:
    assert TimeRange(start=start, end=end).seconds(10.0) == seconds


def test_a_draft_of_a_model_that_needs_every_picture_is_refused(client: TestClient) -> None:
    response = post(client, {"quality": "draft", "model": "fsenet-i3d"})
    assert_problem(response, 422, "invalid_request")
    assert "options.quality" in response.json()["detail"]
    assert_problem(post(client, {"quality": "rough"}), 422, "invalid_request")


@pytest.mark.parametrize(
    ("place", "secret"), [("options.webhook", "options.webhook.secret"), ("webhook", "webhook.secret")]
)
def test_a_webhook_without_any_secret_is_refused_with_advice(place: str, secret: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_webhook("https://192.0.2.1/hook", None, Settings(outbound_allow=["192.0.2.0/24"]), place)
    assert raised.value.detail.startswith(f"{secret}: required")
    assert f"set SENTILOC_WEBHOOK_SECRET on the server, or send {secret}." in raised.value.detail
