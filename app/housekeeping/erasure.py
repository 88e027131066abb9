"""Deletes everything that belongs to one owner: the jobs of an API key (or those without a key) and all their data.

A worker that runs one of the jobs stops at its next check and discards its work. Cached features are on the workers'
machines; a set of forgotten owners tells workers to delete them. Every step may be repeated, so an interrupted erasure
is simply started again.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from redis import Redis

from sentiloc.app.access.daily import anonymize_days
from sentiloc.app.access.sessions import end_sessions
from sentiloc.app.access.usage import forget_earlier_months
from sentiloc.app.batches.store import BatchStore, batch_key
from sentiloc.app.housekeeping.retention import delete_ended
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.options import Priority
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.failures import Failures
from sentiloc.app.uploads.record import upload_key
from sentiloc.app.uploads.store import UploadStore
from sentiloc.app.webhooks.endpoints import EndpointStore

KEPT = (
    "the API key itself, which still works",
    "its minutes of the present month, because its quota counts them; they are deleted 400 days later",
    "the counts of its jobs by day, added to those of all erased owners, for the operator's totals",
    "the audit log, which holds ids and no content",
    "in Redis for a minute: answers for requests that are sent again",
    "in Redis for a day: the ids of uploads that ended before, each with the key's id and without its name",
)
_PAGE = 200
RecordKey = Callable[[str, str], str]
"""Makes the Redis key of a record from the prefix of all keys and an id."""
_KINDS: tuple[tuple[str, RecordKey], ...] = (
    ("jobs", job_key),
    ("uploads", upload_key),
    ("batches", batch_key),
)
# Workers that were off for less than this still learn which features they must delete.
_FORGOTTEN_SECONDS = 400 * 86_400
# Folders of features without an owner: those that keys share, and those of jobs without a key.
_SHARED_FEATURES = re.compile(r"[0-9a-f]{64}\.arrays")
FEATURES_OF = "of-"
"""Prefix of the name of the folder in which a worker keeps the features of one owner."""


@dataclass(slots=True)
class Receipt:
    """What was deleted of the API key `owner`; None: of no key. `complete` is False before the end: erase again.

    `feature_entries` counts those on this machine; workers elsewhere delete theirs within a minute.
    """

    owner: str | None
    at: str = ""
    complete: bool = False
    jobs: int = 0
    results: int = 0
    thumbnails: int = 0
    feedback: int = 0
    uploads: int = 0
    batches: int = 0
    webhooks: int = 0
    sessions: int = 0
    feature_entries: int = 0
    idempotency_keys: int = 0
    usage_days: int = 0
    usage_months: int = 0
    kept: tuple[str, ...] = KEPT

    def to_dict(self) -> dict[str, object]:
        """The receipt as JSON."""
        return asdict(self)

    @property
    def event(self) -> str:
        """The name of this attempt in the audit log."""
        return "erased an owner's data" if self.complete else "tried to erase an owner's data"


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases owners.

    Raises `redis.RedisError`, and `storage_unavailable` if something could not be deleted. The rest is deleted all the
    same, unless the storage is down. In either case call it again.
    """

    store: JobStore
    storage: Storage
    uploads: UploadStore
    batches: BatchStore
    endpoints: EndpointStore
    features_dir: Path

    def erase(self, receipt: Receipt, seconds: float = 60.0) -> None:
        """Delete what belongs to the receipt's owner, and count it in the receipt, even on failure. Stops after
        `seconds`.
        """
        owner = receipt.owner
        until = time.monotonic() + seconds
        # What cannot be deleted stays in its index; it does not stop the rest.
        failures = Failures()
        steps = (
            self._jobs(owner, receipt, failures),
            self._uploads(owner, receipt, failures),
            self._batches(owner, receipt),
        )
        for step in steps:
            for _ in step:
                if time.monotonic() > until:
                    break
        self._webhooks(owner, receipt)
        self._features(owner, receipt)
        self._usage(owner or "", receipt)
        failures.raise_first()
        # Looked up again: jobs may have been created while the erasure ran.
        left = (self._entries(name, owner, key) for name, key in _KINDS)
        receipt.complete = all(entry is None for entries in left for entry in entries)
        receipt.at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if receipt.complete:
            # Last: a person who has to call again must still be signed in.
            receipt.sessions = end_sessions(self._redis, self._prefix, owner) if owner else 0
            turns = [f"{part}{priority} {owner or ''}" for priority in Priority for part in ("", "owed ")]
            self._redis.hdel(f"{self._prefix}turns", *turns)

    def _jobs(self, owner: str | None, receipt: Receipt, failures: Failures) -> Iterator[None]:
        for job_id in self._jobs_of_key(owner, failures) if owner else self._unowned("jobs", job_key):
            if failures.are_hopeless:
                return
            if job_id is not None:
                self._job(job_id, owner, receipt, failures)
            yield

    def _jobs_of_key(self, owner: str, failures: Failures) -> Iterator[str]:
        # Every job before the place `failures.count` has files that cannot be deleted. If one of them goes meanwhile, a
        # job may be missed. But then the erasure fails in any case, and is repeated.
        while job_ids := self._page("jobs", owner, failures.count, _PAGE):
            yield from job_ids

    def _job(self, job_id: str, owner: str | None, receipt: Receipt, failures: Failures) -> None:
        """Delete a job. If its files cannot be deleted, the job stays, too."""
        # A running job cannot be deleted, and its worker must not store a result afterwards.
        self.store.cancel(job_id)
        has_feedback = self._redis.exists(f"{self._prefix}feedback:{job_id}")
        has_key = self._has_key(job_key(self._prefix, job_id))
        earlier = failures.count
        gone = delete_ended(self.store, self.storage, [job_id], failures)
        if failures.count > earlier:
            return
        # The record of the upload has the job's id and still contains the file's name.
        self._redis.delete(upload_key(self._prefix, job_id))
        if not gone:
            # The record is already gone; only the index entry is left.
            self._redis.zrem(self._index("jobs", owner), job_id)
        for record in gone:
            receipt.jobs += 1
            receipt.results += record.result_key is not None
            receipt.thumbnails += record.thumbnails
            receipt.feedback += bool(has_feedback)
            receipt.idempotency_keys += has_key

    def _uploads(self, owner: str | None, receipt: Receipt, failures: Failures) -> Iterator[None]:
        for upload_id in self._entries("uploads", owner, upload_key):
            if failures.are_hopeless:
                return
            if upload_id is not None:
                with failures.kept():
                    self._upload(upload_id, owner)
                    receipt.uploads += 1
            yield

    def _upload(self, upload_id: str, owner: str | None) -> None:
        upload = self.uploads.find(upload_id)
        if upload is not None:
            self.uploads.end(upload)
        # The record would otherwise be kept for a day.
        self._redis.delete(upload_key(self._prefix, upload_id))
        self._redis.zrem(self._index("uploads", owner), upload_id)

    def _batches(self, owner: str | None, receipt: Receipt) -> Iterator[None]:
        for batch_id in self._entries("batches", owner, batch_key):
            if batch_id is None:
                yield
                continue
            record = self.batches.get(batch_id)
            if record is not None:
                receipt.idempotency_keys += self._has_key(batch_key(self._prefix, batch_id))
                self.batches.forget(record)
            self._redis.zrem(self._index("batches", owner), batch_id)
            receipt.batches += 1
            yield

    def _has_key(self, record: str) -> bool:
        """True if an idempotency key is kept for this job or batch."""
        name = cast("str | None", self._redis.hget(record, "idempotency"))
        return bool(name and self._redis.exists(f"{self._prefix}{name}"))

    def _usage(self, owner: str, receipt: Receipt) -> None:
        receipt.usage_days = anonymize_days(self._redis, self._prefix, owner)
        receipt.usage_months = forget_earlier_months(self._redis, self._prefix, owner)

    def _webhooks(self, owner: str | None, receipt: Receipt) -> None:
        # Webhooks without a key are stored under the empty key id.
        for endpoint in self.endpoints.of_key(owner or ""):
            self.endpoints.delete(endpoint)
            receipt.webhooks += 1

    def _features(self, owner: str | None, receipt: Receipt) -> None:
        shared = [path for path in self.features_dir.glob("*") if _SHARED_FEATURES.fullmatch(path.name)]
        for path in shared:
            # A worker deletes what cannot be deleted here.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        receipt.feature_entries = len(shared)
        if owner:
            folder = self.features_dir / f"{FEATURES_OF}{owner}"
            receipt.feature_entries += len(list(folder.glob("*")))
            # A worker may be writing there; it deletes the rest when it reads the set below.
            shutil.rmtree(folder, ignore_errors=True)
        # Redis's clock, because all workers compare with it.
        now = self._redis.time()[0]
        self._redis.zadd(forgotten_key(self._prefix), {owner or "": now})
        self._redis.zremrangebyscore(forgotten_key(self._prefix), "-inf", now - _FORGOTTEN_SECONDS)

    def _entries(self, name: str, owner: str | None, key: RecordKey) -> Iterator[str | None]:
        """The ids in an index that belong to the owner. Without an owner, a None follows each page, so that a long walk
        can be interrupted.
        """
        return iter(self._page(name, owner, 0, 0)) if owner else self._unowned(name, key)

    def _page(self, name: str, owner: str, begin: int, count: int) -> list[str]:
        """`count` ids of a key from the position `begin`, oldest first; a count of 0 means all."""
        return cast("list[str]", self._redis.zrange(self._index(name, owner), begin, begin + count - 1))

    def _unowned(self, name: str, key: RecordKey) -> Iterator[str | None]:
        """The ids in the index of all keys that belong to no key or have no record, with a None after each page.

        Walks backwards: a deletion then shifts only positions that were read before.
        """
        place = int(self._redis.zcard(self._index(name, None)))
        while place > 0:
            first = max(0, place - _PAGE)
            ids = cast("list[str]", self._redis.zrange(self._index(name, None), first, place - 1))
            pipe = self._redis.pipeline(transaction=False)
            for entry in ids:
                pipe.hget(key(self._prefix, entry), "key_id")
            yield from (entry for entry, owner in zip(ids, pipe.execute(), strict=True) if not owner)
            yield None
            place = first

    def _index(self, name: str, owner: str | None) -> str:
        return f"{self._prefix}{name}:{owner}" if owner else f"{self._prefix}{name}"

    @property
    def _redis(self) -> Redis:
        return self.store.redis

    @property
    def _prefix(self) -> str:
        return self.store.prefix


def forgotten_key(prefix: str) -> str:
    """The Redis key of the owners whose features are to be deleted, by the time of their erasure."""
    return f"{prefix}forgotten"
