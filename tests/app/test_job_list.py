"""The list of jobs: order, pages, filters, and what deletion leaves of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.jobs.listing import MAX_SCANNED, JobFilter, list_jobs
from sentiloc.app.jobs.store import JobStore
from tests.app.asking import assert_problem, upload
from tests.app.conftest import submit


def ids(client: TestClient, **query: object) -> list[str]:
    response = client.get("/jobs", params=query)
    assert response.status_code == 200, response.text
    return [job["id"] for job in response.json()["jobs"]]


def test_pages_hold_every_job_once_newest_first(client: TestClient, store: JobStore) -> None:
    jobs = [submit(store).id for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        body = client.get("/jobs", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [job["id"] for job in body["jobs"]]
        cursor = body["next_cursor"]
        if len(seen) == 3:
            submit(store)
        if cursor is None:
            break
    assert seen == jobs[::-1]
    assert body["jobs"][-1] == client.get(f"/jobs/{jobs[0]}").json()


def test_jobs_of_one_microsecond_are_not_lost_between_pages(store: JobStore) -> None:
    jobs = [submit(store).id for _ in range(5)]
    store.redis.zadd(f"{store.prefix}jobs", dict.fromkeys(jobs, 1_800_000_000.123456))
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = list_jobs(store, JobFilter(), 2, cursor)
        seen += [record.id for record in page.records]
        cursor = page.next_cursor
    assert seen == sorted(jobs, reverse=True)


def test_filters(client: TestClient, store: JobStore) -> None:
    queued, cancelled, happy = (submit(store).id for _ in range(3))
    store.cancel(cancelled)
    record = store.claim(happy, "one", 30)
    assert record is not None
    assert store.succeed(record.lease, "results/abcdefgh.json", ["positive"])
    assert ids(client, state="queued") == [queued]
    assert ids(client, state=["queued", "cancelled"]) == [cancelled, queued]
    assert ids(client, label="positive") == [happy]
    assert ids(client, label="negative") == []
    assert client.get(f"/jobs/{happy}").json()["labels_found"] == ["positive"]
    assert client.get(f"/jobs/{queued}").json()["labels_found"] is None
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    assert ids(client, created_after=(now - hour).isoformat()) == [happy, cancelled, queued]
    assert ids(client, created_after=(now + hour).isoformat()) == []
    assert ids(client, created_before=(now - hour).isoformat()) == []
    created = client.get(f"/jobs/{cancelled}").json()["created_at"]
    assert ids(client, created_before=created) == [queued]


def test_a_search_through_many_jobs_is_bounded_and_can_go_on(store: JobStore) -> None:
    oldest = submit(store).id
    pipe = store.redis.pipeline()
    pipe.zadd(f"{store.prefix}jobs", {f"gone{number}": 2e9 + number for number in range(MAX_SCANNED)})
    pipe.execute()
    first = list_jobs(store, JobFilter(), 10, None)
    assert first.records == ()
    assert first.next_cursor is not None
    second = list_jobs(store, JobFilter(), 10, first.next_cursor)
    assert ([record.id for record in second.records], second.next_cursor) == ([oldest], None)


def test_a_deleted_job_is_not_listed(client: TestClient) -> None:
    path = upload(client).json()["links"]["self"]
    assert len(ids(client)) == 1
    client.delete(path)
    client.delete(path)
    assert ids(client) == []


@pytest.mark.parametrize("cursor", ["x", "!!!", "bm90IGEgY3Vyc29y", "bmFuIHg", "é"])
def test_an_invented_cursor_is_refused(client: TestClient, cursor: str) -> None:
    assert_problem(client.get("/jobs", params={"cursor": cursor}), 422, "invalid_cursor")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "state=lost", "label=Happy!", "created_after=soon", "x=1"]
)
def test_a_bad_query_is_refused(client: TestClient, query: str) -> None:
    assert_problem(client.get(f"/jobs?{query}"), 422, "invalid_request")
