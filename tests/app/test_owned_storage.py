"""Sweeps delete only files of this service, identified by a marker; a limit stops sweeps that look like a mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from redis import Redis

from sentiloc.app.housekeeping.ownership import MARKER_KEY
from sentiloc.app.housekeeping.reaper import Reaper
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.record import NewJob, new_job_id
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import incoming_key, result_key, source_key
from sentiloc.app.storage.local import LocalStorage
from sentiloc.app.uploads.record import UploadState, upload_key
from tests.support.jobs import claim


def reaper_of(settings: Settings, redis: Redis) -> Reaper:
    store = JobStore(redis, settings.redis_prefix)
    return Reaper(settings, store, LocalStorage(settings.data_dir), Dispatcher(settings, redis))


def old_file(settings: Settings, key: str) -> Path:
    with LocalStorage(settings.data_dir).writer(key) as writer:
        writer.write(b"v")
        writer.commit()
    path = settings.data_dir / key
    os.utime(path, (1, 1))
    return path


def job_with_files(settings: Settings, redis: Redis) -> list[Path]:
    """A finished job's video and result, both old."""
    store, job_id = JobStore(redis, settings.redis_prefix), new_job_id()
    key = source_key(job_id)
    job = store.submit(NewJob(id=job_id, source_key=key, source_name="a", source_bytes=1, model="m"))
    claimed = claim(store, job.id, "one", 30.0)
    assert claimed is not None
    assert store.succeed(claimed.lease, result_key(job.id, 1))
    return [old_file(settings, key), old_file(settings, result_key(job.id, 1))]


def test_a_service_with_another_prefix_deletes_nothing(
    settings: Settings, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    files = [path for _ in range(3) for path in job_with_files(settings, redis)]
    reaper_of(settings, redis).delete_orphans()
    mistyped = settings.model_copy(update={"redis_prefix": f"{settings.redis_prefix}x:"})
    reaper_of(mistyped, redis).delete_orphans()
    assert all(path.exists() for path in files)
    assert "belongs to another service" in caplog.text


def test_files_of_forms_that_were_used_again_do_not_stop_the_sweep(settings: Settings, redis: Redis) -> None:
    """A client can use a presigned form again after its upload has ended, and so leave many files."""
    few = settings.model_copy(update={"max_orphans": 1})
    job = job_with_files(few, redis)
    ids = [new_job_id() for _ in range(10)]
    forms = [old_file(few, incoming_key(upload_id)) for upload_id in ids]
    states = [UploadState.GONE, UploadState.USED, UploadState.GONE, UploadState.OPEN]
    for upload_id, state in zip(ids, states, strict=False):
        redis.hset(upload_key(few.redis_prefix, upload_id), "state", state)
    reaper_of(few, redis).delete_orphans()
    # Those that Redis does not know are too many; those of open uploads are not finished.
    assert [path.exists() for path in forms] == [False] * 3 + [True] * 7
    assert all(path.exists() for path in job)


def test_videos_of_uploads_that_have_ended_go(settings: Settings, redis: Redis) -> None:
    """A process that moves a video and is killed after another one has ended the upload leaves its video."""
    few = settings.model_copy(update={"max_orphans": 1})
    job = job_with_files(few, redis)
    states = [UploadState.GONE, UploadState.USED, UploadState.GONE, UploadState.COMPLETE]
    files = {new_job_id(): state for state in states}
    for upload_id, state in files.items():
        redis.hset(upload_key(few.redis_prefix, upload_id), "state", state)
    videos = [old_file(few, source_key(upload_id)) for upload_id in files]
    reaper_of(few, redis).delete_orphans()
    assert [path.exists() for path in videos] == [False, False, False, True]
    assert all(path.exists() for path in job)


def test_a_service_with_another_folder_deletes_nothing(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    reaper_of(settings, redis).delete_orphans()
    elsewhere = settings.model_copy(update={"data_dir": tmp_path / "other"})
    stray = old_file(elsewhere, source_key("somebody_elses"))
    reaper_of(elsewhere, redis).delete_orphans()
    assert stray.exists()


def test_own_orphans_go(settings: Settings, redis: Redis) -> None:
    kept = job_with_files(settings, redis)
    reaper = reaper_of(settings, redis)
    reaper.delete_orphans()
    orphans = [old_file(settings, source_key(new_job_id())), old_file(settings, result_key(new_job_id(), 1))]
    reaper.delete_orphans()
    assert not any(path.exists() for path in orphans)
    assert all(path.exists() for path in kept)
    assert (settings.data_dir / MARKER_KEY).exists()


@pytest.mark.parametrize(("orphans", "jobs", "most"), [(4, 0, 4), (4, 4, 1)])
def test_a_sweep_within_the_bound_or_of_half_of_the_files_goes_on(
    settings: Settings, redis: Redis, orphans: int, jobs: int, most: int
) -> None:
    careful = settings.model_copy(update={"max_orphans": most})
    strays = [old_file(careful, source_key(new_job_id())) for _ in range(orphans)]
    kept = [path for _ in range(jobs) for path in job_with_files(careful, redis)]
    reaper_of(careful, redis).delete_orphans()
    assert not any(path.exists() for path in strays)
    assert all(path.exists() for path in kept)


def test_a_sweep_of_most_files_stops_with_a_message(
    settings: Settings, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    careful = settings.model_copy(update={"max_orphans": 3})
    orphans = [old_file(careful, source_key(new_job_id())) for _ in range(4)]
    reaper_of(careful, redis).delete_orphans()
    assert all(path.exists() for path in orphans)
    assert "4 of 4 files in uploads/" in caplog.text
    reaper_of(settings, redis).delete_orphans()
    assert not any(path.exists() for path in orphans)


def test_many_orphans_among_more_files_go(settings: Settings, redis: Redis) -> None:
    careful = settings.model_copy(update={"max_orphans": 1})
    for _ in range(5):
        job_with_files(careful, redis)
    orphans = [old_file(careful, source_key(new_job_id())) for _ in range(2)]
    reaper_of(careful, redis).delete_orphans()
    assert not any(path.exists() for path in orphans)
