"""Batches: accepted completely or not at all, once per idempotency key; followed, read, exported, ended."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, cast
from unicodedata import normalize

import httpx
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from redis import Redis

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.batches.archive import FileNames
from sentiloc.app.batches.record import BatchRecord
from sentiloc.app.batches.store import BatchStore
from sentiloc.app.housekeeping.retention import Retention
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.record import JobError, cost_of, expected_cost
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.listing.filters import JobFilter
from sentiloc.app.listing.jobs import collect
from sentiloc.app.main import create_app
from sentiloc.app.places import Place, may_read
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode
from tests.app.asking import assert_problem, finish, storage_deletes_nothing
from tests.support.jobs import claim
from tests.support.services import PATIENCE, wait_for

URL = "https://media.example/week/{}.mp4"
RESULT = json.dumps(EXAMPLE_RESULT).encode()


def urls(count: int) -> list[dict[str, Any]]:
    return [{"url": URL.format(number)} for number in range(count)]


def send(client: TestClient, items: list[dict[str, Any]], key: str | None = None, **more: Any) -> Response:
    headers = {"Idempotency-Key": key} if key else {}
    response: Response = client.post("/batches", json={"items": items, **more}, headers=headers)
    return response


def sent(client: TestClient, items: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    response = send(client, items, **more)
    assert response.status_code == 202, response.text
    return dict(response.json())


def lines(client: TestClient, batch: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    response = client.get(batch["links"]["results"], params=query)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def test_the_turns_of_a_batch_lie_as_far_apart_as_its_jobs_cost(
    client: TestClient, store: JobStore, redis: Redis
) -> None:
    sent(client, [*urls(1), {"upload": upload(client, bytes(5000))}, *urls(3)[1:]])
    after = client.post("/localize", json={"url": URL.format(9), "options": {"priority": "batch"}}).json()[
        "id"
    ]
    found = cast("list[tuple[str, float]]", redis.zrange(f"{store.prefix}queue", 0, -1, withscores=True))
    places = [score for _, score in found]
    spans = [later - sooner for sooner, later in itertools.pairwise(places)]
    unknown, known = expected_cost(0) / 60, cost_of(0.01) / 60
    assert spans == pytest.approx([unknown, known, unknown, unknown], abs=0.001)
    record = redis.hgetall(f"{store.prefix}job:{after}")
    assert float(record["turn"]) == pytest.approx(places[-1], abs=0.001)


def upload(client: TestClient, data: bytes, name: str = "Y2xpcC5tcDQ=") -> str:
    """A complete upload; its name is `clip.mp4`."""
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(data)),
        "Content-Type": "application/offset+octet-stream",
        "Upload-Metadata": f"filename {name}",
    }
    response = client.post("/uploads", headers=headers, content=data)
    assert response.status_code == 201, response.text
    return str(response.headers["location"].rpartition("/")[2])


def test_a_thousand_urls_are_accepted_in_less_time_than_twenty_posts(
    client: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compares processor time of the API and of Redis, alternating, so other load does not change the outcome.

    A single post sends its job's message before it answers. A batch sends its messages afterwards, so they are not
    counted.
    """
    monkeypatch.setattr(Dispatcher, "send_soon", lambda *_: None)

    def seconds(work: Callable[[], None]) -> float:
        before = used(redis)
        work()
        return used(redis) - before

    def singly() -> None:
        for number in range(20):
            assert client.post("/localize", json={"url": URL.format(number)}).status_code == 202

    def together() -> None:
        assert send(client, urls(1000)).status_code == 202

    together()
    singly()
    rounds = [(seconds(together), seconds(singly)) for _ in range(5)]
    batches, posts = zip(*rounds, strict=True)
    assert median(batches) < median(posts), rounds


def used(redis: Redis) -> float:
    """Processor seconds of this process, in which the API runs, and of Redis."""
    found = redis.info("cpu")
    return time.process_time() + float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def test_every_job_of_a_batch_wakes_a_worker(client: TestClient, store: JobStore) -> None:
    sent(client, urls(30))
    sent(client, urls(5), options={"priority": "interactive"})
    wait_for(lambda: store.redis.llen(f"{store.prefix}localize_batch") == 30)
    wait_for(lambda: store.redis.llen(f"{store.prefix}localize") == 5)


