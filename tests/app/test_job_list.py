"""The list of jobs: order, pages, filters, and deletion."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.http.cursors import InvalidCursor, decode_cursor, encode_cursor
from sentiloc.app.jobs.found import LabelFound
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobKind, JobState, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.listing.filters import JobFilter
from sentiloc.app.listing.jobs import MAX_SCANNED, list_jobs
from sentiloc.app.listing.rows import JobRow
from tests.app.asking import assert_problem, upload
from tests.app.conftest import submit
from tests.support.commands import counted
from tests.support.jobs import claim

ROW = JobRow(
    id="a" * 22,
    state=JobState.SUCCEEDED,
    name="Straße.mp4",
    key_id=None,
    batch_id="b1",
    created_at=1.0,
    finished_at=2.0,
    duration=60.0,
    texts=(
        '{"positive": [1, 2.0, 0.8], "negative": [1, 2.0, 0.5]}',
        "negative,positive",
        "",
        '{"n": 3}',
        '["x", "y"]',
    ),
)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        ({"states": (JobState.FAILED, JobState.SUCCEEDED)}, {"states": (JobState.FAILED,)}),
        ({"kind": JobKind.LOCALIZE}, {"kind": JobKind.REEL}),
        ({"batch": "b1"}, {"batch": "b2"}),
        ({"label": "negative"}, {"label": "neutral"}),
        ({"text": "STRASSE"}, {"text": "strase"}),
        ({"tags": ("y", "x")}, {"tags": ("x", "z")}),
        ({"metadata": (("n", "3"),)}, {"metadata": (("n", "4"),)}),
        ({"min_duration": 60.0}, {"min_duration": 60.1}),
        ({"max_duration": 60.0}, {"max_duration": 59.9}),
        ({"min_confidence": 0.8}, {"min_confidence": 0.81}),
        ({"min_confidence": 0.5, "label": "negative"}, {"min_confidence": 0.6, "label": "negative"}),
        ({"corrected": False}, {"corrected": True}),
        ({}, {"label": "positive", "batch": "b2"}),
    ],
)
def test_a_filter_finds_what_it_names_and_nothing_else(found: dict[str, Any], missed: dict[str, Any]) -> None:
    assert JobFilter(**found).matches(ROW)
    assert not JobFilter(**missed).matches(ROW)


@pytest.mark.parametrize("bound", ["min_duration", "max_duration", "min_confidence"])
def test_a_job_without_a_number_has_none_in_a_range(bound: str) -> None:
    unknown = replace(ROW, state=JobState.FAILED, duration=None, texts=("",) * 5)
    assert not JobFilter(**{bound: 0.1}).matches(unknown)  # type: ignore[arg-type]


def test_only_what_leaves_out_jobs_of_a_time_is_a_filter() -> None:
    assert JobFilter().is_empty and not JobFilter().has_filters
    times = JobFilter(created_after=1.0, created_before=2.0)
    assert not times.is_empty and not times.has_filters
    assert JobFilter(created_after=1.0, label="positive").has_filters


@pytest.mark.parametrize("text", ["", "a", "1.5 abc", "ü 日 💥"])
def test_a_cursor_reads_back_and_needs_no_escape_in_a_url(text: str) -> None:
    cursor = encode_cursor(text)
    assert decode_cursor(cursor) == text
    assert quote(cursor, safe="") == cursor
    for wrong in (f"{cursor}!", f"{cursor}\n", f"*{cursor}", f"{cursor}é"):
        with pytest.raises(InvalidCursor):
            decode_cursor(wrong)


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


def test_jobs_of_one_time_are_read_once_for_all_pages(store: JobStore) -> None:
    jobs = sorted(submit(store).id for _ in range(20))
    store.redis.zadd(f"{store.prefix}jobs", dict.fromkeys(jobs, 1_800_000_000.123456))
    seen: list[str] = []
    cursor: str | None = None
    with counted(store.redis, "zrevrangebyscore") as searches:
        for _ in range(10):
            page = list_jobs(store, JobFilter(), 2, cursor)
            seen += [record.id for record in page.records]
            cursor = page.next_cursor
    assert seen == jobs[::-1]
    # A search by time finds all of a batch's jobs each time.
    assert searches == [1]


def test_a_cursor_of_another_query_does_not_widen_the_times(store: JobStore) -> None:
    jobs = [submit(store).id for _ in range(3)]
    begin = 1_800_000_000.0
    store.redis.zadd(f"{store.prefix}jobs", {job: begin + index for index, job in enumerate(jobs)})

    def listed(wanted: JobFilter, at: float) -> list[str]:
        # `~` comes after every letter of an id.
        page = list_jobs(store, wanted, 10, encode_cursor(f"{at!r} ~"))
        return [record.id for record in page.records]

    assert listed(JobFilter(created_before=begin + 1), begin + 2) == jobs[:1]
    assert listed(JobFilter(created_after=begin + 1), begin) == []
    assert listed(JobFilter(created_after=begin), begin + 1) == jobs[1:2]


def test_filters(client: TestClient, store: JobStore) -> None:
    queued, cancelled, happy = (submit(store).id for _ in range(3))
    store.cancel(cancelled)
    record = claim(store, happy, "one", 30)
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


@pytest.mark.parametrize("char", ["Я", "語", "𝄞", "ΐ", '"'])
@pytest.mark.parametrize("order", ["name", "-name"])
def test_pages_by_name_hold_every_job_whatever_the_name(
    client: TestClient, store: JobStore, char: str, order: str
) -> None:
    # Of the longest names, two are alike in all but the last character, and two alike.
    jobs = [submit(store, char * 254 + end).id for end in ("a", "b", "b")]
    seen: list[str] = []
    query: dict[str, Any] = {"sort": order, "limit": 1}
    while True:
        answer = client.get("/jobs", params=query)
        assert answer.status_code == 200, answer.text
        seen += [job["id"] for job in answer.json()["jobs"]]
        if (cursor := answer.json()["next_cursor"]) is None:
            break
        query["cursor"] = cursor
    first, twins = jobs[0], sorted(jobs[1:])
    assert seen == ([first, *twins] if order == "name" else [*twins, first])


def test_a_cursor_of_brackets_is_refused(client: TestClient) -> None:
    cursor = encode_cursor("[" * 1700)
    assert_problem(client.get("/jobs", params={"sort": "name", "cursor": cursor}), 422, "invalid_cursor")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "state=lost", "label=Happy!", "created_after=soon", "x=1"]
)
def test_a_bad_query_is_refused(client: TestClient, query: str) -> None:
    assert_problem(client.get(f"/jobs?{query}"), 422, "invalid_request")


def ended(
    store: JobStore,
    name: str,
    duration: float,
    found: dict[str, tuple[int, float, float]],
    tags: tuple[str, ...] = (),
) -> str:
    job = NewJob(
        source_key="uploads/abcdefgh",
        source_name=name,
        source_bytes=1,
        model="m",
        options=JobOptions(tags=list(tags), metadata={"name": name}),
    )
    record = claim(store, store.submit(job).id, "one", 30)
    assert record is not None
    shown = {label: LabelFound(*values) for label, values in found.items()}
    assert store.succeed(record.lease, "results/abcdefgh.json", found, duration=duration, found=shown)
    return record.id


def test_jobs_are_searched_sorted_and_counted_by_their_result(client: TestClient, store: JobStore) -> None:
    beach = ended(store, "Beach.mp4", 60, {"positive": (2, 10.5, 0.9)}, ("a", "b"))
    alps = ended(store, "alps.mp4", 600, {"positive": (1, 3, 0.6), "negative": (4, 20, 0.95)}, ("a",))
    city = ended(store, "City.mov", 30, {})
    waiting = submit(store, "beach 2.mp4").id
    assert ids(client, q="BEACH") == [waiting, beach]
    assert ids(client, tag=["a", "b"]) == [beach]
    assert ids(client, tag="a") == [alps, beach]
    assert ids(client, min_duration=60) == [alps, beach]
    assert ids(client, max_duration=60) == [city, beach]
    assert ids(client, min_confidence=0.7) == [alps, beach]
    assert ids(client, min_confidence=0.7, label="positive") == [beach]
    assert ids(client, metadata="name=City.mov") == [city]
    assert ids(client, sort="name") == [alps, waiting, beach, city]
    assert ids(client, sort="-name") == [city, beach, waiting, alps]
    assert ids(client, sort="duration") == [city, beach, alps, waiting]
    assert ids(client, sort="-duration") == [alps, beach, city, waiting]
    assert ids(client, sort="-confidence")[:2] == [alps, beach]
    assert ids(client, sort="confidence", label="positive") == [alps, beach]
    assert ids(client, sort="created") == [beach, alps, city, waiting]
    assert ids(client, sort="-finished") == [city, alps, beach, waiting]
    job = client.get(f"/jobs/{alps}").json()
    assert job["duration"] == 600
    assert job["found"]["negative"] == {"segments": 4, "seconds": 20, "confidence": 0.95}
    summary = client.get("/jobs/summary").json()
    assert summary == {
        "count": 4,
        "states": {"succeeded": 3, "queued": 1},
        "tags": {"a": 2, "b": 1},
        "duration": 690,
        "labels": {
            "negative": {"jobs": 1, "segments": 4, "seconds": 20},
            "positive": {"jobs": 2, "segments": 3, "seconds": 13.5},
        },
        "complete": True,
    }
    assert client.get("/jobs/summary", params={"tag": "b"}).json()["duration"] == 60


@pytest.mark.parametrize("sort", ["name", "-name", "duration", "-duration", "created", "-confidence"])
def test_every_order_is_paged_without_gaps(client: TestClient, store: JobStore, sort: str) -> None:
    """A job of the previous page is deleted in between: the next page begins at its position."""
    jobs = [ended(store, f"{number % 3}.mp4", number % 4, {}) for number in range(11)]
    jobs += [submit(store, "x.mp4").id for _ in range(2)]
    wanted = ids(client, sort=sort, limit=100)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 3, "sort": sort} | ({"cursor": cursor} if cursor else {})
        body = client.get("/jobs", params=query).json()
        seen += [job["id"] for job in body["jobs"]]
        if cursor is None:
            store.delete_many([seen[-1]])
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert seen == wanted
    assert sorted(seen) == sorted(jobs)
    first = client.get("/jobs", params={"limit": 3, "sort": sort}).json()["next_cursor"]
    other = client.get("/jobs", params={"limit": 3, "sort": "finished", "cursor": first})
    assert_problem(other, 422, "invalid_cursor")
