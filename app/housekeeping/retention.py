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

from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.failures import Failures
from sentiloc.app.storage.local import (
    RETRY_SECONDS,
    Storage,
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

    def _end_video(self, job_id: str) -> None:
        record = self._store.get(job_id)
        if record is not None:
            self._storage.delete(record.source_key)

    def index_older_jobs(self) -> None:
        """Add expiry dates to jobs that ended under a version without retention."""
        jobs = self._store.redis.zscan_iter(f"{self._store.prefix}jobs")
        for batch in iter(lambda: [job_id for job_id, _ in islice(jobs, _BATCH)], []):
            for record in self._store.get_many(batch):
                if record is not None and not record.has_expiry:
                    self._index(record)

    def _index(self, record: JobRecord) -> None:
        for what, seconds in keep_seconds(self._settings).items():
            if seconds and record.finished_at is not None:
                self._store.keep_until(record.id, what, record.finished_at + seconds)

    def delete_orphans(self, seconds: float) -> None:
        """Delete results that no record names: those of lost attempts and of deleted jobs."""
        self._delete_within_bound("results", seconds, self._is_orphan)

    def delete_orphaned_videos(self, seconds: float) -> None:
        """Delete videos that belong to no job and no upload."""
        self._delete_within_bound("uploads", seconds, self._is_orphaned_video)

    def _delete_within_bound(self, folder: str, seconds: float, is_orphan: Callable[[str], bool]) -> None:
        """Delete orphans of a folder, unless there are so many that the settings must be wrong.

        One that cannot be deleted stops no other. Raises the first `storage_unavailable` at the end.
        """
        keys = list(self._storage.older_than(folder, seconds))
        orphans = [key for key in keys if is_orphan(key)]
        # Redis knows of these, so it has lost nothing, and a client can make any number of them.
        ended = {key for key in orphans if is_incoming(key) and self._upload_state(key) is not None}
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

    def _is_orphaned_video(self, key: str) -> bool:
        owner = source_owner(key)
        if owner is None:
            return False
        state = self._upload_state(key)
        if is_incoming(key):
            # A presigned form may still be writing to an open upload.
            return state != UploadState.OPEN
        return state is None and self._store.get(owner) is None

    def _upload_state(self, key: str) -> str | None:
        """The state of the upload that a video's key names; None if Redis does not know it."""
        upload = upload_key(self._store.prefix, source_owner(key) or "")
        return cast("str | None", self._store.redis.hget(upload, "state"))

    def _is_orphan(self, key: str) -> bool:
        found = _RESULT.fullmatch(key)
        if found is None:
            return False
        record = self._store.get(found[1])
        if record is None:
            return True
        # The files of a running job may exist before its record names them.
        kept = record.result_key and record.result_key.rpartition(".")[0]
        return record.state.is_terminal and kept != f"results/{record.id}.{found[2]}"

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
