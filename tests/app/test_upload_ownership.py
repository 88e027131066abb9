"""Submitting a job and using its upload is one step; before an upload's bytes are deleted, their owner is checked."""

from __future__ import annotations

import time

import pytest

from sentiloc.app.http.problems import ProblemError
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobState, NewJob, new_job_id
from sentiloc.app.jobs.store import UploadEndedError
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings
from sentiloc.app.uploads.record import UploadRecord, UploadState

VIDEO = b"video"


@pytest.fixture
def services(settings: Settings) -> Services:
    return Services.from_settings(settings)


def complete_upload(services: Services) -> UploadRecord:
    now = time.time()
    record = UploadRecord(
        id=new_job_id(),
        state=UploadState.OPEN,
        key_id=None,
        name="a.mp4",
        metadata="",
        length=len(VIDEO),
        options=None,
        created_at=now,
        expires_at=now + 100,
    )
    services.uploads.create(record)
    with services.uploads.lock(record) as file:
        file.write(VIDEO)
    return services.uploads.settle(record)


def state_of(services: Services, record: UploadRecord) -> UploadState:
    found = services.uploads.find(record.id)
    assert found is not None
    return found.state


def test_a_recorded_job_has_used_its_upload(services: Services) -> None:
    """The store does both in one step, so a crash right after it leaves a consistent state."""
    record = complete_upload(services)
    services.store.submit(
        NewJob(id=record.id, source_key=record.source_key, source_name="a", source_bytes=5, model="m")
    )
    assert state_of(services, record) is UploadState.USED
    assert services.uploads.waiting() == []
    services.upload_jobs.sweep()
    assert services.storage.size(record.source_key) == len(VIDEO)


def test_a_late_end_of_an_upload_leaves_the_job_its_video(services: Services) -> None:
    stale = complete_upload(services)
    job, is_new = services.upload_jobs.localize(stale, JobOptions())
    assert (job.state, is_new) == (JobState.QUEUED, True)
    assert not services.uploads.end(stale)
    assert services.storage.size(stale.source_key) == len(VIDEO)
    assert state_of(services, stale) is UploadState.USED


def test_an_upload_that_was_ended_gets_no_job(services: Services) -> None:
    stale = complete_upload(services)
    assert services.uploads.end(stale)
    new = NewJob(id=stale.id, source_key=stale.source_key, source_name="a", source_bytes=5, model="m")
    with pytest.raises(UploadEndedError):
        services.store.submit(new)
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
