"""One worker's handling of a job, with real records, leases and files; only the model is replaced."""

from __future__ import annotations

import contextvars
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from redis import ConnectionError as RedisConnectionError

from sentiloc.app.access.caller import Scope, set_caller
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.access.usage import held_bytes
from sentiloc.app.housekeeping.retention import delete_with_files
from sentiloc.app.jobs.options import JobOptions, Quality, TimeRange
from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.jobs.record import JobRecord, JobState, NewJob
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.metrics.job_counters import read_counts
from sentiloc.app.redis.client import connect
from sentiloc.app.reels.plan import ReelClip, ReelPlan
from sentiloc.app.settings import Settings
from sentiloc.app.storage.keys import partial_key, reel_key, result_key, thumbnail_key
from sentiloc.app.storage.local import LocalStorage, LocalWriter
from sentiloc.model.errors import ErrorCode, KilledProcessError, LostProcessError, SentilocError
from sentiloc.model.results.result import SegmentOptions
from sentiloc.model.segments import Segment, VideoInfo
from sentiloc.worker.config import runtime_config
from sentiloc.worker.extraction.array_cache import ArrayCache
from sentiloc.worker.extraction.stills import Stills
from sentiloc.worker.features.feature_file import FeatureFile
from sentiloc.worker.jobs import process
from sentiloc.worker.jobs.claiming import take_from_dead_owner
from sentiloc.worker.jobs.health import Health
from sentiloc.worker.jobs.lease_keeper import LeaseKeeper, StallLimits
from sentiloc.worker.jobs.owner import is_dead, new_owner
from sentiloc.worker.jobs.runner import JobRunner
from sentiloc.worker.pipelines.registry import Pipelines
from sentiloc.worker.runtime.steps import count_step
from tests.support.full_disk import fill, small_volume
from tests.support.jobs import claim
from tests.support.listeners import ANSWER, listening
from tests.support.media import make_clip
from tests.support.services import PATIENCE, ROOT, wait_for

Work = Callable[[Path, Callable[[str, float], None]], Any]


class Answer:
    """A result with the fields that the runner needs."""

    segments: tuple[Segment, ...] = ()
    video = VideoInfo(duration=90.0, fps=25.0, width=64, height=48, has_audio=False, start_timecode=None)
    timings: ClassVar = {"decoding": 0.2, "localizing": 40.0}

    def to_dict(self) -> dict[str, Any]:
        return {"answer": 42}


class OnePipeline(Pipelines):
    """Gives a pipeline that does `work`."""

    def __init__(self, settings: Settings, work: Work) -> None:
        super().__init__(runtime_config(settings), settings.model)
        self._work = work
        self.default_options = SegmentOptions(threshold=0.5)
        self.asked: SegmentOptions | None = None
        self.part: tuple[float, float | None] | None = None
        self.track_and_draft: tuple[int | None, bool] | None = None
        self.stills: Stills | None = None
        self.models = ("m",)

    def served(self) -> tuple[tuple[str, ...], dict[str, str]]:
        return self.models, {}

    def localize(
        self,
        path: Path,
        report: Callable[[str, float], None],
        options: SegmentOptions,
        time_range: tuple[float, float | None] | None = None,
        audio_track: int | None = None,
        on_provisional: Callable[[Any], None] | None = None,
        *,
        stills: Stills | None = None,
        is_draft: bool = False,
    ) -> Any:
        self.asked, self.part, self.track_and_draft = options, time_range, (audio_track, is_draft)
        self.stills = stills
        return self._work(path, report)

    def get(self, name: str) -> Any:
        return self


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    prefix = f"t{secrets.token_hex(4)}:"
    return Settings(redis_url=redis_url, redis_prefix=prefix, data_dir=tmp_path, lease_seconds=1.5)


@pytest.fixture
def store(settings: Settings) -> JobStore:
    return JobStore(connect(settings), settings.redis_prefix)


def write_video(settings: Settings, video: bytes = b"video") -> str:
    key = f"uploads/{secrets.token_urlsafe(16)}"
    with LocalStorage(settings.data_dir).writer(key) as writer:
        writer.write(video)
        writer.commit()
    return key


def submit(store: JobStore, settings: Settings, with_file: bool = True, model: str = "m") -> JobRecord:
    key = write_video(settings) if with_file else f"uploads/{secrets.token_urlsafe(16)}"
    return store.submit(NewJob(source_key=key, source_name="a.mp4", source_bytes=5, model=model))


def runner(settings: Settings, store: JobStore, work: Work) -> JobRunner:
    return JobRunner(settings, store, LocalStorage(settings.data_dir), OnePipeline(settings, work))


def get(store: JobStore, job: JobRecord) -> JobRecord:
    return cast(JobRecord, store.get(job.id))


def results(settings: Settings) -> list[Path]:
    return list((settings.data_dir / "results").glob("*"))


def work_until_stopped(path: Path, report: Callable[[str, float], None]) -> Answer:
    for step in range(200):
        report("extracting", step / 200)
        time.sleep(0.05)
    return Answer()


def test_a_job_is_claimed_localized_and_saved(settings: Settings, store: JobStore) -> None:
    job = submit(store, settings)

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        assert path.read_bytes() == b"video"
        report("localizing", 0.9)
        return Answer()

    assert runner(settings, store, work).run(job.id)
    record = get(store, job)
    assert (record.state, record.progress) == (JobState.SUCCEEDED, 1.0)
    assert record.result_key is not None
    assert json.loads(LocalStorage(settings.data_dir).read(record.result_key)) == {"answer": 42}
    assert runner(settings, store, work).run(job.id)
    assert get(store, job).attempt == 1


def test_a_message_wakes_a_worker_for_the_job_whose_turn_it_is(settings: Settings, store: JobStore) -> None:
    first, second = submit(store, settings), submit(store, settings)
    worker = runner(settings, store, lambda *_: Answer())
    assert worker.run(second.id)
    assert [get(store, job).state for job in (first, second)] == [JobState.SUCCEEDED, JobState.QUEUED]
    assert worker.run("a-job-that-is-gone")
    assert get(store, second).state is JobState.SUCCEEDED