def test_a_repeated_batch_creates_nothing(client: TestClient, store: JobStore) -> None:
    first, again = (send(client, urls(1000), "week-12") for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["job_ids"] == again.json()["job_ids"]
    assert again.headers["idempotent-replayed"] == "true"
    assert len(store.queued(5000)) == len(set(first.json()["job_ids"])) == 1000
    assert store.redis.zcard(f"{store.prefix}jobs") == 1000
    assert_problem(send(client, urls(3), "week-12"), 422, "idempotency_conflict")
    # The key of a batch is not the key of a single job.
    assert (
        client.post("/localize", json={"url": URL.format(0)}, headers={"Idempotency-Key": "week-12"}).json()[
            "id"
        ]
        not in first.json()["job_ids"]
    )


def test_a_batch_is_accepted_only_when_replicas_hold_it(client: TestClient, settings: Settings) -> None:
    alone = settings.model_copy(update={"redis_wait_replicas": 1})
    with TestClient(create_app(alone)) as waiting:
        # Recorded with the first request, so that the second one finds it.
        for _ in range(2):
            assert_problem(send(waiting, urls(2), "week-12"), 503, "redis_unavailable")
    assert send(client, urls(2), "week-12").headers["idempotent-replayed"] == "true"


def test_items_share_options_and_keep_their_own(client: TestClient) -> None:
    options = {"threshold": 0.7, "metadata": {"project": "a", "reel": 1}, "tags": ["x"]}
    items: list[dict[str, Any]] = [
        {"url": URL.format("a%20b"), "metadata": {"reel": 2}, "tags": ["y", "x"]},
        {"url": URL.format(2), "name": "../Interview.mov"},
        {"upload": upload(client, b"video")},
    ]
    batch = sent(client, items, options=options, name="Week")
    assert (batch["name"], batch["state"], batch["total"]) == ("Week", "queued", 3)
    jobs = [client.get(f"/jobs/{job_id}").json() for job_id in batch["job_ids"]]
    assert [job["source"]["name"] for job in jobs] == ["a b.mp4", "Interview.mov", "clip.mp4"]
    assert {job["options"]["priority"] for job in jobs} == {"batch"}
    assert {job["options"]["threshold"] for job in jobs} == {0.7}
    assert {job["batch_id"] for job in jobs} == {batch["id"]}
    assert [job["options"]["metadata"] for job in jobs][:2] == [
        {"project": "a", "reel": 2},
        {"project": "a", "reel": 1},
    ]
    assert [job["options"]["tags"] for job in jobs] == [["x", "y"], ["x"], ["x"]]
    assert (jobs[2]["id"], jobs[2]["source"]["bytes"]) == (items[2]["upload"], 5)
    urgent = sent(client, urls(1), options={"priority": "interactive"})
    assert client.get(f"/jobs/{urgent['job_ids'][0]}").json()["queue_position"] == 1


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"url": "http://127.0.0.1/a"}, "url_forbidden"),
        ({"url": "s3://footage/a.mp4"}, "url_forbidden"),
        ({"url": "ftp://media.example/a"}, "url_forbidden"),
        ({}, "invalid_request"),
        ({"url": URL, "upload": "abcdefgh"}, "invalid_request"),
        ({"url": URL, "metadata": {"a": "x" * 5000}}, "invalid_request"),
        ({"url": URL, "tags": [str(number) for number in range(21)]}, "invalid_request"),
        ({"upload": "abcdefgh"}, "upload_not_found"),
    ],
)
def test_one_wrong_item_refuses_the_batch_and_is_named(
    client: TestClient, store: JobStore, item: dict[str, Any], code: str
) -> None:
    response = send(client, [*urls(2), item])
    assert response.json()["code"] == code, response.text
    assert "items.2" in response.json()["detail"]
    assert store.queued() == []
    assert store.redis.keys(f"{store.prefix}batch*") == []


