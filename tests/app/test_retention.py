"""Retention: files are deleted in time and not earlier, and answers state it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.housekeeping.retention import Retention, delete_files, delete_with_files, keep_seconds
from sentiloc.app.http.answers import FileAnswer
from sentiloc.app.jobs.record import JobRecord, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import partial_key, reel_key, result_key, thumbnail_key
from sentiloc.app.storage.local import LocalStorage
from sentiloc.model.errors import SentilocError
from tests.app.asking import assert_problem, finish, storage_deletes_nothing, upload
from tests.app.conftest import submit
from tests.support.commands import counted
from tests.support.jobs import claim

RESULT = json.dumps(EXAMPLE_RESULT).encode()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"keep_uploads_seconds": 100, "keep_results_seconds": 200, "keep_records_seconds": 300}
    )


@pytest.fixture
def retention(settings: Settings, store: JobStore) -> Retention:
    retention = Retention(settings, store, LocalStorage(settings.data_dir))
    retention.publish_times()
    return retention


@pytest.fixture
def client(settings: Settings, retention: Retention) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def files(settings: Settings) -> list[str]:
    return sorted(str(path.relative_to(settings.data_dir)) for path in settings.data_dir.glob("*/*"))


def done(client: TestClient, store: JobStore, settings: Settings) -> JobRecord:
    job_id = upload(client).json()["id"]
    finish(store, job_id, settings, RESULT)
    record = store.get(job_id)
    assert record is not None
    return record


def let_pass(store: JobStore, record: JobRecord, what: str) -> None:
    """Set the expiry of one part to a second ago."""
    moment = time.time() - 1
    store.redis.hset(f"{store.prefix}job:{record.id}", f"{what}_until", str(moment))
    store.redis.zadd(f"{store.prefix}kept:{what}", {record.id: moment})


def test_an_expiry_date_is_written_once(settings: Settings, store: JobStore) -> None:
    def retention(video_seconds: float) -> Retention:
        changed = settings.model_copy(
            update={"keep_records_seconds": 0, "keep_uploads_seconds": video_seconds}
        )
        return Retention(changed, store, LocalStorage(settings.data_dir))

    retention(86_400).publish_times()
    job = store.submit(NewJob(source_key="uploads/abcdefgh", source_name="a", source_bytes=1, model="m"))
    assert store.cancel(job.id)
    before = store.get(job.id)
    assert before is not None and before.video_expires_at is not None and before.record_expires_at is None
    retention(7 * 86_400).index_older_jobs()
    assert store.get(job.id) == before
    assert not store.keep_until(job.id, "uploads", 1e10)
    store.redis.zrem(f"{store.prefix}kept:uploads", job.id)
    retention(86_400).index_older_jobs()
    assert store.redis.zcard(f"{store.prefix}kept:uploads") == 0


def test_no_file_outlives_its_record() -> None:
    def kept(**seconds: float) -> list[float]:
        return list(keep_seconds(Settings(**{f"keep_{k}_seconds": v for k, v in seconds.items()})).values())  # type: ignore[arg-type]

    assert kept(uploads=10, results=20, records=15) == [10, 15, 15]
    assert kept(uploads=0, results=0, records=15) == [15, 15, 15]
    assert kept(uploads=0, results=20, records=0) == [0, 20, 0]


def test_a_job_states_its_retention(client: TestClient, store: JobStore, settings: Settings) -> None:
    job_id = upload(client).json()["id"]
    waiting = client.get(f"/jobs/{job_id}").json()
    assert waiting["expires_at"] is waiting["video_expires_at"] is None
    finish(store, job_id, settings, RESULT)
    record = store.get(job_id)
    assert record is not None and record.finished_at is not None
    times = (record.video_expires_at, record.result_expires_at, record.record_expires_at)
    assert times == pytest.approx([record.finished_at + seconds for seconds in (100, 200, 300)], abs=0.01)
    body = client.get(f"/jobs/{job_id}").json()
    assert body["video_expires_at"] < body["expires_at"]


def test_parts_go_one_after_the_other(
    client: TestClient, store: JobStore, settings: Settings, retention: Retention
) -> None:
    record = done(client, store, settings)
    path = f"/jobs/{record.id}"
    retention.sweep()
    assert len(files(settings)) == 2
    let_pass(store, record, "uploads")
    retention.sweep()
    assert files(settings) == [result_key(record.id, 1)]
    assert not store.redis.exists(f"{store.prefix}kept:uploads")
    assert_problem(client.get(f"{path}/video"), 410, "source_missing")
    assert client.get(f"{path}/result").status_code == 200
    let_pass(store, record, "results")
    assert_problem(client.get(f"{path}/result"), 410, "result_expired")
    assert_problem(client.get(f"{path}/curve"), 410, "result_expired")
    assert_problem(client.post(f"{path}/feedback", json={"segments": []}), 410, "result_expired")
    retention.sweep()
    assert files(settings) == []
    assert client.get(path).json()["state"] == "succeeded"
    let_pass(store, record, "records")
    retention.sweep()
    assert_problem(client.get(path), 404, "job_not_found")
    left = {key for key in store.redis.scan_iter(f"{store.prefix}*") if record.id in key}
    assert left == set()
    assert not store.redis.exists(f"{store.prefix}kept:records")


def test_a_job_that_expires_during_an_outage_of_the_storage_goes_later(
    client: TestClient, store: JobStore, settings: Settings, retention: Retention
) -> None:
    record = done(client, store, settings)
    let_pass(store, record, "records")
    other = done(client, store, settings)
    with storage_deletes_nothing(), pytest.raises(SentilocError):
        retention.sweep()
    # Other jobs come first now, so that a file that can never be deleted does not stop them.
    let_pass(store, other, "records")
    retention.sweep()
    assert (store.get(other.id), store.get(record.id) is None) == (None, False)
    let_pass(store, record, "records")
    retention.sweep()
    assert (files(settings), store.get(record.id)) == ([], None)


def test_jobs_that_ended_without_retention_get_their_time(store: JobStore, settings: Settings) -> None:
    old = [
        store.submit(NewJob(source_key="uploads/abcdefgh", source_name="a", source_bytes=1, model="m"))
        for _ in "ab"
    ]
    store.cancel(old[0].id)
    retention = Retention(settings, store, LocalStorage(settings.data_dir))
    retention.index_older_jobs()
    records = [store.get(job.id) for job in old]
    assert records[0] and records[0].finished_at and records[0].record_expires_at
    assert records[0].record_expires_at == pytest.approx(records[0].finished_at + 300, abs=0.01)
    assert records[1] and records[1].record_expires_at is None


def test_a_part_that_is_kept_for_ever_gets_no_date(store: JobStore, settings: Settings) -> None:
    forever = settings.model_copy(update={"keep_records_seconds": 0, "keep_results_seconds": 0})
    job = submit(store)
    store.cancel(job.id)
    Retention(forever, store, LocalStorage(settings.data_dir)).index_older_jobs()
    record = store.get(job.id)
    assert record is not None and record.video_expires_at is not None
    assert (record.result_expires_at, record.record_expires_at) == (None, None)


def test_unclaimed_results_are_deleted(
    client: TestClient, store: JobStore, settings: Settings, retention: Retention
) -> None:
    record = done(client, store, settings)
    storage = LocalStorage(settings.data_dir)
    lost = [result_key("goneGoneGone", 1), result_key(record.id, 7), thumbnail_key("goneGoneGone", 1, 0)]
    # Its job has ended, and the storage did not delete it then.
    lost.append(partial_key(record.id, 1))
    kept = [thumbnail_key(record.id, 1, 0)]
    for key in (*lost, *kept):
        with storage.writer(key) as writer:
            writer.write(b"x")
            writer.commit()
    retention.delete_orphans(60)
    assert set(lost) <= set(files(settings))
    for key in files(settings):
        os.utime(settings.data_dir / key, (time.time() - 100,) * 2)
    retention.delete_orphans(60)
    assert set(files(settings)) == {record.source_key, result_key(record.id, 1), *kept}


def test_hourly_chores_do_not_read_whole_records(
    client: TestClient, store: JobStore, settings: Settings, retention: Retention
) -> None:
    kept = [done(client, store, settings) for _ in range(3)]
    with counted(store.redis, "hgetall") as asked:
        retention.index_older_jobs()
        retention.delete_orphans(-1.0)
        retention.delete_orphaned_videos(-1.0)
    assert asked == [0]
    assert [store.get(record.id) for record in kept] == kept


def test_only_jobs_that_have_ended_are_deleted(store: JobStore, settings: Settings) -> None:
    queued, running, ended = (submit(store, f"{number}.mp4").id for number in range(3))
    assert claim(store, running, "w", 30.0)
    assert store.cancel(ended)
    storage = LocalStorage(settings.data_dir)
    with storage.writer(result_key(running, 1)) as writer:
        writer.commit()
    jobs = [queued, "unknownUnknown", running, ended]
    gone = delete_with_files(store, storage, jobs)
    assert [record.id for record in gone] == [ended]
    assert None not in store.get_many([queued, running])
    assert files(settings) == [result_key(running, 1)]


def test_every_file_of_every_attempt_is_deleted(store: JobStore, settings: Settings) -> None:
    storage = LocalStorage(settings.data_dir)
    new = NewJob(source_key="uploads/abcdefgh", source_name="a", source_bytes=1, model="m", reel="{}")
    record = replace(store.submit(new), attempt=2, thumbnails=2)
    own = [record.source_key]
    for attempt in (1, 2):
        own += [name(record.id, attempt) for name in (result_key, reel_key, partial_key)]
    own += [thumbnail_key(record.id, 2, index) for index in range(2)]
    foreign = [result_key(record.id, 3), thumbnail_key(record.id, 2, 2)]
    for key in (*own, *foreign):
        with storage.writer(key) as writer:
            writer.commit()
    delete_files(storage, record)
    assert files(settings) == sorted(foreign)


def test_a_deleted_job_leaves_no_file(client: TestClient, store: JobStore, settings: Settings) -> None:
    record = done(client, store, settings)
    assert client.delete(f"/jobs/{record.id}").status_code == 204
    assert not [path for path in Path(settings.data_dir).rglob("*") if path.is_file()]


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=1-2"}, {"Range": "bytes=1-2,4-5"}])
def test_a_video_that_is_deleted_before_it_is_sent_is_gone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    job = upload(client).json()["id"]

    def answer_late(*given: Any, **named: Any) -> FileAnswer:
        for status in (200, 204):
            assert client.delete(f"/jobs/{job}").status_code == status
        return FileAnswer(*given, **named)

    monkeypatch.setattr("sentiloc.app.routes.results.videos.FileAnswer", answer_late)
    assert_problem(client.get(f"/jobs/{job}/video", headers=asked), 410, "source_missing")


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs?all=true"])
def test_a_deletion_during_an_outage_of_the_storage_can_be_repeated(
    client: TestClient, store: JobStore, settings: Settings, path: str
) -> None:
    record = done(client, store, settings)
    with storage_deletes_nothing():
        assert_problem(client.delete(path.format(record.id)), 503, "storage_unavailable")
    assert client.delete(path.format(record.id)).is_success
    assert (files(settings), store.get(record.id)) == ([], None)


@pytest.mark.parametrize("part", [1, 100])
def test_a_file_that_cannot_be_deleted_stops_no_other_job(
    client: TestClient, store: JobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr("sentiloc.app.housekeeping.retention._CHUNK", part)
    # The newest job comes first.
    *others, stuck = [done(client, store, settings).id for _ in range(3)]
    with storage_deletes_nothing(of=stuck):
        assert_problem(client.delete("/jobs?all=true"), 503, "storage_unavailable")
    assert store.get(stuck) is not None
    assert [store.get(job) for job in others] == [None, None]
    assert client.delete("/jobs?all=true").json()["deleted"] == 1