def test_a_job_s_options_reach_the_pipeline(settings: Settings, store: JobStore) -> None:
    key = write_video(settings)
    options = JobOptions(threshold=0.7, labels=["positive"], audio_track=1, quality=Quality.DRAFT)
    job = store.submit(NewJob(source_key=key, source_name="a", source_bytes=5, model="m", options=options))
    pipeline = OnePipeline(settings, lambda path, report: Answer())
    assert JobRunner(settings, store, LocalStorage(settings.data_dir), pipeline).run(job.id)
    assert pipeline.asked == SegmentOptions(threshold=0.7, labels=("positive",))
    assert pipeline.track_and_draft == (1, True)
    assert pipeline.stills is None, "a draft has to be fast"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SentilocError(ErrorCode.CORRUPT_MEDIA, "broken"), ErrorCode.CORRUPT_MEDIA),
        (SentilocError(ErrorCode.CANCELLED, "by nobody"), ErrorCode.CANCELLED),
        (ZeroDivisionError("secret"), ErrorCode.INTERNAL),
        (MemoryError(), ErrorCode.INTERNAL),
    ],
)
def test_errors_are_recorded(settings: Settings, store: JobStore, error: Exception, code: ErrorCode) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        raise error

    job = submit(store, settings)
    assert runner(settings, store, work).run(job.id)
    record = get(store, job)
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert record.error.code is code
    assert "secret" not in record.error.detail


PASSING = [
    SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "down"),
    SentilocError(ErrorCode.STORAGE_FULL, "down"),
    SentilocError(ErrorCode.MODEL_UNAVAILABLE, "down"),
    SentilocError(ErrorCode.WEIGHTS_MISSING, "down"),
    SentilocError(ErrorCode.DEVICE_UNAVAILABLE, "down"),
    LostProcessError("The decoder was ended from outside."),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.code)
def test_a_passing_fault_puts_the_job_back_with_a_pause(
    settings: Settings, store: JobStore, fault: SentilocError
) -> None:
    faults = [fault]

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        if faults:
            raise faults.pop()
        return Answer()

    job = submit(store, settings)
    worker = runner(settings, store, work)
    assert worker.run(job.id)
    assert (get(store, job).state, get(store, job).crashes) == (JobState.QUEUED, 0)
    assert worker.run(job.id)
    assert get(store, job).state is JobState.QUEUED
    assert not store.should_announce(job.id, 0.0, broker_is_empty=True)
    pass_pause(store, job)
    assert store.should_announce(job.id, 1000.0, broker_is_empty=True)
    assert worker.run(job.id)
    assert get(store, job).state is JobState.SUCCEEDED


def test_a_job_whose_decoder_is_killed_each_time_ends(settings: Settings, store: JobStore) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        raise KilledProcessError("The decoder was killed from outside.")

    job = submit(store, settings)
    worker = runner(settings, store, work)
    for _ in range(settings.max_attempts):
        assert get(store, job).state is JobState.QUEUED
        assert worker.run(job.id)
        store.redis.hset(f"{store.prefix}job:{job.id}", "not_before", "0")
    record = get(store, job)
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert (record.error.code, record.crashes) == (ErrorCode.RESOURCE_LIMIT, 0)


def pass_pause(store: JobStore, job: JobRecord, seconds: float = 0.0) -> None:
    """End a job's pause, and set its first fault back by `seconds`."""
    key = f"{store.prefix}job:{job.id}"
    store.redis.hset(key, "not_before", str(time.time() - 1))
    first = float(cast(str, store.redis.hget(key, "fault_at")))
    store.redis.hset(key, "fault_at", str(first - seconds))


def test_a_fault_that_does_not_pass_ends_the_job_after_a_day(settings: Settings, store: JobStore) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "down")

    job = submit(store, settings)
    worker = runner(settings, store, work)
    pauses = []
    for _ in range(4):
        assert worker.run(job.id)
        kept = store.redis.hgetall(f"{store.prefix}job:{job.id}")
        pauses.append(round(float(kept["not_before"]) - float(kept["updated_at"])))
        pass_pause(store, job)
    assert pauses == [5, 10, 20, 40]
    pass_pause(store, job, settings.fault_patience_seconds)
    assert worker.run(job.id)
    record = get(store, job)
    assert record.error is not None
    assert (record.state, record.error.code) == (JobState.FAILED, ErrorCode.STORAGE_UNAVAILABLE)


class FlakyStorage(LocalStorage):
    """A folder that cannot be reached while `is_down`."""

    is_down = False
    refused = 0

    def size(self, key: str) -> int | None:
        self._check()
        return super().size(key)

    def writer(self, key: str) -> LocalWriter:
        self._check()
        return super().writer(key)

    def _check(self) -> None:
        if self.is_down:
            self.refused += 1
            raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "down")


def wait_renewed(store: JobStore, job: JobRecord, seconds: float) -> None:
    """Wait until the job is held for longer than its lease would last without a renewal."""
    end = get(store, job).lease_until
    assert end is not None
    wait_for(lambda: (get(store, job).lease_until or 0.0) > end + seconds)


def test_a_computed_result_waits_for_the_storage(settings: Settings, store: JobStore) -> None:
    storage = FlakyStorage(settings.data_dir)
    runs: list[int] = []

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        runs.append(1)
        storage.is_down = True
        return Answer()

    job = submit(store, settings)
    worker = JobRunner(settings, store, storage, OnePipeline(settings, work))
    thread = threading.Thread(target=worker.run, args=(job.id,))
    thread.start()
    wait_for(lambda: storage.is_down)
    wait_renewed(store, job, settings.lease_seconds)
    assert get(store, job).state.is_running
    storage.is_down = False
    thread.join()
    assert (get(store, job).state, get(store, job).attempt, runs) == (JobState.SUCCEEDED, 1, [1])


