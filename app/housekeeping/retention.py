"""Retention: when the videos, results and records of finished jobs are deleted, and files without a job.

When a job ends, the job scripts write the expiry dates of its parts into its record. They read the retention times from
Redis, where `publish_times` puts them. So the dates that a job shows stay valid when the settings change.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import Any, cast

from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import RETRY_SECONDS, Storage
from sentiloc.app.storage.failures import Failures
from sentiloc.app.storage.keys import (
    is_incoming,
    partial_key,
    reel_key,
    result_key,
    source_owner,
    thumbnail_key,
)
from sentiloc.app.telemetry.audit import AuditLog
from sentiloc.app.uploads.record import UploadState, upload_key
from sentiloc.model.errors import SentilocError

logger = logging.getLogger(__name__)

# A sweep must not block a process for long. What is left is deleted by the next one.
_BATCH = 200
_CHUNK = 100
_PARTS = ("uploads", "results", "records")
_RESULT = re.compile(r"results/([A-Za-z0-9_-]+)\.(\d+)\..+")


def keep_seconds(settings: Settings) -> dict[str, float]:
    """Seconds that each part is kept after a job's end; 0 means forever. No part outlives the record."""
    records = settings.keep_records_seconds

    def at_most(seconds: float) -> float:
        # 0 means forever, so it must not win against a real limit.
        return min((value for value in (seconds, records) if value), default=0.0)

    return {
        "uploads": at_most(settings.keep_uploads_seconds),
        "results": at_most(settings.keep_results_seconds),
        "records": records,
    }


def delete_with_files(store: JobStore, storage: Storage, job_ids: Sequence[str]) -> list[JobRecord]:
    """The same as `delete_ended`, but raises the first failure after the other jobs are deleted; then call it again."""
    failures = Failures()
    gone = delete_ended(store, storage, job_ids, failures)
    failures.raise_first()
    return gone


def delete_ended(
    store: JobStore, storage: Storage, job_ids: Sequence[str], failures: Failures
) -> list[JobRecord]:
    """Delete those of the jobs that have ended, with their files; returns their records. Raises `redis.RedisError`.

    The files go first, because nothing but the record says which files there are.
    """
    gone: list[JobRecord] = []
    # In parts: Redis answers other requests in between.
    starts = range(0, len(job_ids), _CHUNK)
    for start in takewhile(lambda _: not failures.are_hopeless, starts):
        without_files: list[str] = []
        records = store.get_many(job_ids[start : start + _CHUNK])
        for record in takewhile(lambda _: not failures.are_hopeless, records):
            if record is not None and record.state.is_terminal:
                with failures.kept():
                    delete_files(storage, record)
                    without_files.append(record.id)
        gone += [record for record in store.delete_many(without_files) if record is not None]
    return gone


def delete_files(storage: Storage, record: JobRecord) -> None:
    """Delete all files of a job."""
    storage.delete(record.source_key)
    delete_results(storage, record)


def delete_results(storage: Storage, record: JobRecord) -> None:
    """Delete the results of all attempts of a job, and its thumbnails."""
    # A killed attempt may have stored a result that no record names.
    for attempt in range(1, record.attempt + 1):
        storage.delete(result_key(record.id, attempt))
        if record.reel is not None:
            storage.delete(reel_key(record.id, attempt))
        storage.delete(partial_key(record.id, attempt))
    for index in range(record.thumbnails):
        storage.delete(thumbnail_key(record.id, record.attempt, index))


