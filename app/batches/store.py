"""Batches in Redis. One script records a batch with all of its jobs, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from redis import Redis

from sentiloc.app.access.caller import current_caller
from sentiloc.app.access.idempotency_keys import batch_request_key
from sentiloc.app.batches.record import BatchCounts, BatchRecord, NewBatch, read_batch, write_batch
from sentiloc.app.jobs.idempotency import IdempotencyKey, KeyReusedError
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.options import Priority
from sentiloc.app.jobs.presence import require_served
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.jobs.store import FIRST_BATCH_SEQUENCE, JobStore, QueueFullError
from sentiloc.app.redis.scripts import Scripts
from sentiloc.app.redis.shared_connection import pairs

# Jobs read in one round trip. Redis answers other clients between two chunks.
_CHUNK = 100
_LARGE_CHUNK = 1000
_KEY_FULL = ["key", "full"]
_REFUSED = {"used", "gone"}


class UploadTakenError(Exception):
    """An upload of the batch was ended, or became another job, while the batch was recorded."""

    def __init__(self, upload_id: str, is_gone: bool) -> None:
        super().__init__(upload_id)
        self.upload_id = upload_id
        self.is_gone = is_gone


class BatchStore:
    """All batches. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._redis: Redis = store.redis
        self._prefix = store.prefix
        self._scripts = Scripts(store.redis, "sentiloc.app.batches", store.prefix)

    def require_served(self, model: str) -> None:
        """Raise `ModelNotServed` for a model that no live worker can run."""
        require_served(self._redis, self._prefix, model)

    def submit(self, batch: NewBatch, max_queued: int) -> BatchRecord:
        """Record the batch and its jobs. May be repeated.

        If the same request was sent before with the same idempotency key, returns that batch, whose id differs.
        Raises `KeyReusedError` when the key came with another request, `UploadTakenError`, and `QueueFullError` when
        the API key would have more than `max_queued` queued jobs (0: any number).
        """
        key = batch.idempotency
        digest, seconds = ("", 0) if key is None else (key.digest, key.seconds)
        # A script may only touch keys that are passed to it, as Redis Cluster requires.
        extra = [self._key(batch.id), self._members(batch.id), f"{self._prefix}batches"]
        if key is not None:
            extra.append(self._idempotency(key, batch.key_id))
        fields: list[str] = [json.dumps(_flat(part)) for part in (write_batch(batch), batch.shared)]
        priority = Priority.INTERACTIVE if batch.is_interactive else Priority.BATCH
        offset = 0 if batch.is_interactive else FIRST_BATCH_SEQUENCE
        fields += [json.dumps(batch.rows), json.dumps(batch.uploads)]
        argv: tuple[str | float, ...] = (digest, seconds, batch.id, offset, *fields, priority, max_queued)
        found = cast("list[str]", self._store.run("submit_many", batch.rows[0][0], *argv, extra=extra))
        if not found:
            raise KeyReusedError
        if found == _KEY_FULL:
            raise QueueFullError
        if found[0] in _REFUSED:
            raise UploadTakenError(found[1], found[0] == "gone")
        return read_batch(pairs(found))

    def seen(self, key: IdempotencyKey, key_id: str | None) -> BatchRecord | None:
        """The batch of this idempotency key, if any; raises `KeyReusedError` if the request was a different one."""
        kept = cast("str | None", self._redis.get(self._idempotency(key, key_id)))
        digest, _, batch_id = (kept or "").partition(" ")
        record = self.get(batch_id) if batch_id else None
        if record is not None and digest != key.digest:
            raise KeyReusedError
        return record

    def get(self, batch_id: str) -> BatchRecord | None:
        """One batch; None if there is none with this id."""
        fields = cast("dict[str, str]", self._redis.hgetall(self._key(batch_id)))
        return read_batch(fields) if fields else None

    def _get_many(self, batch_ids: Sequence[str]) -> list[BatchRecord | None]:
        pipe = self._redis.pipeline(transaction=False)
        for batch_id in batch_ids:
            pipe.hgetall(self._key(batch_id))
        return [read_batch(fields) if fields else None for fields in pipe.execute()]

    def counts(self, batch_id: str) -> BatchCounts:
        """The jobs of a batch by state."""
        found = cast(
            "list[Any]",
            self._scripts.query("count", [self._members(batch_id)], [job_key(self._prefix, "")]),
        )
        counted = {str(state): int(count) for state, count in zip(found[::2], found[1::2], strict=True)}
        deleted = counted.pop("", 0)
        return BatchCounts({JobState(state): count for state, count in counted.items()}, deleted)

    def job_ids(self, batch_id: str) -> list[str]:
        """The ids of its jobs, in the order of its items."""
        return cast("list[str]", self._redis.lrange(self._members(batch_id), 0, -1))

    def jobs(self, batch_id: str) -> Iterator[tuple[str, JobRecord | None]]:
        """Its jobs in the order of its items, read a hundred at a time; None for one that is gone."""
        ids = self.job_ids(batch_id)
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            yield from zip(part, self._store.get_many(part), strict=True)

    def newest(self, limit: int, before: float | None) -> list[BatchRecord]:
        """At most `limit` batches that the caller may see, newest first, created before a Unix time."""
        caller = current_caller()
        index = f"{self._prefix}batches"
        index = index if caller.sees_all else f"{index}:{caller.key_id}"
        # "(" excludes the value itself; repr keeps all digits of the score.
        newest = "+inf" if before is None else f"({before!r}"
        kept: list[BatchRecord] = []
        while len(kept) < limit:
            rows = cast(
                "list[tuple[str, float]]",
                self._redis.zrevrangebyscore(index, newest, "-inf", start=0, num=limit, withscores=True),
            )
            found = self._get_many([batch_id for batch_id, _ in rows])
            # Without those whose records have expired.
            kept += [record for record in found if record is not None]
            if rows:
                newest = f"({rows[-1][1]!r}"
            if len(rows) < limit:
                break
        return kept[:limit]

    def forget_expired(self, key_ids: Sequence[str]) -> int:
        """Remove batches whose records have expired from the list of all batches and from those of these API keys.

        Redis deletes an expired record by itself, so nothing else removes these entries. Returns the number of removed
        entries.
        """
        everyones = f"{self._prefix}batches"
        lists = [everyones, *(f"{everyones}:{key_id}" for key_id in key_ids)]
        return sum(self._tidy(lists[start : start + _CHUNK]) for start in range(0, len(lists), _CHUNK))

    def _tidy(self, lists: Sequence[str]) -> int:
        pipe = self._redis.pipeline(transaction=False)
        for name in lists:
            pipe.zrange(name, 0, -1)
        entries = [(name, one) for name, ids in zip(lists, pipe.execute(), strict=True) for one in ids]
        gone = 0
        for start in range(0, len(entries), _LARGE_CHUNK):
            part = entries[start : start + _LARGE_CHUNK]
            for _, batch_id in part:
                pipe.exists(self._key(batch_id))
            expired = [one for one, exists in zip(part, pipe.execute(), strict=True) if not exists]
            for name, batch_id in expired:
                pipe.zrem(name, batch_id)
            gone += sum(pipe.execute())
        return gone

    def forget(self, record: BatchRecord) -> None:
        """Remove the record of a batch. Its jobs stay."""
        everyones = f"{self._prefix}batches"
        keys = [self._key(record.id), self._members(record.id), everyones, f"{everyones}:{record.key_id}"]
        # The script's first keys are those of a job; there is no job here.
        self._store.run("forget_batch", record.id, record.id, extra=keys)

    def _idempotency(self, key: IdempotencyKey, key_id: str | None) -> str:
        return batch_request_key(self._prefix, key_id, key.text)

    def _key(self, batch_id: str) -> str:
        return batch_key(self._prefix, batch_id)

    def _members(self, batch_id: str) -> str:
        return f"{self._prefix}batchjobs:{batch_id}"


def batch_key(prefix: str, batch_id: str) -> str:
    """The Redis key of a batch's record."""
    return f"{prefix}batch:{batch_id}"


def _flat(fields: Any) -> list[str]:
    return [item for pair in fields.items() for item in pair]