def test_an_unhealthy_worker_takes_no_jobs_until_it_is_healthy(settings: Settings, store: JobStore) -> None:
    storage = FlakyStorage(settings.data_dir)

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        if storage.is_down:
            raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "down")
        return Answer()

    patient, first, second = patient_pair(settings, store)
    worker = JobRunner(patient, store, storage, OnePipeline(settings, work))
    storage.is_down = True
    worker.run(first.id)
    thread = threading.Thread(target=worker.run, args=(second.id,))
    thread.start()
    refused = storage.refused
    wait_for(lambda: storage.refused >= refused + 2)
    assert (get(store, second).state, get(store, second).attempt) == (JobState.QUEUED, 0)
    storage.is_down = False
    thread.join()
    assert get(store, second).state is JobState.SUCCEEDED


def patient_pair(settings: Settings, store: JobStore) -> tuple[Settings, JobRecord, JobRecord]:
    """Two jobs; the pause of the first outlasts the test, so that the second one's turn comes."""
    patient = settings.model_copy(update={"fault_pause_seconds": 600.0, "fault_pause_max_seconds": 600.0})
    return patient, submit(store, settings), submit(store, settings)


def test_a_worker_with_a_full_disk_takes_no_jobs_until_there_is_room(
    settings: Settings, store: JobStore
) -> None:
    patient, first, second = patient_pair(settings, store)

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        FeatureFile((64,), settings.features_dir).append(np.zeros((64, 64), np.float32))
        return Answer()

    with small_volume(settings.features_dir, 2) as folder:
        worker, ballast = runner(patient, store, work), fill(folder)
        assert worker.run(first.id)
        # The pause after a job's fault is over, and the disk is still full.
        worker.health._next_check = 0.0
        worker.health.look()
        assert worker.health.fault is not None
        assert worker.health.fault.code is ErrorCode.STORAGE_FULL
        ballast.unlink()
        assert worker.run(second.id)
        assert get(store, second).state is JobState.SUCCEEDED
        assert worker.health.fault is None
        assert list(folder.iterdir()) == []


class ReadOnlyStorage(LocalStorage):
    """A folder whose files can be read only."""

    def writer(self, key: str) -> LocalWriter:
        raise SentilocError(ErrorCode.STORAGE_UNAVAILABLE, f"no writing of {key.partition('/')[0]}")


def test_a_worker_that_can_only_read_the_storage_takes_no_jobs(settings: Settings, store: JobStore) -> None:
    storage = ReadOnlyStorage(settings.data_dir)
    health = Health(storage, OnePipeline(settings, lambda *_: Answer()), settings.features_dir)
    health.suspect(SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "down"))
    health._next_check = 0.0
    health.look()
    assert health.fault is not None
    assert health.fault.detail == "no writing of results"


