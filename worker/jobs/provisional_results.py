"""Publishes the provisional results of a running job: the full result in the storage, changes as events."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Self

from redis import RedisError

from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.keys import partial_key
from sentiloc.model.errors import SentilocError
from sentiloc.model.results.result import Result
from sentiloc.model.segments import Segment

logger = logging.getLogger(__name__)


class ProvisionalPublisher:
    """The provisional results of one attempt of a job. They are optional: an error here does not end the job.

    They are stored in a context `waiting()`, because that may take a while without progress.
    """

    def __init__(
        self,
        store: JobStore,
        storage: Storage,
        record: JobRecord,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._store, self._storage, self._record, self._waiting = store, storage, record, waiting
        self._key = partial_key(record.id, record.attempt)
        self._published: tuple[Segment, ...] = ()
        self._is_stored = False

    def publish(self, result: Result) -> None:
        """Replace the stored provisional result, and send the segments that have changed."""
        try:
            # Stored before the event, so a client that reacts to the event finds the result.
            with self._waiting(), self._storage.writer(self._key) as writer:
                writer.write(json.dumps(result.to_dict(), allow_nan=False).encode())
                writer.commit()
            self._is_stored = True
            self._send(result)
        except (SentilocError, RedisError) as error:
            logger.warning("the provisional result could not be published: %s", error)

    def _send(self, result: Result) -> None:
        pairs = zip(self._published, result.segments, strict=False)
        # Segments are sorted by time and mostly change at the end, so only the tail is sent.
        keep = next((index for index, (old, new) in enumerate(pairs) if old != new), None)
        if keep is None:
            keep = min(len(self._published), len(result.segments))
        if keep == len(self._published) == len(result.segments):
            return
        changed = [asdict(segment) for segment in result.segments[keep:]]
        self._store.publish_segments(
            self._record.lease, keep, json.dumps(changed), result.scored_until or 0.0
        )
        self._published = result.segments

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the provisional result: the job has ended or returns to the queue."""
        if self._is_stored:
            with suppress(SentilocError), self._waiting():
                self._storage.delete(self._key)
