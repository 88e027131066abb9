"""The bytes that one API key may hold: videos, results and reels in the storage, feedback in Redis."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore, NewKey
from sentiloc.app.access.usage import Held, held_bytes, held_key
from sentiloc.app.housekeeping.holdings import Holdings
from sentiloc.app.housekeeping.retention import Retention
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import JobRecord, NewJob, new_job_id
from sentiloc.app.jobs.store import JobStore, StorageFullForKeyError
from sentiloc.app.main import create_app
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import source_key
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import ErrorCode, SentilocError
from tests.app.asking import VIDEO, assert_problem
from tests.app.conftest import submit
from tests.support.jobs import claim

LIMIT = 12_000
RESULT = json.dumps(EXAMPLE_RESULT).encode()
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
URL = {"url": "http://93.184.216.34/a.mp4"}


@pytest.fixture
def limited(settings: Settings) -> Settings:
    # No chore repairs counts or publishes other times meanwhile, however slow the machine is.
    limits: dict[str, Any] = {
        "api_keys": "on",
        "max_stored_bytes_per_key": LIMIT,
        "max_feedback_bytes_per_key": 1000,
    }
    limits["reaper_interval_seconds"] = 3600.0
    return settings.model_copy(update=limits)


@pytest.fixture
def keys(redis: Redis, settings: Settings) -> tuple[NewKey, NewKey]:
    made = KeyStore(redis, settings.redis_prefix)
    mine, other = (made.create(name, [Scope.READ, Scope.WRITE], rate_per_minute=0) for name in "ab")
    return mine, other


@pytest.fixture
def client(limited: Settings, keys: tuple[NewKey, NewKey]) -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {keys[0].text}"}
    with TestClient(create_app(limited), headers=headers) as client:
        yield client


class Holder:
    """What the first key holds, as it is counted; every look compares it with the records and the files."""

    def __init__(self, key: NewKey, store: JobStore, settings: Settings) -> None:
        self.id, self._store, self._settings = key.key.id, store, settings
        self._holdings = Holdings(store, LocalStorage(settings.data_dir))

    @property
    def held(self) -> Held:
        counted = held_bytes(self._store.redis, self._store.prefix, self.id)
        assert self._holdings.repair([self.id]) == 0
        # Nor has the repair measured a file of which no script had counted the bytes.
        assert held_bytes(self._store.redis, self._store.prefix, self.id) == counted
        return counted

    @property
    def stored(self) -> int:
        return self.held.stored

    def require_stored(self, count: int) -> None:
        """That many bytes are counted, and all of them are complete files."""
        files = [
            path for path in self._settings.data_dir.glob("*/*") if path.parent.name in ("uploads", "results")
        ]
        assert (self.stored, sum(path.stat().st_size for path in files)) == (count, count)


@pytest.fixture
def mine(keys: tuple[NewKey, NewKey], store: JobStore, settings: Settings) -> Holder:
    return Holder(keys[0], store, settings)


def localize(client: TestClient, data: bytes = VIDEO, **headers: str) -> str:
    answer = client.post("/localize", files={"video": data}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def finish(store: JobStore, job_id: str, settings: Settings) -> JobRecord:
    record = claim(store, job_id, "worker", 30.0)
    assert record is not None
    key = f"results/{job_id}.1.json"
    with LocalStorage(settings.data_dir).writer(key) as writer:
        writer.write(RESULT)
        writer.commit()
    assert store.succeed(record.lease, key, media_seconds=9.6, stored_bytes=len(RESULT))
    return record


def begin(client: TestClient, length: int | None, data: bytes = b"") -> Any:
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    return client.post("/uploads", headers={**TUS, **size}, content=data)


def test_a_job_counts_until_it_is_deleted(
    client: TestClient, mine: Holder, store: JobStore, settings: Settings
) -> None:
    job = localize(client)
    mine.require_stored(len(VIDEO))
    finish(store, job, settings)
    mine.require_stored(len(VIDEO) + len(RESULT))
    shown = client.get("/key").json()
    assert (shown["stored_bytes"], shown["max_stored_bytes"]) == (len(VIDEO) + len(RESULT), LIMIT)
    assert (shown["feedback_bytes"], shown["max_feedback_bytes"]) == (0, 1000)
    assert client.delete(f"/jobs/{job}").status_code == 204
    mine.require_stored(0)
    assert not store.redis.exists(held_key(store.prefix, mine.id))


def test_each_part_counts_until_it_expires(
    client: TestClient, mine: Holder, store: JobStore, settings: Settings
) -> None:
    times = {"keep_uploads_seconds": 1e-6, "keep_results_seconds": 1000.0}
    retention = Retention(settings.model_copy(update=times), store, LocalStorage(settings.data_dir))
    retention.publish_times()
    job = localize(client)
    finish(store, job, settings)
    for _ in range(2):
        retention.sweep()
        mine.require_stored(len(RESULT))
    store.redis.zadd(f"{store.prefix}kept:results", {job: 1}, xx=True)
    for _ in range(2):
        retention.sweep()
        mine.require_stored(0)


def test_an_upload_counts_from_its_beginning_and_once(client: TestClient, mine: Holder) -> None:
    place = begin(client, 6000).headers["location"]
    assert mine.stored == 6000
    last = client.patch(place, headers={**TUS, "Upload-Offset": "0"}, content=bytes(6000))
    assert last.status_code == 204
    mine.require_stored(6000)
    upload = place.rpartition("/")[2]
    assert client.post("/localize/upload", json={"upload": upload}).status_code == 202
    mine.require_stored(6000)
    other = begin(client, 500, bytes(200)).headers["location"]
    assert mine.stored == 6500
    assert client.delete(other, headers=TUS).status_code == 204
    assert mine.stored == 6000


def test_uploads_of_a_batch_count_once(client: TestClient, mine: Holder) -> None:
    uploads = [begin(client, 100, bytes(100)).headers["location"].rpartition("/")[2] for _ in range(2)]
    items = [*({"upload": one} for one in uploads), URL]
    assert client.post("/batches", json={"items": items}).status_code == 202
    mine.require_stored(200)


def test_an_upload_with_all_of_the_room_becomes_a_job(client: TestClient, mine: Holder) -> None:
    place = begin(client, 10_000, bytes(10_000)).headers["location"]
    localize(client, bytes(2000))
    upload = place.rpartition("/")[2]
    assert mine.stored == LIMIT
    assert client.post("/localize/upload", json={"upload": upload}).status_code == 202


def test_an_upload_may_take_all_of_the_room_and_no_more(client: TestClient, mine: Holder) -> None:
    localize(client, bytes(2000))
    assert begin(client, LIMIT - 2000).status_code == 201
    assert mine.stored == LIMIT
    assert_problem(begin(client, 1), 429, "storage_quota_exceeded")


def test_an_upload_of_unknown_length_counts_what_has_arrived(client: TestClient, mine: Holder) -> None:
    localize(client)
    place = begin(client, None, bytes(3000)).headers["location"]
    assert mine.stored == len(VIDEO) + 3000
    more = client.patch(place, headers={**TUS, "Upload-Offset": "3000"}, content=bytes(2000))
    assert more.status_code == 204
    assert mine.stored == len(VIDEO) + 5000
    stated = {**TUS, "Upload-Offset": "5000", "Upload-Length": "7000"}
    assert_problem(client.patch(place, headers=stated, content=b"a"), 429, "storage_quota_exceeded")
    assert mine.stored == len(VIDEO) + 5000
    # It could grow without an end if it stayed.
    full = client.patch(place, headers={**TUS, "Upload-Offset": "5000"}, content=bytes(2000))
    assert_problem(full, 429, "storage_quota_exceeded")
    mine.require_stored(len(VIDEO))
    assert_problem(client.get(place), 410, "upload_gone")


def test_a_length_that_is_stated_later_is_counted(client: TestClient, mine: Holder) -> None:
    place = begin(client, None, bytes(10)).headers["location"]
    stated = {**TUS, "Upload-Offset": "10", "Upload-Length": "6000"}
    assert client.patch(place, headers=stated, content=bytes(10)).status_code == 204
    assert mine.stored == 6000


def test_a_full_key_is_refused_before_it_sends(
    client: TestClient, mine: Holder, keys: tuple[NewKey, NewKey]
) -> None:
    first = localize(client, bytes(9000), **{"Idempotency-Key": "first"})
    new = {**TUS, "Upload-Length": "3001"}
    refused = client.post("/uploads", headers=new)
    assert_problem(refused, 429, "storage_quota_exceeded")
    assert refused.headers["retry-after"] == "3600"
    assert "12000 bytes" in refused.json()["detail"]
    # The form is larger than what is left by more than a form's own parts.
    form = {"Content-Length": "80000", "Content-Type": "multipart/form-data; boundary=a"}
    assert_problem(client.post("/localize", headers=form, content=b""), 429, "storage_quota_exceeded")
    assert_problem(client.post("/localize", files={"video": VIDEO}), 429, "storage_quota_exceeded")
    mine.require_stored(9000)
    localize(client, bytes(3000))
    for path, body in (("localize/url", URL), (f"jobs/{first}/rerun", {}), ("reels", {})):
        assert_problem(client.post(f"/{path}", json=body), 429, "storage_quota_exceeded")
    # A repeated request gets its job, and another key has room of its own.
    assert localize(client, bytes(9000), **{"Idempotency-Key": "first"}) == first
    localize(client, Authorization=f"Bearer {keys[1].text}")
    assert client.post(f"/jobs/{first}/cancel").status_code == 200
    assert client.delete(f"/jobs/{first}").status_code == 204
    localize(client)


def test_a_length_of_thousands_of_digits_is_a_wrong_header(client: TestClient) -> None:
    assert_problem(
        client.post("/uploads", headers={**TUS, "Upload-Length": "9" * 5000}), 400, "invalid_tus_header"
    )


def test_a_rerun_counts_its_own_copy(client: TestClient, mine: Holder) -> None:
    job = localize(client)
    assert client.post(f"/jobs/{job}/rerun", json={}).status_code == 202
    mine.require_stored(2 * len(VIDEO))
    assert_problem(client.post(f"/jobs/{job}/rerun", json={}), 429, "storage_quota_exceeded")
    mine.require_stored(2 * len(VIDEO))


def test_jobs_at_the_same_time_do_not_exceed_the_limit_together(store: JobStore, mine: Holder) -> None:
    def submit(_: int) -> bool:
        job_id = new_job_id()
        new = NewJob(
            id=job_id,
            key_id=mine.id,
            source_key=source_key(job_id),
            source_name="a",
            source_bytes=100,
            model="m",
        )
        try:
            store.submit(new, max_stored=1050)
        except StorageFullForKeyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(24))) == 10
    assert mine.stored == 1000


def test_a_fetched_video_counts_and_is_refused_without_room(store: JobStore, mine: Holder) -> None:
    for number in range(2):
        new = NewJob(
            id=f"job{number}",
            key_id=mine.id,
            source_key=f"uploads/job{number}",
            source_name="a",
            source_bytes=0,
            source_url="http://a.example",
            model="m",
        )
        store.submit(new)
    leases = []
    for number in range(2):
        record = claim(store, f"job{number}", "worker", 30.0)
        assert record is not None
        leases.append(record.lease)
    for _ in range(2):
        assert store.fetched(leases[0], 700, max_stored=1000)
    assert mine.stored == 700
    with pytest.raises(SentilocError) as refused:
        store.fetched(leases[1], 301, max_stored=1000)
    assert refused.value.code is ErrorCode.STORAGE_QUOTA_EXCEEDED
    assert mine.stored == 700
    assert store.fetched(leases[1], 300, max_stored=1000)
    assert mine.stored == 1000


def test_without_a_key_nothing_is_counted(settings: Settings, redis: Redis) -> None:
    with TestClient(create_app(settings.model_copy(update={"max_stored_bytes_per_key": 10}))) as client:
        localize(client)
        assert begin(client, 5000).status_code == 201
        assert client.get("/key").json()["stored_bytes"] is None
    assert not redis.exists(held_key(settings.redis_prefix, ""))


def test_a_limit_of_zero_is_none(settings: Settings, keys: tuple[NewKey, NewKey]) -> None:
    changed = settings.model_copy(update={"api_keys": "on", "max_stored_bytes_per_key": 0})
    headers = {"Authorization": f"Bearer {keys[0].text}"}
    with TestClient(create_app(changed), headers=headers) as client:
        localize(client)
        assert client.get("/key").json()["max_stored_bytes"] is None


def test_a_wrong_count_is_repaired(
    client: TestClient, mine: Holder, store: JobStore, settings: Settings
) -> None:
    finish(store, localize(client), settings)
    begin(client, 300)
    right = mine.stored
    name, holdings = held_key(store.prefix, mine.id), Holdings(store, LocalStorage(settings.data_dir))
    for wrong in (7, 10**9, -5):
        store.redis.hset(name, "stored", wrong)
        assert holdings.repair([mine.id]) == 1
        assert mine.stored == right
    store.redis.delete(name)
    assert holdings.repair([mine.id]) == 1
    assert mine.stored == right == len(VIDEO) + len(RESULT) + 300


def test_jobs_of_an_earlier_version_are_measured(
    client: TestClient, mine: Holder, store: JobStore, settings: Settings
) -> None:
    ended, waiting = localize(client), localize(client, bytes(100))
    finish(store, ended, settings)
    store.redis.hdel(job_key(store.prefix, ended), "held_video", "held_result")
    store.redis.delete(held_key(store.prefix, mine.id))
    Holdings(store, LocalStorage(settings.data_dir)).repair([mine.id])
    mine.require_stored(len(VIDEO) + len(RESULT) + 100)
    assert store.redis.hget(job_key(store.prefix, waiting), "held_result") is None


def test_measuring_leaves_other_chores_their_time(
    client: TestClient, mine: Holder, store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = localize(client)
    finish(store, ended, settings)
    store.redis.hdel(job_key(store.prefix, ended), "held_video", "held_result")
    monkeypatch.setattr("sentiloc.app.housekeeping.holdings._MEASURING_SECONDS", 0.0)
    Holdings(store, LocalStorage(settings.data_dir)).repair([mine.id])
    assert store.redis.hget(job_key(store.prefix, ended), "held_result") is None
    monkeypatch.undo()
    Holdings(store, LocalStorage(settings.data_dir)).repair([mine.id])
    mine.require_stored(len(VIDEO) + len(RESULT))


def test_a_measurement_neither_replaces_a_count_nor_brings_a_job_back(
    client: TestClient, mine: Holder, store: JobStore
) -> None:
    """A video may expire, or a job be deleted, after its file was measured."""
    job = localize(client)
    assert store.hold(job, "video", 0)
    assert not store.hold(job, "video", len(VIDEO), once=True)
    assert not store.hold("gone", "video", len(VIDEO), once=True)
    assert not store.redis.exists(job_key(store.prefix, "gone"))
    assert mine.stored == 0


@pytest.mark.parametrize("changes", [3, 1000])
def test_a_change_during_the_repair_is_not_lost(
    client: TestClient,
    mine: Holder,
    store: JobStore,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    changes: int,
) -> None:
    """The total of a busy key is repaired too, unless it changes during every try."""
    job = localize(client)
    store.redis.hincrby(held_key(store.prefix, mine.id), "stored", 1)
    holdings = Holdings(store, LocalStorage(settings.data_dir))
    add_up, times = holdings._added_up, itertools.count(1)

    def busy(key_id: str) -> Held:
        found = add_up(key_id)
        number = next(times)
        if number <= changes:
            store.hold(job, "video", len(VIDEO) + number)
        return found

    monkeypatch.setattr(holdings, "_added_up", busy)
    is_repaired = changes < 10
    assert holdings.repair([mine.id]) == is_repaired
    grown = min(changes, 10)
    counted = held_bytes(store.redis, store.prefix, mine.id).stored
    assert counted == len(VIDEO) + grown + (not is_repaired)


def correct(client: TestClient, job: str, note: str) -> Any:
    return client.post(f"/jobs/{job}/feedback", json={"segments": [], "note": note})


def test_feedback_counts_until_it_is_withdrawn_or_its_job_deleted(
    client: TestClient, mine: Holder, store: JobStore, settings: Settings
) -> None:
    jobs = [localize(client, bytes(10)) for _ in range(2)]
    for job in jobs:
        finish(store, job, settings)

    for job in jobs:
        assert correct(client, job, "a" * 200).status_code == 201
    texts = [str(store.redis.lindex(f"{store.prefix}feedback:{job}", 0)) for job in jobs]
    assert mine.held.feedback == sum(map(len, texts))
    refused = correct(client, jobs[0], "a" * 600)
    assert_problem(refused, 409, "feedback_full")
    assert "1000 bytes" in refused.json()["detail"]
    assert len(client.get(f"/jobs/{jobs[0]}/feedback").json()["feedback"]) == 1
    assert client.delete(f"/jobs/{jobs[0]}/feedback").status_code == 204
    assert mine.held.feedback == len(texts[1])
    assert correct(client, jobs[0], "a").status_code == 201
    for job in jobs:
        assert client.delete(f"/jobs/{job}").status_code == 204
    assert mine.held == Held(0, 0)


@pytest.mark.parametrize("then", ["repair", "add"])
def test_feedback_of_an_earlier_version_is_counted(
    client: TestClient, mine: Holder, store: JobStore, settings: Settings, then: str
) -> None:
    job = localize(client)
    finish(store, job, settings)
    assert correct(client, job, "a" * 300).status_code == 201
    before = mine.held
    store.redis.hdel(job_key(store.prefix, job), "held_feedback")
    store.redis.hdel(held_key(store.prefix, mine.id), "feedback")
    if then == "repair":
        assert Holdings(store, LocalStorage(settings.data_dir)).repair([mine.id]) == 0
        assert mine.held == before
        assert_problem(correct(client, job, "a" * 600), 409, "feedback_full")
    else:
        assert_problem(correct(client, job, "a" * 600), 409, "feedback_full")
        assert correct(client, job, "a").status_code == 201
        texts = store.redis.lrange(f"{store.prefix}feedback:{job}", 0, -1)
        assert mine.held.feedback == sum(map(len, texts))
    assert client.delete(f"/jobs/{job}/feedback").status_code == 204
    assert mine.held.feedback == 0


def test_feedback_that_was_withdrawn_is_not_measured(store: JobStore) -> None:
    job = submit(store)
    assert store.measure_feedback(job.id) == 0
    assert store.measure_feedback("gone") == 0
    assert not store.redis.exists(job_key(store.prefix, "gone"))