def test_limits_of_a_batch(client: TestClient, store: JobStore) -> None:
    assert_problem(send(client, urls(1001)), 422, "invalid_request")
    assert_problem(send(client, []), 422, "invalid_request")
    assert_problem(send(client, urls(1), options={"model": "x"}), 422, "unknown_model")
    assert_problem(send(client, urls(1), webhook={"url": "http://10.0.0.1/"}), 422, "url_forbidden")
    assert_problem(send(client, [{"url": URL + "x" * 2000}] * 5000), 413, "body_too_large")
    assert client.get("/limits").json()["max_batch_items"] == 1000
    assert store.queued() == []


def test_an_upload_becomes_one_job_only(client: TestClient) -> None:
    ready = upload(client, b"video")
    assert_problem(send(client, [{"upload": ready}, {"upload": ready}]), 422, "invalid_request")
    first = send(client, [{"upload": ready}], "once")
    assert first.status_code == 202
    assert send(client, [{"upload": ready}], "once").json()["id"] == first.json()["id"]
    assert_problem(send(client, [{"upload": ready}]), 409, "upload_used")
    unfinished = client.post("/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9"})
    item = {"upload": unfinished.headers["location"].rpartition("/")[2]}
    assert_problem(send(client, [item]), 409, "upload_unfinished")


@pytest.mark.parametrize(
    ("how", "status", "code"), [("used", 409, "upload_used"), ("ended", 410, "upload_gone")]
)
def test_an_upload_taken_while_its_batch_is_recorded_refuses_the_batch(
    client: TestClient, store: JobStore, monkeypatch: pytest.MonkeyPatch, how: str, status: int, code: str
) -> None:
    """Both requests have checked the upload before one of them records anything."""
    ready = upload(client, b"video")
    record_batch = BatchStore.submit

    def take_first(batches: BatchStore, *given: Any) -> BatchRecord:
        if how == "used":
            assert client.post("/localize/upload", json={"upload": ready}).status_code == 202
        else:
            assert client.delete(f"/uploads/{ready}", headers={"Tus-Resumable": "1.0.0"}).status_code == 204
        return record_batch(batches, *given)

    monkeypatch.setattr(BatchStore, "submit", take_first)
    response = send(client, [*urls(1), {"upload": ready}])
    assert_problem(response, status, code)
    assert response.json()["detail"].startswith("items.1: ")
    assert store.queued() == ([ready] if how == "used" else [])
    assert client.get("/batches").json()["batches"] == []