def test_a_worker_with_a_full_disk_hands_on_its_messages(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiloc.worker.jobs.health._HELD_SECONDS", 0.0)
    patient, first, second = patient_pair(settings, store)

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        raise SentilocError(ErrorCode.STORAGE_FULL, "full")

    worker = runner(patient, store, work)
    assert worker.run(first.id)
    other = WorkerPresence(name="other", seen_at=0.0, model="m", device="cpu", paused="storage_full: full")
    beat(store.redis, store.prefix, other)
    assert not worker._claims.can_others_work()
    beat(store.redis, store.prefix, replace(other, paused=None))
    assert not worker.run(second.id)
    assert (get(store, second).state, get(store, second).attempt) == (JobState.QUEUED, 0)


@pytest.mark.parametrize("model", ["m", ""])
def test_a_job_that_found_no_room_is_left_to_a_worker_that_takes_jobs(
    settings: Settings, store: JobStore, model: str
) -> None:
    job = replace(submit(store, settings), model=model, reel=None if model else "{}")
    claims = runner(settings, store, lambda *_: Answer())._claims
    other = WorkerPresence(name="other", seen_at=0.0, model="m", device="cpu", served=("m",))
    for paused in ("storage_full: full", None):
        beat(store.redis, store.prefix, replace(other, paused=paused))
        claims.leave(job)
        assert (job.id in claims._left) is (paused is None)


def test_a_worker_without_its_model_takes_no_jobs_and_stops_on_a_signal(
    settings: Settings, store: JobStore
) -> None:
    job = submit(store, settings)
    pipelines = OnePipeline(settings, lambda *_: Answer())
    pipelines.error = SentilocError(ErrorCode.MODEL_UNAVAILABLE, "no package")
    worker = JobRunner(settings, store, LocalStorage(settings.data_dir), pipelines)
    process.drain_after(0.5)
    try:
        assert not worker.run(job.id)
    finally:
        process._drain_at.value = 0.0
    assert (get(store, job).state, get(store, job).attempt) == (JobState.QUEUED, 0)
    pipelines.error = None
    assert worker.run(job.id)
    assert get(store, job).state is JobState.SUCCEEDED


def test_a_version_that_the_worker_lacks_is_no_passing_fault(settings: Settings, store: JobStore) -> None:
    pipeline = OnePipeline(settings, lambda *_: Answer())
    pipeline.version = "1"  # type: ignore[attr-defined]
    key = write_video(settings)
    asked = NewJob(
        source_key=key, source_name="a", source_bytes=5, model="m", options=JobOptions(model="m@2")
    )
    job = store.submit(asked)
    assert JobRunner(settings, store, LocalStorage(settings.data_dir), pipeline).run(job.id)
    assert get(store, job).state is JobState.FAILED


def test_a_version_that_another_worker_may_have_is_left_to_it(settings: Settings, store: JobStore) -> None:
    """While a package is being replaced, workers have different versions. The job ends if none has this one."""
    workers = []
    for version in ("1", "2"):
        pipeline = OnePipeline(settings, lambda *_: Answer())
        pipeline.version = version  # type: ignore[attr-defined]
        workers.append(JobRunner(settings, store, LocalStorage(settings.data_dir), pipeline))
    report(store, "other", "m")
    jobs = [
        store.submit(
            NewJob(
                source_key=write_video(settings),
                source_name="a",
                source_bytes=5,
                model="m",
                options=JobOptions(model=f"m@{version}"),
            )
        )
        for version in ("2", "3")
    ]
    for _ in range(2):
        assert workers[0].run(jobs[0].id)
    for job in jobs:
        assert get(store, job).state is JobState.QUEUED
        pass_pause(store, job)
    assert not workers[0].run(jobs[0].id)
    for _ in range(2):
        assert workers[1].run(jobs[0].id)
    assert get(store, jobs[0]).state is JobState.SUCCEEDED
    for worker in workers:
        worker._claims._left.clear()
        pass_pause(store, jobs[1])
        worker.run(jobs[1].id)
    assert get(store, jobs[1]).state is JobState.FAILED
    assert getattr(get(store, jobs[1]).error, "code", None) is ErrorCode.MODEL_UNAVAILABLE


def test_a_fault_of_the_video_is_not_left_to_other_workers(settings: Settings, store: JobStore) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        raise SentilocError(ErrorCode.CORRUPT_MEDIA, "broken")

    job = submit(store, settings)
    report(store, "other", "m")
    assert runner(settings, store, work).run(job.id)
    assert get(store, job).state is JobState.FAILED


def test_a_video_is_fetched_once_for_all_attempts(settings: Settings, store: JobStore) -> None:
    faults = [SentilocError(ErrorCode.STORAGE_UNAVAILABLE, "down")]

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        assert path.read_bytes() == b"hello"
        if faults:
            raise faults.pop()
        return Answer()

    with listening() as server:
        url, key = f"http://127.0.0.1:{server.port}/a.mp4", f"uploads/{secrets.token_urlsafe(16)}"
        job = store.submit(NewJob(source_key=key, source_name="a", source_bytes=0, model="m", source_url=url))
        worker = runner(settings.model_copy(update={"outbound_allow": ["127.0.0.0/8"]}), store, work)
        assert worker.run(job.id)
        assert (get(store, job).state, get(store, job).source_bytes) == (JobState.QUEUED, 5)
        pass_pause(store, job)
        assert worker.run(job.id)
        assert get(store, job).state is JobState.SUCCEEDED
        assert len(server.requests) == 1


def test_a_job_with_options_of_a_later_release_is_left_to_its_workers(
    settings: Settings, store: JobStore
) -> None:
    """During an upgrade. The options that are known are shown as ever."""
    job = submit(store, settings)
    later = {"threshold": 0.7, "tone": "warm", "webhook": {"url": "https://a.example/", "colour": "red"}}
    store.redis.hset(f"{store.prefix}job:{job.id}", "options", json.dumps(later))
    assert runner(settings, store, lambda *_: Answer()).run(job.id)
    record = get(store, job)
    assert (record.state, record.options.threshold, record.crashes) == (JobState.QUEUED, 0.7, 0)
    assert record.waiting is not None
    assert record.waiting.error.code is ErrorCode.MODEL_UNAVAILABLE
    assert "earlier release" in record.waiting.error.detail


def report(store: JobStore, name: str, *models: str) -> None:
    """A worker that is alive and can run these models."""
    beat(store.redis, store.prefix, WorkerPresence(name=name, seen_at=0.0, model="m", served=models))


def test_the_others_are_workers_that_can_run_the_model(settings: Settings, store: JobStore) -> None:
    report(store, new_owner(), "m")
    report(store, "other", "m")
    report(store, "unable", "n")
    others = runner(settings, store, lambda *_: Answer())._claims.others("m")
    assert [worker.name for worker in others] == ["other"]


def test_a_worker_hands_on_the_message_of_a_job_that_only_others_can_run(
    settings: Settings, store: JobStore
) -> None:
    job = submit(store, settings, model="large")
    unable, able = (runner(settings, store, lambda *_: Answer()) for _ in range(2))
    cast(OnePipeline, able._pipelines).models = ("large",)
    report(store, "unable", "m")
    report(store, "able", "large")
    assert not unable.run(job.id)
    assert (get(store, job).state, get(store, job).attempt) == (JobState.QUEUED, 0)
    assert able.run(job.id)
    assert (get(store, job).state, get(store, job).attempt) == (JobState.SUCCEEDED, 1)


def test_the_message_of_a_job_that_no_worker_can_run_is_dropped(settings: Settings, store: JobStore) -> None:
    """The reaper sends another as soon as a worker can."""
    job = submit(store, settings, model="large")
    report(store, "unable", "m")
    assert runner(settings, store, lambda *_: Answer()).run(job.id)
    assert (get(store, job).state, get(store, job).attempt) == (JobState.QUEUED, 0)


def test_a_message_that_comes_back_is_held_for_a_growing_time(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the able workers are busy. The worker takes its own jobs meanwhile."""
    job = submit(store, settings, model="large")
    report(store, "able", "large")
    worker, pauses = runner(settings, store, lambda *_: Answer()), [0.0]

    def pause(seconds: float) -> bool:
        pauses[-1] += seconds
        return True

    monkeypatch.setattr("sentiloc.worker.jobs.claiming.sleep_unless_draining", pause)
    for _ in range(10):
        assert not worker.run(job.id)
        pauses.append(0.0)
    assert pauses[:-1] == sorted(pauses[:-1])
    assert pauses[0] == 0.0
    assert pauses[-2] == 5.0
    own: list[JobRecord] = []

    def submit_meanwhile(_: float) -> bool:
        own.append(submit(store, settings))
        return True

    monkeypatch.setattr("sentiloc.worker.jobs.claiming.sleep_unless_draining", submit_meanwhile)
    assert worker.run(job.id)
    assert get(store, own[0]).state is JobState.SUCCEEDED
    # The next message is handed on at once.
    assert not worker.run(job.id)
    assert len(own) == 1


def test_a_job_that_a_worker_had_to_put_back_is_left_to_others(settings: Settings, store: JobStore) -> None:
    def fail(path: Path, tell: Callable[[str, float], None]) -> Answer:
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, "the device is lost")

    job = submit(store, settings)
    sick, well = runner(settings, store, fail), runner(settings, store, lambda *_: Answer())
    report(store, "well", "m")
    assert sick.run(job.id)
    pass_pause(store, job)
    assert not sick.run(job.id)
    assert get(store, job).attempt == 1
    assert well.run(job.id)
    assert get(store, job).state is JobState.SUCCEEDED


def test_a_missing_upload_is_recorded(settings: Settings, store: JobStore) -> None:
    job = submit(store, settings, with_file=False)
    runner(settings, store, work_until_stopped).run(job.id)
    error = get(store, job).error
    assert error is not None
    assert error.code is ErrorCode.SOURCE_MISSING


def test_a_redelivered_message_has_no_effect(settings: Settings, store: JobStore) -> None:
    """A job that outlasts the broker's visibility timeout is delivered to a second worker while the first has it."""
    again: list[bool] = []

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        again.append(runner(settings, store, work_until_stopped).run(job.id))
        return Answer()

    job = submit(store, settings)
    assert runner(settings, store, work).run(job.id)
    record = get(store, job)
    assert (again, record.state, record.attempt) == ([True], JobState.SUCCEEDED, 1)


def test_a_long_job_keeps_its_lease(settings: Settings, store: JobStore) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        wait_renewed(store, job, settings.lease_seconds)
        return Answer()

    job = submit(store, settings)
    runner(settings, store, work).run(job.id)
    assert get(store, job).state is JobState.SUCCEEDED


def test_progress_rises_to_one_and_no_further(settings: Settings, store: JobStore) -> None:
    claimed = claim(store, submit(store, settings).id, "w", 30.0)
    assert claimed is not None
    keeper = LeaseKeeper(store, claimed.lease, 30.0, limits=StallLimits.of(settings))
    seen = []
    for progress in (0.25, 0.5, 0.375, 7.0):
        keeper.report("extracting", progress)
        assert keeper._renew()
        seen.append(get(store, claimed).progress)
        keeper._written_at -= 60.0
    assert seen == [0.25, 0.5, 0.5, 1.0]


def test_cancelling_frees_the_worker(settings: Settings, store: JobStore) -> None:
    def work_for_ever(path: Path, report: Callable[[str, float], None]) -> Answer:
        while True:
            work_until_stopped(path, report)

    job = submit(store, settings)
    worker, is_done = runner(settings, store, work_for_ever), list[bool]()
    thread = threading.Thread(target=lambda: is_done.append(worker.run(job.id)), daemon=True)
    thread.start()
    wait_for(lambda: get(store, job).progress > 0)
    store.cancel(job.id)
    thread.join(timeout=PATIENCE)
    assert is_done == [True], "the message would be delivered again"
    assert get(store, job).state is JobState.CANCELLED
    assert results(settings) == []


def test_a_result_that_comes_too_late_is_thrown_away(settings: Settings, store: JobStore) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        store.cancel(job.id)
        return Answer()

    job = submit(store, settings)
    runner(settings, store, work).run(job.id)
    assert get(store, job).state is JobState.CANCELLED
    assert results(settings) == []


def test_a_job_that_is_deleted_while_it_runs_is_no_fault_of_the_worker(
    settings: Settings, store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        store.cancel(job.id)
        delete_with_files(store, LocalStorage(settings.data_dir), [job.id])
        return Answer()

    job = submit(store, settings)
    assert runner(settings, store, work).run(job.id)
    assert store.get(job.id) is None
    assert "unexpected" not in caplog.text
    assert list(settings.data_dir.rglob("*.*")) == []


@pytest.mark.parametrize("is_deleted", [True, False])
def test_the_video_of_a_job_that_is_cancelled_while_it_is_fetched_is_not_kept(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch, is_deleted: bool
) -> None:
    """The job ends when all bytes are there and the file is about to become visible."""
    commit = LocalWriter.commit

    def commit_late(writer: LocalWriter) -> None:
        store.cancel(job.id)
        if is_deleted:
            delete_with_files(store, LocalStorage(settings.data_dir), [job.id])
        commit(writer)

    allowing = settings.model_copy(update={"outbound_allow": ["127.0.0.0/8"]})
    with listening(ANSWER) as server:
        key, url = f"uploads/{secrets.token_urlsafe(16)}", f"http://127.0.0.1:{server.port}/a.mp4"
        job = store.submit(
            NewJob(source_key=key, source_name="a.mp4", source_bytes=0, source_url=url, model="m")
        )
        monkeypatch.setattr(LocalWriter, "commit", commit_late)
        assert runner(allowing, store, lambda *_: pytest.fail("it was localized")).run(job.id)
    assert LocalStorage(settings.data_dir).size(key) is None


def test_files_of_a_killed_attempt_are_deleted_after_the_next_success(
    settings: Settings, store: JobStore
) -> None:
    job = submit(store, settings)
    killed = claim(store, job.id, new_owner(), 1.5)
    assert killed is not None
    for key in (result_key(job.id, killed.attempt), partial_key(job.id, killed.attempt)):
        with LocalStorage(settings.data_dir).writer(key) as writer:
            writer.write(b"{}")
            writer.commit()
    store.release(killed.lease)
    runner(settings, store, lambda path, report: Answer()).run(job.id)
    record = get(store, job)
    assert (record.state, record.attempt) == (JobState.SUCCEEDED, 2)
    assert [path.name for path in results(settings)] == [f"{job.id}.2.json"]


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that is copied into a reel, which takes less time than encoding."""
    path = tmp_path_factory.mktemp("shot") / "shot.mp4"
    make_clip(path, seconds=1.0, size=(64, 48), options=(("bf", "0"),))
    return path.read_bytes()


def submit_reel(store: JobStore, settings: Settings, video: bytes) -> JobRecord:
    key = write_video(settings, video)
    clip = ReelClip(source=key, name="a.mp4", first=0, frames=25)
    plan = ReelPlan(title="a", rate="25/1", width=64, height=48, crossfade=0, captions=False, clips=(clip,))
    new = NewJob(source_key=key, source_name="a.mp4", source_bytes=5, model="", reel=plan.to_json())
    return store.submit(new)


def test_a_reel_that_comes_too_late_is_thrown_away(
    settings: Settings, store: JobStore, shot: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = LocalWriter.commit

    def commit_late(writer: LocalWriter) -> None:
        store.cancel(job.id)
        commit(writer)

    job = submit_reel(store, settings, shot)
    monkeypatch.setattr(LocalWriter, "commit", commit_late)
    assert runner(settings, store, lambda *_: Answer()).run(job.id)
    assert get(store, job).state is JobState.CANCELLED
    assert LocalStorage(settings.data_dir).size(reel_key(job.id, 1)) is None


def test_the_reel_of_a_killed_attempt_is_deleted_after_the_next_success(
    settings: Settings, store: JobStore, shot: bytes
) -> None:
    storage, job = LocalStorage(settings.data_dir), submit_reel(store, settings, shot)
    killed = claim(store, job.id, new_owner(), 1.5)
    assert killed is not None
    with storage.writer(reel_key(job.id, killed.attempt)) as writer:
        writer.write(b"reel")
        writer.commit()
    store.release(killed.lease)
    assert runner(settings, store, lambda *_: Answer()).run(job.id)
    assert get(store, job).result_key == reel_key(job.id, 2)
    assert [storage.size(reel_key(job.id, attempt)) is not None for attempt in (1, 2)] == [False, True]


@pytest.mark.parametrize("fault", [None, SentilocError(ErrorCode.CORRUPT_MEDIA, "broken"), ValueError("bug")])
def test_a_job_whose_end_cannot_be_recorded_is_given_back(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch, fault: Exception | None
) -> None:
    """Redis is away for longer than the worker repeats a write. That is no crash, and the message is not lost."""
    monkeypatch.setattr("sentiloc.worker.jobs.runner._REDIS_SECONDS", 0.05)

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        store.redis.client_pause(500, all=False)
        if fault is not None:
            raise fault
        return Answer()

    quick = settings.model_copy(update={"redis_timeout_seconds": 0.1, "lease_seconds": 0.001})
    job = submit(store, settings)
    assert not runner(quick, JobStore(connect(quick), settings.redis_prefix), work).run(job.id)
    record = get(store, job)
    assert (record.state, record.attempt, record.crashes) == (JobState.QUEUED, 1, 0)


def test_a_job_that_another_worker_took_during_an_outage_is_left_to_it(
    settings: Settings, store: JobStore
) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        assert store.expire(job.id, 3, dead_owner=get(store, job).owner or "") is JobState.QUEUED
        assert claim(store, job.id, "other", 30.0)
        raise RedisConnectionError

    job = submit(store, settings)
    assert runner(settings, store, work).run(job.id), "the message would be delivered again"
    record = get(store, job)
    assert (record.owner, record.attempt, record.state.is_running) == ("other", 2, True)


def test_a_stopping_worker_does_not_wait_for_redis(settings: Settings, store: JobStore) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        process.drain_after(0.0)
        raise RedisConnectionError

    job = submit(store, settings)
    try:
        with pytest.raises(RedisConnectionError):
            runner(settings, store, work).run(job.id)
    finally:
        process._drain_at.value = 0.0


def test_a_stopping_worker_gives_its_job_back(settings: Settings, store: JobStore) -> None:
    job = submit(store, settings)
    process.drain_after(0.3)
    try:
        assert not runner(settings, store, work_until_stopped).run(job.id)
    finally:
        process._drain_at.value = 0.0
    record = get(store, job)
    assert (record.state, record.crashes) == (JobState.QUEUED, 0)


def test_a_fault_that_a_stopping_worker_meets_is_recorded(settings: Settings, store: JobStore) -> None:
    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        process.drain_after(0.0)
        with pytest.raises(SentilocError, match="the worker is stopping"):
            work_until_stopped(path, report)
        raise SentilocError(ErrorCode.CORRUPT_MEDIA, "broken")

    job = submit(store, settings)
    try:
        assert runner(settings, store, work).run(job.id)
    finally:
        process._drain_at.value = 0.0
    assert get(store, job).state is JobState.FAILED


def test_a_dead_owner_is_known_and_a_living_one_is_not_robbed(settings: Settings, store: JobStore) -> None:
    assert not is_dead(new_owner())
    assert not is_dead("another-machine/1/1/1/1/x")
    script = "from sentiloc.worker.jobs.owner import new_owner; print(new_owner())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ}
    )
    dead = done.stdout.strip()
    assert is_dead(dead)
    living, orphaned = submit(store, settings), submit(store, settings)
    assert claim(store, living.id, new_owner(), 30.0)
    assert claim(store, orphaned.id, dead, 30.0)
    assert not take_from_dead_owner(store, LocalStorage(settings.data_dir), living.id, 3)
    runner(settings, store, lambda *_: Answer()).run(orphaned.id)
    record = get(store, orphaned)
    assert (record.state, record.attempt, record.crashes) == (JobState.SUCCEEDED, 2, 1)


def test_a_job_that_is_given_up_keeps_no_result(settings: Settings, store: JobStore) -> None:
    storage = LocalStorage(settings.data_dir)
    job = submit(store, settings)
    script = "from sentiloc.worker.jobs.owner import new_owner; print(new_owner())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert claim(store, job.id, done.stdout.strip(), 30.0)
    with storage.writer(result_key(job.id, 1)) as writer:
        writer.write(b"{}")
        writer.commit()
    assert not take_from_dead_owner(store, storage, job.id, max_attempts=1)
    assert get(store, job).state is JobState.FAILED
    assert storage.size(result_key(job.id, 1)) is None


def test_a_job_s_media_is_charged_and_ends_its_key_s_quota(settings: Settings, store: JobStore) -> None:
    keys = KeyStore(store.redis, settings.redis_prefix)
    key = keys.create("test", [Scope.WRITE], rate_per_minute=0, quota_minutes=1.0).key

    def submit_with_key() -> JobRecord:
        set_caller(key.caller)
        return submit(store, settings)

    first, second = (contextvars.copy_context().run(submit_with_key) for _ in range(2))
    work = runner(settings, store, lambda *_: Answer())
    assert work.run(first.id)
    assert keys.used_minutes(key.id) == 1.5
    assert work.run(second.id)
    failed = get(store, second)
    assert failed.error is not None and failed.error.code is ErrorCode.QUOTA_EXCEEDED
    counts = read_counts(store.redis, settings.redis_prefix)
    assert (counts.get("media_milliseconds"), counts.get("stage", "decoding", "0.25")) == (90_000, 1)
    assert (counts.get("jobs", "succeeded"), counts.get("jobs", "failed")) == (1, 1)


def test_a_part_of_a_video_is_processed_and_counted_alone(settings: Settings, store: JobStore) -> None:
    key, options = write_video(settings), JobOptions(time_range=TimeRange(start=60.0))
    job = store.submit(NewJob(source_key=key, source_name="a", source_bytes=5, model="m", options=options))
    pipeline = OnePipeline(settings, lambda path, report: Answer())
    assert JobRunner(settings, store, LocalStorage(settings.data_dir), pipeline).run(job.id)
    assert pipeline.part == (60.0, None)
    assert read_counts(store.redis, settings.redis_prefix).get("media_milliseconds") == 30_000


class Found(Answer):
    """A result with one segment."""

    segments = (Segment(start=0.2, end=0.8, label="positive", confidence=0.9, peak=0.5),)


def test_pictures_are_those_that_the_pipeline_kept(settings: Settings, store: JobStore) -> None:
    """The file is no video, so no decoder could make one."""

    def work(*_: object) -> Answer:
        assert pipeline.stills is not None
        pipeline.stills.add(0.0, 0.64, np.zeros((48, 64, 3), np.uint8))
        return Found()

    job, pipeline = submit(store, settings), OnePipeline(settings, work)
    assert JobRunner(settings, store, LocalStorage(settings.data_dir), pipeline).run(job.id)
    assert get(store, job).thumbnails == 1
    assert LocalStorage(settings.data_dir).read(thumbnail_key(job.id, 1, 0)).startswith(b"\xff\xd8")


def test_segments_get_their_pictures(settings: Settings, store: JobStore) -> None:
    job = submit(store, settings)
    make_clip(settings.data_dir / "clip.mp4", seconds=1.0)
    (settings.data_dir / "clip.mp4").replace(settings.data_dir / job.source_key)
    assert runner(settings, store, lambda *_: Found()).run(job.id)
    record = get(store, job)
    assert (record.state, record.thumbnails) == (JobState.SUCCEEDED, 1)
    assert LocalStorage(settings.data_dir).read(thumbnail_key(job.id, 1, 0)).startswith(b"\xff\xd8")


@pytest.mark.parametrize("shared", [False, True])
def test_features_are_kept_for_the_key_that_sent_the_video(
    settings: Settings, store: JobStore, shared: bool
) -> None:
    cache = ArrayCache(settings.data_dir / "features", 10**6, 1e6)
    found: list[bool] = []

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        found.append(cache.load("a" * 64) is not None)
        cache.store("a" * 64, {"row": np.zeros(3)})
        return Answer()

    worker = runner(settings.model_copy(update={"share_features": shared}), store, work)
    for owner in ("mine", "mine", "other"):
        key = write_video(settings)
        store.submit(NewJob(source_key=key, source_name="a", source_bytes=5, model="m", key_id=owner))
        assert worker.run("any")
    assert found == [False, True, shared]


def test_work_that_hangs_loses_its_lease_and_its_process(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, ended, release = submit(store, settings), threading.Event(), threading.Event()
    monkeypatch.setattr("sentiloc.worker.jobs.runner.end_hung_process", ended.set)

    def hang(path: Path, report: Callable[[str, float], None]) -> Answer:
        report("extracting", 0.5)
        while not release.wait(0.1):
            # A job that waits for a hanging decoder always reports the same progress.
            report("extracting", 0.5)
        return Answer()

    worker = runner(settings.model_copy(update={"stall_seconds": 2.0}), store, hang)
    thread = threading.Thread(target=worker.run, args=(job.id,))
    thread.start()
    try:
        wait_for(ended.is_set)
        wait_for(lambda: job.id in store.expired())
        assert store.expire(job.id, settings.max_attempts) is JobState.QUEUED
    finally:
        release.set()
        thread.join()
    assert runner(settings, store, lambda *_: Answer()).run(job.id)
    assert (get(store, job).state, get(store, job).attempt) == (JobState.SUCCEEDED, 2)


def test_a_worker_that_waits_for_redis_does_not_hang(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is silent for longer than work may be, just when the result is to be recorded."""
    ended = threading.Event()
    monkeypatch.setattr("sentiloc.worker.jobs.runner.end_hung_process", ended.set)
    # Any processor time counts, so that this waiting looks hung whatever else the machine does.
    stall = {"stall_busy_seconds": 2.0, "stall_cpu_seconds": 0.0}
    quick = settings.model_copy(update={**stall, "redis_timeout_seconds": 0.3, "lease_seconds": 30.0})

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        store.redis.client_pause(4000, all=False)
        return Answer()

    job = submit(store, settings)
    assert runner(quick, JobStore(connect(quick), settings.redis_prefix), work).run(job.id)
    record = get(store, job)
    assert (record.state, record.attempt, record.crashes) == (JobState.SUCCEEDED, 1, 0)
    assert not ended.is_set()


HUNG_ONCE = """
import sys
from tests.worker.test_runner import OnePipeline, Answer, runner
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.client import connect
from sentiloc.app.reels.plan import ReelClip, ReelPlan
from sentiloc.app.settings import Settings
from tests.support.jobs import claim

def spin(path, report):
    report("extracting", 0.5)
    while True:
        pass

settings = Settings.model_validate_json(sys.stdin.read())
runner(settings, JobStore(connect(settings), settings.redis_prefix), spin).run("any")
"""


def test_work_that_only_uses_the_processor_is_killed_and_retried(settings: Settings, store: JobStore) -> None:
    """The real process ends by the real signal. It never waits, so only its processor time tells that it hangs."""
    quick = {"stall_seconds": 1.0, "stall_busy_seconds": 2.0, "stall_cpu_seconds": 1.0}
    job, patient = submit(store, settings), settings.model_copy(update=quick)
    ended = subprocess.run(
        [sys.executable, "-c", HUNG_ONCE],
        input=patient.model_dump_json(exclude_none=True),
        text=True,
        cwd=ROOT,
        timeout=PATIENCE,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert "in spin" in ended.stderr
    assert runner(patient, store, lambda *_: Answer()).run(job.id)
    record = get(store, job)
    assert (record.state, record.attempt, record.crashes) == (JobState.SUCCEEDED, 2, 1)


def test_slow_steps_without_shown_progress_are_left_alone(
    settings: Settings, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video without a stated length shows no progress, but its steps count."""
    quick = {"stall_seconds": 2.0, "stall_busy_seconds": 2.0, "stall_cpu_seconds": 0.3}
    monkeypatch.setattr("sentiloc.worker.jobs.runner.end_hung_process", lambda: None)

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        until = time.monotonic() + 6
        while time.monotonic() < until:
            count_step()
            report("extracting", 0.0)
        return Answer()

    job = submit(store, settings)
    assert runner(settings.model_copy(update=quick), store, work).run(job.id)
    assert (get(store, job).state, get(store, job).attempt) == (JobState.SUCCEEDED, 1)


def test_a_running_job_writes_to_redis_every_other_second(settings: Settings, store: JobStore) -> None:
    patient = settings.model_copy(update={"lease_seconds": 30.0})
    job = submit(store, patient)

    def writes() -> int:
        return int(store.redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])

    counts: list[tuple[float, int]] = []

    def work(path: Path, report: Callable[[str, float], None]) -> Answer:
        report("extracting", 0.0)
        wait_for(lambda: get(store, job).stage == "extracting")
        begun = time.monotonic()
        while time.monotonic() < begun + 3.0:  # it writes more often at first
            report("extracting", (time.monotonic() - begun) / 100)
            time.sleep(0.02)
        counts.append((time.monotonic(), writes()))
        until = time.monotonic() + 4.5
        while time.monotonic() < until:
            report("extracting", 0.9 - (until - time.monotonic()) / 10)
            time.sleep(0.02)
        counts.append((time.monotonic(), writes()))
        return Answer()

    assert runner(patient, store, work).run(job.id)
    seconds, written = (after - before for before, after in zip(*counts, strict=True))
    assert 1 <= written <= seconds / 2 + 1
    assert any(0 < float(fields["progress"]) < 1 for _, fields in store.events(job.id))


def submit_url(store: JobStore, settings: Settings, port: int, owner: str) -> JobRecord:
    key = f"uploads/{secrets.token_urlsafe(16)}"
    url = f"http://127.0.0.1:{port}/a.mp4"
    new = NewJob(source_key=key, source_name="a", source_bytes=0, source_url=url, model="m", key_id=owner)
    return store.submit(new)


FETCHED = b"HTTP/1.1 200 OK\r\n\r\nvideo"


def test_a_fetched_video_and_its_result_count_among_the_bytes_of_the_key(
    settings: Settings, store: JobStore
) -> None:
    changed = settings.model_copy(
        update={"outbound_allow": ["127.0.0.0/8"], "max_stored_bytes_per_key": 10**6}
    )
    make_clip(settings.data_dir / "clip.mp4", seconds=1.0)
    data = (settings.data_dir / "clip.mp4").read_bytes()
    with listening(FETCHED.replace(b"video", data)) as server:
        job = submit_url(store, changed, server.port, "a")
        assert runner(changed, store, lambda *_: Found()).run(job.id)
    assert get(store, job).thumbnails == 1
    files = [path for name in ("uploads", "results") for path in (settings.data_dir / name).iterdir()]
    assert len(files) == 3
    stored = held_bytes(store.redis, store.prefix, "a").stored
    assert stored == sum(path.stat().st_size for path in files)


def test_a_video_for_which_its_key_has_no_room_is_not_kept(settings: Settings, store: JobStore) -> None:
    changed = settings.model_copy(update={"outbound_allow": ["127.0.0.0/8"], "max_stored_bytes_per_key": 12})
    with listening(FETCHED) as server:
        jobs = [submit_url(store, changed, server.port, "a") for _ in range(3)]
        worker = runner(changed, store, lambda *_: Answer())
        assert worker.run(jobs[0].id)
        store.hold(jobs[0].id, "result", 5)
        assert worker.run(jobs[1].id)
        store.hold(jobs[0].id, "result", 7)
        assert worker.run(jobs[2].id)
        # The last one is refused before it is fetched.
        assert server.connections == 2
    assert get(store, jobs[0]).state is JobState.SUCCEEDED
    for job in jobs[1:]:
        error = get(store, job).error
        assert error is not None and error.code is ErrorCode.STORAGE_QUOTA_EXCEEDED
    assert len(list((settings.data_dir / "uploads").iterdir())) == 1
    assert held_bytes(store.redis, store.prefix, "a").stored == 12


def test_a_video_that_a_killed_attempt_has_fetched_is_counted(settings: Settings, store: JobStore) -> None:
    job = submit_url(store, settings, 1, "a")
    with LocalStorage(settings.data_dir).writer(job.source_key) as writer:
        writer.write(b"video")
        writer.commit()
    assert runner(settings, store, lambda *_: Answer()).run(job.id)
    assert get(store, job).source_bytes == 5
    assert held_bytes(store.redis, store.prefix, "a").stored >= 5
