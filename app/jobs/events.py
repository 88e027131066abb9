"""A job's events for whoever listens: what happened is read from its Redis stream, then awaited.

A listener costs one connection to Redis and no thread.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.jobs.store import JobReader, events_key
from sentiloc.app.redis.client import connect_async
from sentiloc.app.settings import Settings

HEARTBEAT_SECONDS = 10.0
_LOOK_SECONDS = 2.0
_ETA_FROM = 0.05
_BATCH = 200
_Entry = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event. Those without an id are not in the stream and are not sent again to who resumes."""

    kind: str
    data: dict[str, Any]
    id: str | None = None

    def encode(self) -> str:
        """As `text/event-stream` has it."""
        head = "" if self.id is None else f"id: {self.id}\n"
        return f"{head}event: {self.kind}\ndata: {json.dumps(self.data)}\n\n"


class EventStreams:
    """Bounds how many listen at a time; belongs to one event loop."""

    def __init__(self, settings: Settings, jobs: JobReader) -> None:
        self._settings = settings
        self._jobs = jobs
        self._redis: Redis | None = None
        self._listeners = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Room for one listener; raises the 503 problem `too_many_streams`."""
        if self._listeners >= self._settings.max_event_streams:
            detail = "Too many clients listen to events; poll the job instead, or try again later."
            raise ProblemError(503, ProblemCode.TOO_MANY_STREAMS, detail, {"Retry-After": "10"})
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    async def follow(self, job_id: str, after: str) -> AsyncIterator[JobEvent | None]:
        """The events after an id ("0" for all), up to the final one; None now and then while nothing happens.

        Ends without a final event when the job is deleted.
        """
        last, place = after, None
        record, position = await self._jobs.get(job_id)
        while record is not None:
            events = await self._read(job_id, last, _LOOK_SECONDS)
            for event_id, fields in events:
                last = event_id
                yield JobEvent(fields["kind"], _data(fields, record), event_id)
                if fields["kind"] == "final":
                    return
            record, position = await self._jobs.get(job_id)
            if position is not None and position != place:
                yield JobEvent("position", {"queue_position": position})
            elif not events:
                yield None
            place = position

    async def is_over(self, job_id: str, after: str) -> bool:
        """True when a finished job has no events after this id."""
        record = await self.record(job_id)
        ended = record is not None and record.state.is_terminal
        return ended and not await self._read(job_id, after, None)

    async def record(self, job_id: str) -> JobRecord | None:
        """The record, read without a thread."""
        return (await self._jobs.get(job_id))[0]

    async def close(self) -> None:
        """Give the connections back."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _read(self, job_id: str, after: str, seconds: float | None) -> list[_Entry]:
        key = events_key(self._settings.redis_prefix, job_id)
        block = None if seconds is None else int(seconds * 1000)
        answer = await cast("Any", self._client()).xread({key: after}, count=_BATCH, block=block)
        return cast("list[_Entry]", answer[0][1]) if answer else []

    def _client(self) -> Redis:
        if self._redis is None:
            self._redis = connect_async(self._settings)
        return self._redis


def _data(fields: dict[str, str], record: JobRecord) -> dict[str, Any]:
    progress, at = float(fields["progress"] or 0), float(fields["at"])
    return {
        "state": fields["state"],
        "stage": fields["stage"] or None,
        "progress": progress,
        "attempt": int(fields["attempt"] or 0),
        "at": at,
        "eta_seconds": eta_seconds(JobState(fields["state"]), progress, at, record.claimed_at),
    }


def eta_seconds(state: JobState, progress: float, at: float, began: float | None) -> float | None:
    """Seconds that are left if the job goes on as it did so far; None while that says nothing."""
    if state.is_terminal:
        return 0.0
    if not state.is_running or progress < _ETA_FROM or began is None or at <= began:
        return None
    return round((at - began) * (1 - progress) / progress, 1)
