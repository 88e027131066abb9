"""Corrects what API keys are said to hold: videos, results and reels in the storage, feedback in Redis.

The scripts count exactly. Counts can be wrong after an upgrade, because records of earlier versions state no bytes, or
if Redis has lost its last writes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import cast

from redis import Redis, WatchError
from redis.client import Pipeline

from sentiloc.app.access.usage import Held, held_key
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.keys import thumbnail_key
from sentiloc.app.uploads.record import upload_key

logger = logging.getLogger(__name__)

# Records per round trip. Redis answers other clients in between.
_CHUNK = 200
# How long one sweep measures files of earlier versions' jobs. An object store needs a request for each file, and other
# chores of this process wait meanwhile.
_MEASURING_SECONDS = 20.0
# How often the total of a key is added up that changes meanwhile, as that of a busy key does.
_TRIES = 10
_PARTS = ("held_video", "held_result", "held_feedback")


class Holdings:
    """Adds up what the records of each key state. Every step may be repeated."""

    def __init__(self, store: JobStore, storage: Storage) -> None:
        self._store = store
        self._storage = storage
        self._redis: Redis = store.redis
        self._until = 0.0

    def repair(self, key_ids: Sequence[str]) -> int:
        """Correct the totals of these keys; returns the number of totals that were wrong.

        A key whose total changes during every try is left for the next time.
        """
        self._until = time.monotonic() + _MEASURING_SECONDS
        return sum(self._repair(key_id) for key_id in key_ids)

    def _repair(self, key_id: str) -> bool:
        self._measure(key_id)
        for _ in range(_TRIES):
            with self._redis.pipeline() as pipe, suppress(WatchError):
                # An upload or a deletion while this adds up makes the write fail.
                pipe.watch(held_key(self._store.prefix, key_id))  # type: ignore[no-untyped-call]
                return self._correct(pipe, key_id)
        return False

    def _correct(self, pipe: Pipeline, key_id: str) -> bool:
        name = held_key(self._store.prefix, key_id)
        known = cast("list[str | None]", pipe.hmget(name, ["stored", "feedback"]))
        right = self._added_up(key_id)
        if [int(text or 0) for text in known] == [right.stored, right.feedback]:
            return False
        pipe.multi()
        pipe.delete(name)
        amounts = {"stored": right.stored, "feedback": right.feedback}
        if any(amounts.values()):
            pipe.hset(name, mapping={what: amount for what, amount in amounts.items() if amount})
        pipe.execute()
        logger.warning("the key %s was said to hold %s bytes, and holds %s", key_id, known, right)
        return True

    def _added_up(self, key_id: str) -> Held:
        stored = feedback = 0
        for video, result, corrections in self._states("jobs", key_id, job_key, _PARTS):
            stored += int(video or 0) + int(result or 0)
            feedback += int(corrections or 0)
        for (held,) in self._states("uploads", key_id, upload_key, ("held",)):
            stored += int(held or 0)
        return Held(stored, feedback)

    def _states(
        self, index: str, key_id: str, name_of: Callable[[str, str], str], fields: Sequence[str]
    ) -> Iterator[list[str | None]]:
        """These fields of each record in an index of a key."""
        for ids in self._pages(index, key_id):
            pipe = self._redis.pipeline(transaction=False)
            for one in ids:
                pipe.hmget(name_of(self._store.prefix, one), list(fields))
            yield from cast("list[list[str | None]]", pipe.execute())

    def _pages(self, index: str, key_id: str) -> Iterator[list[str]]:
        ids = cast("list[str]", self._redis.zrange(f"{self._store.prefix}{index}:{key_id}", 0, -1))
        yield from (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))

    def _measure(self, key_id: str) -> None:
        """State the bytes of ended jobs, and of feedback, for records that state none."""
        for ids in self._pages("jobs", key_id):
            for job_id in self._with_unmeasured_feedback(ids):
                self._store.measure_feedback(job_id)
            for record in self._unmeasured(ids):
                if time.monotonic() > self._until:
                    return
                self._store.hold(record.id, "video", self._storage.size(record.source_key) or 0, once=True)
                self._store.hold(record.id, "result", self._size_of_result(record), once=True)

    def _with_unmeasured_feedback(self, ids: Sequence[str]) -> list[str]:
        pipe = self._redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.zscore(f"{self._store.prefix}feedback", job_id)
            pipe.hexists(job_key(self._store.prefix, job_id), "held_feedback")
        answers = pipe.execute()
        found = zip(ids, answers[::2], answers[1::2], strict=True)
        return [job_id for job_id, latest, is_stated in found if latest is not None and not is_stated]

    def _unmeasured(self, ids: Sequence[str]) -> list[JobRecord]:
        pipe = self._redis.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(job_key(self._store.prefix, job_id), ["held_video", "held_result"])
        states = cast("list[list[str | None]]", pipe.execute())
        lacking = [job_id for job_id, parts in zip(ids, states, strict=True) if None in parts]
        records = self._store.get_many(lacking) if lacking else []
        return [record for record in records if record is not None and record.state.is_terminal]

    def _size_of_result(self, record: JobRecord) -> int:
        if record.result_key is None:
            return 0
        pictures = (thumbnail_key(record.id, record.attempt, n) for n in range(record.thumbnails))
        return sum(self._storage.size(key) or 0 for key in (record.result_key, *pictures))