def test_a_batch_that_is_sent_again_while_it_is_recorded_is_one_batch(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeated request has found no batch; then the first one is recorded, and uses up the upload."""
    ready, seen = upload(client, b"video"), BatchStore.seen
    first: list[str] = []

    def seen_early(batches: BatchStore, *given: Any) -> BatchRecord | None:
        monkeypatch.setattr(BatchStore, "seen", seen)
        first.append(send(client, [{"upload": ready}], "once").json()["id"])
        return None

    monkeypatch.setattr(BatchStore, "seen", seen_early)
    again = send(client, [{"upload": ready}], "once")
    assert again.status_code == 202, again.text
    assert [again.json()["id"]] == first


def test_uploads_that_the_storage_does_not_show_are_a_passing_fault(
    client: TestClient, settings: Settings, store: JobStore
) -> None:
    ready = upload(client, b"video")
    folder = settings.data_dir / "uploads"
    kept = folder.rename(settings.data_dir / "kept")
    folder.write_bytes(b"no folder")
    response = send(client, [*urls(1), {"upload": ready}])
    assert_problem(response, 503, "storage_unavailable")
    assert response.json()["detail"].startswith("items.1: ")
    assert int(response.headers["retry-after"]) > 0
    assert store.queued() == []
    folder.unlink()
    kept.rename(folder)
    assert send(client, [*urls(1), {"upload": ready}]).status_code == 202


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"items": [[]] * 20_000}, "body: must not have a list of more than 10000 entries"),
        ({"items": [{"tags": [""] * 20_000}]}, "body: must not have a list of more than 10000 entries"),
        (
            {"items": [{str(n): n for n in range(200)}]},
            "body: must not have an object with more than 100 fields",
        ),
        ({"items": [[], []]}, "items.0: must be an object"),
    ],
    ids=["items", "tags", "fields", "wrong items"],
)
def test_a_body_that_is_wrong_in_very_many_places_takes_little_work(
    client: TestClient, body: dict[str, Any], detail: str
) -> None:
    """Collecting every place took a minute and gigabytes for the largest body."""
    response = client.post("/batches", json=body)
    assert_problem(response, 422, "invalid_request")
    assert response.json()["detail"] == detail


def test_few_batches_are_read_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 8 MiB takes hundreds of megabytes while it is read, and all threads may have one."""
    running, most = 0, 0
    submit, two = BatchStore.submit, threading.Barrier(2)

    def watched(*given: Any) -> BatchRecord:
        nonlocal running, most
        running += 1
        most = max(most, running)
        two.wait(PATIENCE)
        # A third one would come now.
        time.sleep(0.05)
        running -= 1
        return submit(*given)

    async def send_six() -> list[Response]:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as many:
            return await asyncio.gather(*(many.post("/batches", json={"items": urls(1)}) for _ in range(6)))

    monkeypatch.setattr(BatchStore, "submit", watched)
    assert [answer.status_code for answer in asyncio.run(send_six())] == [202] * 6
    assert most == 2


def test_metadata_may_have_many_entries(client: TestClient) -> None:
    many = {"frames": [0] * 1000, **{str(n): n for n in range(200)}}
    assert send(client, [{"url": URL.format(1), "metadata": many}]).status_code == 202


def test_progress_and_results_as_they_come(client: TestClient, store: JobStore, settings: Settings) -> None:
    batch = sent(client, urls(4))
    good, bad, running, _ = batch["job_ids"]
    finish(store, good, settings, RESULT)
    record = claim(store, bad, "worker", 30.0)
    assert record is not None
    assert store.fail(record.lease, JobError(code=ErrorCode.CORRUPT_MEDIA, detail="It breaks off."))
    assert claim(store, running, "worker", 30.0)
    response = client.get(batch["links"]["self"])
    now = response.json()
    assert (now["state"], now["progress"], response.headers["retry-after"]) == ("running", 0.5, "2")
    assert now["counts"] == {
        **{"queued": 1, "running": 1, "succeeded": 1, "failed": 1},
        **{"cancelled": 0, "deleted": 0},
    }
    headers = {"If-None-Match": response.headers["etag"]}
    assert client.get(batch["links"]["self"], headers=headers).status_code == 304
    found = lines(client, batch)
    assert [line["index"] for line in found] == [0, 1, 2, 3]
    assert [line["job_id"] for line in found] == batch["job_ids"]
    assert found[0]["result"] == client.get(f"/jobs/{good}/result").json()
    assert found[1]["error"] == {"code": "corrupt_media", "detail": "It breaks off."}
    assert (found[2]["result"], found[2]["error"], found[2]["state"]) == (None, None, "decoding")
    short = lines(client, batch, state="succeeded", curve="false")
    assert [line["job_id"] for line in short] == [good]
    assert short[0]["result"]["curve"] is None


def test_an_export_is_one_archive_of_any_format(
    client: TestClient, store: JobStore, settings: Settings
) -> None:
    items = [{"url": URL.format(n), "name": name} for n, name in enumerate(["a.mp4", "A.mov", "=b.mp4"])]
    batch = sent(client, items)
    for job_id in batch["job_ids"][:2]:
        finish(store, job_id, settings, RESULT)
    names = [known["name"] for known in client.get("/formats").json()]
    for name in [*names, "json"]:
        response = client.get(batch["links"]["export"], params={"format": name})
        assert response.headers["content-type"] == "application/zip"
        archive = zipfile.ZipFile(io.BytesIO(response.content))
        assert archive.testzip() is None
        assert len(archive.namelist()) == len({one.casefold() for one in archive.namelist()}) == 3
        first = client.get(f"/jobs/{batch['job_ids'][0]}/result", params={"format": name})
        assert archive.read(archive.namelist()[0]) == first.content
    table = archive.read("index.csv").decode()
    assert f"0,{batch['job_ids'][0]},a.mp4,succeeded,a.json," in table
    assert "succeeded,A (2).json," in table
    assert "'=b.mp4,queued,,result_not_ready" in table
    assert_problem(client.get(batch["links"]["export"], params={"format": "doc"}), 422, "invalid_request")


def test_names_in_an_archive_differ_on_every_disk() -> None:
    names = FileNames()
    given = ["caf\u00e9.csv", "cafe\u0301.csv", "CAF\u00c9.csv", "caf\u00e9 (2).csv"]
    found = [names.unused(name) for name in given]
    assert len({normalize("NFC", name).casefold() for name in found}) == len(given)
    assert found[:2] == ["caf\u00e9.csv", "cafe\u0301 (2).csv"]


def test_thousands_of_one_name_are_numbered_at_once() -> None:
    names, began = FileNames(), time.process_time()
    found = [names.unused("clip.csv") for _ in range(5000)]
    assert found[:2] == ["clip.csv", "clip (2).csv"]
    assert len(set(found)) == 5000
    # The numbers of all before it, looked at for each, take twelve million steps.
    assert time.process_time() - began < 2.0


def test_the_last_job_ends_the_batch(client: TestClient, store: JobStore) -> None:
    batch = sent(client, urls(3))
    for job_id in batch["job_ids"]:
        assert client.get(batch["links"]["self"]).json()["finished_at"] is None
        store.cancel(job_id)
    ended = client.get(batch["links"]["self"])
    assert (ended.json()["state"], ended.json()["progress"]) == ("finished", 1.0)
    assert ended.json()["finished_at"] is not None
    assert "retry-after" not in ended.headers


def test_a_batch_is_kept_as_long_as_its_jobs(client: TestClient, store: JobStore, settings: Settings) -> None:
    short = settings.model_copy(update={"keep_records_seconds": 300})
    Retention(short, store, LocalStorage(settings.data_dir)).publish_times()
    batch = sent(client, urls(1))
    names = [f"{store.prefix}{kind}:{batch['id']}" for kind in ("batch", "batchjobs")]
    assert [store.redis.ttl(name) for name in names] == [-1, -1]
    store.cancel(batch["job_ids"][0])
    assert all(0 < int(store.redis.ttl(name)) <= 300 for name in names)


def test_a_batch_leaves_the_lists_when_its_record_has_expired(settings: Settings, redis: Redis) -> None:
    prefix = settings.redis_prefix
    chosen = settings.model_copy(update={"api_keys": "on", "reaper_interval_seconds": 0.05})
    key = KeyStore(redis, prefix).create("one", [Scope.READ, Scope.WRITE], rate_per_minute=0)
    lists = [f"{prefix}batches", f"{prefix}batches:{key.key.id}"]
    with TestClient(create_app(chosen), headers={"X-API-Key": key.text}) as client:
        gone, kept = sent(client, urls(1))["id"], sent(client, urls(1))["id"]
        # As Redis does when its time has come.
        redis.delete(f"{prefix}batch:{gone}", f"{prefix}turn:batches")
        wait_for(lambda: all(redis.zrange(name, 0, -1) == [kept] for name in lists))
        assert [one["id"] for one in client.get("/batches").json()["batches"]] == [kept]


def test_a_batch_of_many_jobs_is_collected_in_parts(client: TestClient, store: JobStore) -> None:
    batch = sent(client, urls(5))
    newest, *_ = batch["job_ids"][::-1]
    wanted = JobFilter(batch=batch["id"])
    store.cancel_many(batch["job_ids"][:4])
    first = collect(store, wanted, None, 2)
    second = collect(store, wanted, first.next_cursor, 2)
    assert [row.id for row in (*first.rows, *second.rows)] == batch["job_ids"][::-1]
    # The cursor's own job may be deleted, and one that had not ended is not read again.
    store.cancel(newest)
    store.delete_many([first.rows[-1].id])
    assert [row.id for row in collect(store, wanted, first.next_cursor, 2).rows] == [
        row.id for row in second.rows
    ]


def test_a_batch_is_cancelled_then_deleted(client: TestClient, store: JobStore, settings: Settings) -> None:
    batch = sent(client, [*urls(2), {"upload": upload(client, b"video")}])
    finish(store, batch["job_ids"][0], settings, RESULT)
    cancelled = client.post(f"{batch['links']['self']}/cancel")
    assert cancelled.json()["counts"]["cancelled"] == 2
    with storage_deletes_nothing():
        assert_problem(client.delete(batch["links"]["self"]), 503, "storage_unavailable")
    assert client.delete(batch["links"]["self"]).status_code == 204
    assert_problem(client.get(batch["links"]["self"]), 404, "batch_not_found")
    assert [client.get(f"/jobs/{one}").status_code for one in batch["job_ids"]] == [404] * 3
    kept = [path for path in settings.data_dir.rglob("*") if path.is_file() and "results/" in str(path)]
    assert [path for path in kept if "storage-owner" not in path.name] == []
    other = sent(client, urls(2))
    assert client.delete(other["links"]["self"]).json()["state"] == "finished"
    store.delete_many([other["job_ids"][0]])
    assert client.get(other["links"]["self"]).json()["counts"]["deleted"] == 1
    assert lines(client, other)[0]["state"] == "deleted"


def test_batches_are_listed_newest_first(client: TestClient) -> None:
    made = [sent(client, urls(1), name=str(number))["id"] for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = client.get("/batches", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [batch["id"] for batch in page["batches"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert_problem(client.get("/batches?cursor=x"), 422, "invalid_cursor")


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:
    chosen = settings.model_copy(update={"api_keys": "on"})
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        yield client


def test_a_batch_belongs_to_its_key(guarded: TestClient, redis: Redis, settings: Settings) -> None:
    keys = KeyStore(redis, settings.redis_prefix)
    mine, other = (
        keys.create(name, [Scope.READ, Scope.WRITE], rate_per_minute=0, s3_prefixes=places)
        for name, places in (("mine", ["s3://footage/week"]), ("other", []))
    )
    guarded.headers["X-API-Key"] = mine.text
    batch = sent(guarded, [{"url": "s3://footage/week/a/b c.mov"}, *urls(1)])
    job = guarded.get(f"/jobs/{batch['job_ids'][0]}").json()
    assert job["source"] == {"name": "b c.mov", "bytes": None, "url": "s3://footage/week/a/b c.mov"}
    for url in (
        *("s3://footage/weekly/a.mov", "s3://other/week/a.mov", "s3://footage/week", "s3://footage/week/"),
        *("s3://footage/week/../a.mov", "s3://footage/week/./a.mov", "S3://footage/week/a.mov"),
        *(r"s3://footage/week/a\..\..\b.mov", r"s3://footage/week/\../b.mov"),
    ):
        assert_problem(send(guarded, [{"url": url}]), 422, "url_forbidden")
    guarded.headers["X-API-Key"] = other.text
    for method, rest in (
        *(("GET", ""), ("GET", "/results"), ("GET", "/export?format=csv")),
        *(("POST", "/cancel"), ("DELETE", "")),
    ):
        assert_problem(guarded.request(method, batch["links"]["self"] + rest), 404, "batch_not_found")
    assert guarded.get("/batches").json()["batches"] == []
    assert_problem(send(guarded, [{"url": "s3://footage/week/a.mov"}]), 422, "url_forbidden")


@pytest.mark.parametrize("key", ["own/a", "/own/a", "own//a", r"own\a", r"\own/a", "own", "/own/", "//own"])
def test_no_key_names_a_file_of_the_service(key: str) -> None:
    """SeaweedFS takes all of these for the same object, or for its folder."""
    place = Place("footage", key)
    assert may_read(place, ["s3://footage"], None)
    assert not may_read(place, ["s3://footage"], "s3://footage/own")
    assert not may_read(place, ["s3://footage"], "s3://footage")
    assert may_read(place, ["s3://footage"], "s3://footage/ow")
    assert may_read(place, ["s3://footage"], "s3://other/own")


def test_the_highlights_of_a_batch(client: TestClient, store: JobStore, settings: Settings) -> None:
    batch, other = sent(client, urls(3)), sent(client, urls(1))
    for job_id in (*batch["job_ids"][:2], *other["job_ids"]):
        finish(store, job_id, settings, RESULT)
    found = client.get("/v1/highlights", params={"batch": batch["id"]}).json()
    # The third job has no result yet, and the other batch is not looked at.
    assert found["videos"] == 2
    assert {one["job"] for one in found["highlights"]} == set(batch["job_ids"][:2])
    assert_problem(client.get("/v1/highlights", params={"batch": "none"}), 404, "batch_not_found")
    late = {"batch": batch["id"], "created_after": "2100-01-01T00:00:00Z"}
    assert client.get("/v1/highlights", params=late).json()["videos"] == 0
