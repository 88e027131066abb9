"""Submitting a job and using its upload is one step; before an upload's bytes are deleted, their owner is checked."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from redis import Redis

from sentiloc.app.access.key_limits import KeyLimitReached, StorageQuotaExceeded
from sentiloc.app.housekeeping.erasure import Receipt
from sentiloc.app.housekeeping.retention import delete_with_files
from sentiloc.app.http.problems import ProblemError
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobRecord, JobState, NewJob, new_job_id
from sentiloc.app.jobs.store import JobStore, UploadEndedError
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings
from sentiloc.app.uploads.problems import UploadUsed
from sentiloc.app.uploads.record import UploadRecord, UploadState, upload_key

VIDEO = b"video"


@pytest.fixture
def services(settings: Settings) -> Services:
    return Services.from_settings(settings)


def new_upload(key_id: str | None = None) -> UploadRecord:
    now = time.time()
    return UploadRecord(
        id=new_job_id(),
        state=UploadState.OPEN,
        key_id=key_id,
        name="a.mp4",
        metadata="",
        length=len(VIDEO),
        options=None,
        created_at=now,
        expires_at=now + 100,
    )


def complete_upload(services: Services, key_id: str | None = None) -> UploadRecord:
    record = new_upload(key_id)
    services.uploads.create(record)
    with services.uploads.lock(record) as file:
        file.write(VIDEO)
    return services.uploads.settle(record)


def job_of(record: UploadRecord) -> NewJob:
    return NewJob(
        id=record.id,
        source_key=record.source_key,
        source_name="a",
        source_bytes=5,
        model="m",
        is_of_upload=True,
    )


def state_of(services: Services, record: UploadRecord) -> UploadState:
    found = services.uploads.find(record.id)
    assert found is not None
    return found.state


def test_a_recorded_job_has_used_its_upload(services: Services, redis: Redis) -> None:
    """The store does both in one step, so a crash right after it leaves a consistent state."""
    record = complete_upload(services)
    services.store.submit(job_of(record))
    assert state_of(services, record) is UploadState.USED
    assert services.uploads.waiting() == []
    assert 0 < redis.ttl(upload_key(services.settings.redis_prefix, record.id)) <= 86_400
    services.upload_jobs.sweep()
    assert services.storage.size(record.source_key) == len(VIDEO)


def test_a_late_end_of_an_upload_leaves_the_job_its_video(services: Services) -> None:
    stale = complete_upload(services)
    job, is_new = services.upload_jobs.localize(stale, JobOptions())
    assert (job.state, is_new) == (JobState.QUEUED, True)
    assert not services.uploads.end(stale)
    assert services.storage.size(stale.source_key) == len(VIDEO)
    assert state_of(services, stale) is UploadState.USED


@pytest.mark.parametrize("is_used", [False, True])
def test_an_upload_that_has_ended_leaves_its_key_s_list(
    services: Services, redis: Redis, is_used: bool
) -> None:
    record = complete_upload(services, "key")
    lists = [f"{services.settings.redis_prefix}uploads{owner}" for owner in ("", ":key")]
    assert [redis.zrange(name, 0, -1) for name in lists] == [[record.id]] * 2
    if is_used:
        services.store.submit(job_of(record))
    else:
        assert services.uploads.end(record)
    assert not redis.exists(*lists)


def test_a_refused_upload_leaves_nothing(settings: Settings, redis: Redis) -> None:
    services = Services.from_settings(settings.model_copy(update={"max_stored_bytes_per_key": 4}))
    record = new_upload("key")
    with pytest.raises(StorageQuotaExceeded):
        services.uploads.create(record)
    assert services.uploads.find(record.id) is None
    answers = f"{settings.redis_prefix}answer:"
    assert [key for key in redis.scan_iter(f"{settings.redis_prefix}*") if not key.startswith(answers)] == []


def test_uploads_that_an_earlier_version_has_ended_count_no_more(settings: Settings, redis: Redis) -> None:
    services = Services.from_settings(settings.model_copy(update={"max_open_uploads_per_key": 1}))
    first, second = new_upload("key"), new_upload("key")
    services.uploads.create(first)
    with pytest.raises(KeyLimitReached):
        services.uploads.create(second)
    redis.zrem(f"{settings.redis_prefix}uploads", first.id)
    services.uploads.create(second)


def test_an_upload_that_is_counted_becomes_a_job_though_its_key_has_no_more_room(services: Services) -> None:
    """The operator has lowered the limit meanwhile."""
    record = complete_upload(services, "key")
    services.store.submit(replace(job_of(record), key_id="key"), max_stored=1)
    assert state_of(services, record) is UploadState.USED


def test_the_end_of_an_upload_brings_no_record_back(services: Services, redis: Redis) -> None:
    """Its owner's data may be erased meanwhile. The new record would never expire."""
    record = complete_upload(services)
    name = upload_key(services.settings.redis_prefix, record.id)
    redis.delete(name)
    assert services.uploads.end(record)
    assert not redis.exists(name)


def test_an_upload_that_was_ended_gets_no_job(services: Services) -> None:
    stale = complete_upload(services)
    assert services.uploads.end(stale)
    with pytest.raises(UploadEndedError):
        services.store.submit(job_of(stale))
    assert services.store.get(stale.id) is None
    with pytest.raises(ProblemError):
        services.upload_jobs.localize(stale, JobOptions())


def test_the_upload_s_job_is_found_again(services: Services) -> None:
    record = complete_upload(services)
    first, _ = services.upload_jobs.localize(record, JobOptions())
    again, is_new = services.upload_jobs.localize(record, JobOptions())
    assert (again.id, is_new) == (first.id, False)
    with pytest.raises(ProblemError, match="other options"):
        services.upload_jobs.localize(record, JobOptions(threshold=0.9))


@pytest.mark.parametrize("how", ["deleted", "erased"])
def test_a_late_request_makes_no_job_without_a_video(services: Services, how: str) -> None:
    """It has read the upload before another request created its job, which was then deleted with the video."""
    stale = complete_upload(services)
    services.upload_jobs.localize(stale, JobOptions())
    services.store.cancel(stale.id)
    if how == "deleted":
        assert delete_with_files(services.store, services.storage, [stale.id])
    else:
        services.eraser.erase(Receipt(None))
    with pytest.raises(UploadEndedError):
        services.store.submit(job_of(stale))
    assert services.store.get(stale.id) is None


def test_two_requests_with_other_options_at_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    record, submit = complete_upload(services), JobStore.submit

    def submit_late(store: JobStore, job: NewJob, *limits: int) -> JobRecord:
        monkeypatch.setattr(JobStore, "submit", submit)
        services.upload_jobs.localize(record, JobOptions(threshold=0.9))
        return store.submit(job, *limits)

    monkeypatch.setattr(JobStore, "submit", submit_late)
    with pytest.raises(UploadUsed):
        services.upload_jobs.localize(record, JobOptions())
