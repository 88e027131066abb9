"""Server-sent events: order, resumption, the end, and events for queued jobs."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.jobs.events import eta_seconds
from sentiloc.app.jobs.record import JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from tests.app.asking import assert_problem
from tests.app.conftest import submit
from tests.support.jobs import claim
from tests.support.services import PATIENCE, wait_for


def parse(text: str) -> list[dict[str, Any]]:
    """Events as a browser's EventSource would give them; comments are dropped."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def is_listened_to(store: JobStore) -> bool:
    """True once Redis reports a stream that waits for events: the last command of an idle connection does not count."""
    clients: Any = store.redis.client_list()
    return any(client["cmd"] == "xread" and "b" in client["flags"] for client in clients)


def run_once_heard(store: JobStore, job_id: str) -> None:
    wait_for(lambda: is_listened_to(store))
    run_job(store, job_id)


def run_job(store: JobStore, job_id: str, pause: float = 0.05) -> None:
    record = claim(store, job_id, "one", 30)
    assert record is not None
    for step in (0.1, 0.5, 0.9):
        time.sleep(pause)
        assert store.renew(record.lease, 30, "extracting", step)
    assert store.succeed(record.lease, "results/abcdefgh.json")


def test_a_listener_gets_everything_as_it_happens(client: TestClient, store: JobStore) -> None:
    job = submit(store)
    worker = threading.Thread(target=run_once_heard, args=(store, job.id))
    worker.start()
    response = client.get(f"/jobs/{job.id}/events")
    worker.join()
    assert response.headers["content-type"].startswith("text/event-stream")
    events = parse(response.text)
    stored = [event for event in events if "id" in event]
    assert [event["id"] for event in stored] == [event_id for event_id, _ in store.events(job.id)]
    assert [event["event"] for event in stored] == [
        "state",
        "state",
        "state",
        "progress",
        "progress",
        "final",
    ]
    assert [event["data"]["progress"] for event in stored] == [0, 0, 0.1, 0.5, 0.9, 1]
    assert stored[-1]["data"] | {"at": 0} == {
        "state": "succeeded", "stage": None, "progress": 1.0, "attempt": 1, "at": 0, "eta_seconds": 0.0,
    }  # fmt: skip
    assert stored[4]["data"]["eta_seconds"] is not None
    assert {"event": "position", "data": {"queue_position": 1}} in events


def test_a_listener_resumes_after_its_last_event(client: TestClient, store: JobStore) -> None:
    job = submit(store)
    run_job(store, job.id)
    path = f"/jobs/{job.id}/events"
    everything = parse(client.get(path).text)
    rest = parse(client.get(path, headers={"Last-Event-ID": everything[2]["id"]}).text)
    assert rest == everything[3:]
    over = client.get(path, headers={"Last-Event-ID": everything[-1]["id"]})
    assert (over.status_code, over.content) == (204, b"")
    strange = client.get(path, headers={"Last-Event-ID": "$ FLUSHALL"})
    assert parse(strange.text) == everything


def test_a_deleted_job_ends_the_stream(client: TestClient, store: JobStore) -> None:
    job = submit(store)

    def forget() -> None:
        wait_for(lambda: is_listened_to(store))
        store.redis.delete(f"{store.prefix}job:{job.id}", f"{store.prefix}events:{job.id}")

    threading.Thread(target=forget).start()
    assert [event["event"] for event in parse(client.get(f"/jobs/{job.id}/events").text)][-1] != "final"


def test_an_unknown_job_has_no_events(client: TestClient) -> None:
    assert_problem(client.get("/jobs/unknown/events"), 404, "job_not_found")


def test_listeners_are_bounded(settings: Settings, store: JobStore) -> None:
    job = submit(store)
    with TestClient(create_app(settings.model_copy(update={"max_event_streams": 1}))) as client:
        first = threading.Thread(target=client.get, args=(f"/jobs/{job.id}/events",))
        first.start()
        wait_for(lambda: is_listened_to(store))
        refused = client.get(f"/jobs/{job.id}/events")
        assert_problem(refused, 503, "too_many_streams")
        store.cancel(job.id)
        first.join(PATIENCE)
        assert not first.is_alive()
        assert client.get(f"/jobs/{job.id}/events").status_code == 200


@pytest.mark.parametrize(
    ("state", "progress", "began", "expected"),
    [
        (JobState.EXTRACTING, 0.25, 90.0, 30.0),
        (JobState.EXTRACTING, 0.01, 90.0, None),
        (JobState.QUEUED, 0.0, None, None),
        (JobState.SUCCEEDED, 1.0, 90.0, 0.0),
    ],
)
def test_the_time_left_follows_from_the_time_taken(
    state: JobState, progress: float, began: float | None, expected: float | None
) -> None:
    assert eta_seconds(state, progress, 100.0, began) == expected


def test_an_impossible_event_id_is_refused(client: TestClient, store: JobStore) -> None:
    job = submit(store)
    store.cancel(job.id)
    for event_id in ("18446744073709551616-0", "0-99999999999999999999"):
        answer = client.get(f"/jobs/{job.id}/events", headers={"Last-Event-ID": event_id})
        assert_problem(answer, 400, "bad_request")
    largest = {"Last-Event-ID": "18446744073709551615-18446744073709551615"}
    assert client.get(f"/jobs/{job.id}/events", headers=largest).status_code == 204


def test_the_time_left_is_that_of_the_speed_so_far() -> None:
    assert eta_seconds(JobState.EXTRACTING, 0.25, 110.04, 100.0) == 30.1
    assert eta_seconds(JobState.EXTRACTING, 0.04, 110.0, 100.0) is None
    assert eta_seconds(JobState.EXTRACTING, 0.25, 110.0, None) is None
    assert eta_seconds(JobState.EXTRACTING, 0.25, 100.0, 100.0) is None
    assert eta_seconds(JobState.QUEUED, 0.25, 110.0, 100.0) is None
    assert eta_seconds(JobState.FAILED, 0.25, 110.0, None) == 0.0
