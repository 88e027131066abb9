"""Changes of a job after its submission: name, metadata and tags, a rerun, deletion by filter."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.jobs.store import JobStore
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from tests.app.asking import assert_problem, finish, upload

URL = "https://media.example/holiday.mp4"


def make(client: TestClient, **options: Any) -> str:
    return str(client.post("/localize/url", json={"url": URL, "options": options}).json()["id"])


def patch(client: TestClient, job_id: str, **changes: Any) -> dict[str, Any]:
    response = client.patch(f"/jobs/{job_id}", json=changes)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_a_patch_is_a_merge_patch(client: TestClient) -> None:
    job_id = make(client, metadata={"a": 1, "b": {"c": 1, "d": 2}}, tags=["x"])
    changed = patch(client, job_id, metadata={"a": None, "b": {"c": 5}, "e": [1]}, name="../Take 2.mov")
    assert changed["options"]["metadata"] == {"b": {"c": 5, "d": 2}, "e": [1]}
    assert (changed["source"]["name"], changed["options"]["tags"]) == ("Take 2.mov", ["x"])
    assert patch(client, job_id, tags=["y", "z", "y"])["options"]["tags"] == ["y", "z"]
    assert patch(client, job_id, metadata=None, tags=None)["options"]["metadata"] == {}
    assert client.get(f"/jobs/{job_id}").json() == patch(client, job_id)
    for wrong in ({"name": None}, {"name": ""}, {"state": "failed"}, {"tags": ["a"] * 2 + [""]}):
        assert_problem(client.patch(f"/jobs/{job_id}", json=wrong), 422, "invalid_request")
    patch(client, job_id, metadata={"a": "x" * 3000})
    assert_problem(
        client.patch(f"/jobs/{job_id}", json={"metadata": {"b": "x" * 3000}}), 422, "invalid_request"
    )
    assert_problem(client.patch("/jobs/nobody", json={}), 404, "job_not_found")


def test_changes_at_the_same_time_are_all_kept(client: TestClient) -> None:
    job_id = make(client)
    threads = [
        threading.Thread(target=patch, args=(client, job_id), kwargs={"metadata": {str(number): number}})
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = client.get(f"/jobs/{job_id}").json()["options"]["metadata"]
    assert kept == {str(number): number for number in range(12)}


def test_a_changed_upload_is_still_the_same_job(client: TestClient) -> None:
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "5",
        "Content-Type": "application/offset+octet-stream",
    }
    sent = client.post("/uploads", headers=headers, content=b"video")
    asked = {"upload": sent.headers["location"].rpartition("/")[2], "options": {"metadata": {"a": 1}}}
    first = client.post("/localize/upload", json=asked).json()["id"]
    patch(client, first, metadata={"a": 2})
    again = client.post("/localize/upload", json=asked)
    assert (again.status_code, again.json()["id"]) == (202, first)


def test_a_rerun_has_a_video_of_its_own(client: TestClient, store: JobStore, settings: Settings) -> None:
    first = upload(client).json()
    finish(store, first["id"], settings, json.dumps(EXAMPLE_RESULT).encode())
    patch(client, first["id"], tags=["x"])
    body = {"options": {"threshold": 0.9, "metadata": {"take": 2}}, "name": "again.mp4"}
    response = client.post(f"/jobs/{first['id']}/rerun", json=body, headers={"Idempotency-Key": "k"})
    second = response.json()
    assert response.status_code == 202, response.text
    assert (second["rerun_of"], second["state"]) == (first["id"], "queued")
    assert second["source"] == {**first["source"], "name": "again.mp4"}
    assert (second["options"]["threshold"], second["options"]["tags"]) == (0.9, ["x"])
    replayed = client.post(f"/jobs/{first['id']}/rerun", json=body, headers={"Idempotency-Key": "k"})
    assert (replayed.json()["id"], replayed.headers["idempotent-replayed"]) == (second["id"], "true")
    assert len(list((settings.data_dir / "uploads").iterdir())) == 2
    video = client.get(f"/jobs/{first['id']}/video").content
    assert client.delete(f"/jobs/{first['id']}").status_code == 204
    assert client.get(f"/jobs/{second['id']}/video").content == video
    plain = client.post(f"/jobs/{second['id']}/rerun").json()
    assert plain["options"] == second["options"]
    reset = client.post(f"/jobs/{second['id']}/rerun", json={"options": {"threshold": None}}).json()
    assert reset["options"]["threshold"] is None


def test_a_repeated_rerun_gets_its_job_whatever_has_changed(client: TestClient, settings: Settings) -> None:
    first = upload(client).json()["id"]

    def rerun() -> Any:
        asked = {"options": {"threshold": 0.9}}
        return client.post(f"/jobs/{first}/rerun", json=asked, headers={"Idempotency-Key": "k"})

    second = rerun().json()["id"]
    patch(client, first, tags=["seen"])
    (settings.data_dir / f"uploads/{first}.src").unlink()
    again = rerun()
    assert (again.status_code, again.json()["id"]) == (202, second)


def test_the_turn_of_a_rerun_has_the_length_of_its_video(
    client: TestClient, store: JobStore, settings: Settings
) -> None:
    first = make(client)
    store.redis.hset(f"{store.prefix}job:{first}", "duration", "95.000")
    for options, cost in (({}, "100.000"), ({"time_range": {"start": 80.0}}, "20.000")):
        again = client.post(f"/jobs/{first}/rerun", json={"options": options}).json()["id"]
        assert store.redis.hget(f"{store.prefix}job:{again}", "cost") == cost


def test_a_rerun_without_a_video(client: TestClient, store: JobStore, settings: Settings) -> None:
    by_url = make(client)
    again = client.post(f"/jobs/{by_url}/rerun").json()
    assert again["source"] == {"name": "holiday.mp4", "bytes": None, "url": URL}
    sent = upload(client).json()["id"]
    (settings.data_dir / f"uploads/{sent}.src").unlink()
    assert_problem(client.post(f"/jobs/{sent}/rerun"), 410, "source_missing")
    assert_problem(client.post(f"/jobs/{sent}/rerun", json={"options": {"x": 1}}), 422, "invalid_request")
    assert_problem(client.post(f"/jobs/{sent}/rerun", json={"options": {"model": "x"}}), 422, "unknown_model")
    assert len(store.queued()) == 3


def test_jobs_are_deleted_by_filter(client: TestClient, store: JobStore, settings: Settings) -> None:
    ended = [upload(client).json()["id"] for _ in range(3)]
    for job_id in ended:
        store.cancel(job_id)
    patch(client, ended[0], tags=["keep"])
    waiting = make(client, tags=["x"])
    assert_problem(client.delete("/jobs"), 422, "invalid_request")
    end = {"complete": True, "next_cursor": None}
    answer = client.delete("/jobs", params={"tag": "x"}).json()
    assert answer == {"deleted": 0, "cancelled": 0, "skipped": 1, **end}
    answer = client.delete("/jobs", params={"tag": "x", "cancel": "true"}).json()
    assert answer == {"deleted": 0, "cancelled": 1, "skipped": 0, **end}
    assert client.get(f"/jobs/{waiting}").json()["state"] == "cancelled"
    assert client.delete("/jobs", params={"tag": "keep"}).json()["deleted"] == 1
    assert not Path(settings.data_dir / f"uploads/{ended[0]}.src").exists()
    assert client.delete("/jobs", params={"all": "true"}).json()["deleted"] == 3
    assert client.get("/jobs").json()["jobs"] == []


def delete_all(client: TestClient, **query: Any) -> list[int]:
    """How many jobs each request deletes until the answer is complete."""
    deleted: list[int] = []
    while True:
        answer = client.delete("/jobs", params=query)
        assert answer.status_code == 200, answer.text
        deleted.append(answer.json()["deleted"])
        assert len(deleted) < 20
        if answer.json()["complete"]:
            return deleted
        query["cursor"] = answer.json()["next_cursor"]


def test_a_deletion_goes_on_behind_jobs_that_do_not_match(
    client: TestClient, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.app.listing.jobs.MAX_COLLECTED", 4)
    old = [make(client, tags=["x"]) for _ in range(3)]
    new = [make(client) for _ in range(5)]
    store.cancel_many([*old, *new])
    running = [make(client, tags=["x"]) for _ in range(5)]
    assert sum(delete_all(client, tag="x")) == 3
    left = client.get("/jobs").json()["jobs"]
    assert {one["id"] for one in left} == {*new, *running}
    assert_problem(client.delete("/jobs?tag=x&cursor=invented"), 422, "invalid_cursor")


@pytest.mark.parametrize("by_batch", [True, False])
def test_a_request_deletes_a_part_of_many_jobs(
    client: TestClient, store: JobStore, monkeypatch: pytest.MonkeyPatch, by_batch: bool
) -> None:
    monkeypatch.setattr("sentiloc.app.routes.jobs.listing._MOST_DELETED", 2)
    batch = client.post("/batches", json={"items": [{"url": URL}] * 5}).json()
    store.cancel_many(batch["job_ids"])
    assert delete_all(client, **({"batch": batch["id"]} if by_batch else {"all": True})) == [2, 2, 1]
    assert client.get("/jobs").json()["jobs"] == []


def test_two_results_are_compared(client: TestClient, store: JobStore, settings: Settings) -> None:
    segment = EXAMPLE_RESULT["segments"][0]

    def job(*spans: tuple[float, float, str]) -> str:
        segments = [
            {**segment, "start": start, "end": end, "peak": start, "label": label}
            for start, end, label in spans
        ]
        made = upload(client).json()["id"]
        finish(store, made, settings, json.dumps({**EXAMPLE_RESULT, "segments": segments}).encode())
        return str(made)

    before = job((0, 2, "positive"), (3, 5, "positive"), (6, 7, "negative"), (8, 9, "positive"))
    after = job((0, 2.04, "positive"), (3.5, 6, "positive"), (6, 7, "positive"), (7.5, 8.5, "negative"))
    found = client.get(f"/jobs/{before}/diff/{after}").json()
    spans = {
        "kept": [(pair["before"]["start"], pair["after"]["end"]) for pair in found["kept"]],
        "moved": [(pair["before"]["start"], pair["after"]["start"]) for pair in found["moved"]],
        "lost": [(one["start"], one["label"]) for one in found["lost"]],
        "new": [(one["start"], one["label"]) for one in found["new"]],
    }
    assert spans == {
        "kept": [(0, 2.04)],
        "moved": [(3, 3.5)],
        "lost": [(6, "negative"), (8, "positive")],
        "new": [(6, "positive"), (7.5, "negative")],
    }
    same = client.get(f"/jobs/{before}/diff/{before}").json()
    assert (len(same["kept"]), same["moved"], same["lost"], same["new"]) == (4, [], [], [])
    loose = client.get(f"/jobs/{before}/diff/{after}", params={"tolerance": 1.5}).json()
    assert (len(loose["kept"]), loose["moved"]) == (2, [])
    waiting = upload(client).json()["id"]
    assert_problem(client.get(f"/jobs/{before}/diff/{waiting}"), 409, "result_not_ready")
    assert_problem(client.get(f"/jobs/{before}/diff/nobody"), 404, "job_not_found")


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST"])
def test_no_job_is_called_summary(client: TestClient, method: str) -> None:
    assert client.get("/jobs/summary").json()["count"] == 0
    assert client.request(method, "/jobs/summary", json={}).status_code in (404, 405)