class Retention:
    """Deletes expired data. Every step may be repeated."""

    def __init__(self, settings: Settings, store: JobStore, storage: Storage) -> None:
        self._settings = settings
        self._store = store
        self._storage = storage
        self._audit = AuditLog(settings.audit_log)

    def publish_times(self) -> None:
        """Put the retention times into Redis, for the scripts that end jobs."""
        times = {what: repr(float(seconds)) for what, seconds in keep_seconds(self._settings).items()}
        self._store.redis.hset(f"{self._store.prefix}retention", mapping=cast("dict[Any, Any]", times))

    def sweep(self) -> None:
        """Delete expired data, at most one batch of each kind.

        What cannot be deleted is tried again later. It stops nothing else, unless the storage is down. Raises the first
        `storage_unavailable` at the end.
        """
        failures = Failures()
        steps = {"records": self._end_record, "results": self._end_results, "uploads": self._end_video}
        for what, end in steps.items():
            for job_id in takewhile(lambda _: not failures.are_hopeless, self._due(what)):
                with failures.kept():
                    self._end(what, job_id, end)
        failures.raise_first()

    def _end(self, what: str, job_id: str, end: Callable[[str], None]) -> None:
        try:
            end(job_id)
        except SentilocError:
            self._postpone(what, job_id)
            raise
        self._done(what, job_id)

    def _end_record(self, job_id: str) -> None:
        if delete_with_files(self._store, self._storage, [job_id]):
            logger.info("job %s has expired", job_id)
            self._audit.write("retention", "deleted an expired job", job_id=job_id)

    def _end_results(self, job_id: str) -> None:
        record = self._store.get(job_id)
        if record is not None:
            delete_results(self._storage, record)
            self._store.hold(job_id, "result", 0)

    def _end_video(self, job_id: str) -> None:
        record = self._store.get(job_id)
        if record is not None:
            self._storage.delete(record.source_key)
            self._store.hold(job_id, "video", 0)

    def index_older_jobs(self) -> None:
        """Add expiry dates to jobs that ended under a version without retention."""
        if not any(keep_seconds(self._settings).values()):
            return
        jobs = self._store.redis.zscan_iter(f"{self._store.prefix}jobs", count=_BATCH)
        for batch in iter(lambda: [job_id for job_id, _ in islice(jobs, _BATCH)], []):
            # The whole record only of the few without a date: parsing those of all jobs would take seconds.
            for record in self._store.get_many(self._without_dates(batch)):
                if record is not None and not record.has_expiry:
                    self._index(record)

    def _without_dates(self, job_ids: Sequence[str]) -> list[str]:
        pipe = self._store.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hmget(job_key(self._store.prefix, job_id), [f"{what}_until" for what in _PARTS])
        return [job_id for job_id, dates in zip(job_ids, pipe.execute(), strict=True) if not any(dates)]

    def _index(self, record: JobRecord) -> None:
        for what, seconds in keep_seconds(self._settings).items():
            if seconds and record.finished_at is not None:
                self._store.keep_until(record.id, what, record.finished_at + seconds)

    def delete_orphans(self, seconds: float) -> None:
        """Delete results that no record names: those of lost attempts and of deleted jobs."""
        self._delete_within_bound("results", seconds, self._orphaned_results)

    def delete_orphaned_videos(self, seconds: float) -> None:
        """Delete videos that belong to no job and no upload."""
        self._delete_within_bound("uploads", seconds, self._orphaned_videos)

    def _delete_within_bound(
        self, folder: str, seconds: float, orphans_among: Callable[[Sequence[str]], list[str]]
    ) -> None:
        """Delete orphans of a folder, unless there are so many that the settings must be wrong.

        One that cannot be deleted stops no other. Raises the first `storage_unavailable` at the end.
        """
        keys = list(self._storage.older_than(folder, seconds))
        parts = (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH))
        orphans = [key for part in parts for key in orphans_among(part)]
        # These do not count towards the bound: Redis has records of them, and a client can create any number of them.
        ended = {key for key in orphans if source_owner(key) and self._upload_state(key) is not None}
        doubtful = len(orphans) - len(ended)
        # Both conditions: a few orphans may be the majority of a young service, and many may be a small
        # share of a large one.
        if doubtful > self._settings.max_orphans and 2 * doubtful > len(keys):
            logger.error(
                "%d of %d files in %s/ belong to no job of this service. They stay: either the storage is "
                "another service's, or Redis has lost its records. If they may go, raise SENTILOC_MAX_ORPHANS",
                *(doubtful, len(keys), folder),
            )
            orphans = sorted(ended)
        failures = Failures()
        for key in takewhile(lambda _: not failures.are_hopeless, orphans):
            with failures.kept():
                self._storage.delete(key)
                logger.warning("deleted %s, which belonged to no job", key)
        failures.raise_first()

    def _orphaned_videos(self, keys: Sequence[str]) -> list[str]:
        prefix, pipe = self._store.prefix, self._store.redis.pipeline(transaction=False)
        owned = [(key, owner) for key in keys if (owner := source_owner(key)) is not None]
        for _, owner in owned:
            pipe.hget(upload_key(prefix, owner), "state")
            pipe.exists(job_key(prefix, owner))
        answers = pipe.execute()
        return [
            key
            for (key, _), state, has_job in zip(owned, answers[::2], answers[1::2], strict=True)
            if _is_orphaned_video(key, state, has_job=bool(has_job))
        ]

    def _upload_state(self, key: str) -> str | None:
        """The state of the upload that a video's key names; None if Redis has no record of it."""
        upload = upload_key(self._store.prefix, source_owner(key) or "")
        return cast("str | None", self._store.redis.hget(upload, "state"))

    def _orphaned_results(self, keys: Sequence[str]) -> list[str]:
        pipe = self._store.redis.pipeline(transaction=False)
        named = [found for key in keys if (found := _RESULT.fullmatch(key)) is not None]
        for found in named:
            pipe.hmget(job_key(self._store.prefix, found[1]), ["state", "result_key"])
        return [
            found[0]
            for found, (state, kept) in zip(named, pipe.execute(), strict=True)
            if state is None or (JobState(state).is_terminal and not _is_named(found, kept or ""))
        ]

    def _due(self, what: str) -> list[str]:
        return cast(
            "list[str]",
            self._store.redis.zrangebyscore(self._index_of(what), "-inf", self._now(), start=0, num=_BATCH),
        )

    def _postpone(self, what: str, job_id: str) -> None:
        self._store.redis.zadd(self._index_of(what), {job_id: self._now() + RETRY_SECONDS}, xx=True)

    def _done(self, what: str, job_id: str) -> None:
        self._store.redis.zrem(self._index_of(what), job_id)

    def _index_of(self, what: str) -> str:
        return f"{self._store.prefix}kept:{what}"

    def _now(self) -> float:
        seconds, micros = self._store.redis.time()
        return float(seconds + micros / 1e6)


def _is_orphaned_video(key: str, state: str | None, *, has_job: bool) -> bool:
    """Whether a video belongs to no job and no upload. `state` is that of its upload; None if Redis knows none."""
    if is_incoming(key):
        # A presigned form may still be writing to an open upload.
        return state != UploadState.OPEN
    # A process that was killed while it moved a video may leave it to an upload that was ended meanwhile, or whose job
    # was deleted.
    return state not in (UploadState.OPEN, UploadState.COMPLETE) and not has_job


def _is_named(file: re.Match[str], kept: str) -> bool:
    """Whether a file belongs to the attempt whose result the record names. A running job may have files before it has a
    result.
    """
    is_provisional = file[0] == partial_key(file[1], int(file[2]))
    return not is_provisional and kept.rpartition(".")[0] == f"results/{file[1]}.{file[2]}"
