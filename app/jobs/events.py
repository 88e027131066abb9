"""Streams a job's events to clients: past events from its Redis stream, then new ones as they happen.

A client costs one connection to Redis and no thread.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from sentiloc.app.access.caller import current_caller, is_still_admitted
from sentiloc.app.access.key_limits import KeySlots
from sentiloc.app.http.problems import ProblemCode, TypedProblem
from sentiloc.app.jobs.keys import events_key
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.jobs.store import JobReader
from sentiloc.app.redis.client import connect_async
from sentiloc.app.settings import Settings

# Proxies close connections that are silent, usually after 30 to 60 seconds.
HEARTBEAT_SECONDS = 10.0
# Must stay below the socket time-out of Redis, which would end a longer blocking read.
_LOOK_SECONDS = 2.0
# How long a listener may still receive events after its key was revoked.
_ADMITTED_SECONDS = 1.0
# Until this share of the work is done, an estimate would jump by minutes.
_ETA_FROM = 0.05
# Events of one read; a long finished job is sent in several reads, so memory stays bounded.
_BATCH = 200
_Entry = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event. An event without an id is not in the Redis stream, so a client that resumes does not get it again."""

    kind: str
    data: dict[str, Any]
    id: str | None = None

    def encode(self) -> str:
        """The event in the format of `text/event-stream`."""
        head = "" if self.id is None else f"id: {self.id}\n"
        return f"{head}event: {self.kind}\ndata: {json.dumps(self.data)}\n\n"


class TooManyStreams(TypedProblem):
    """This process serves as many event streams as it may."""

    of_status = 503
    of_code = ProblemCode.TOO_MANY_STREAMS
    example = "Too many clients listen to events. Poll the job instead, or try again later."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "10"})


class EventStreams:
    """The event streams of one process, up to `max_event_streams` at a time. Use it from one event loop only."""

    def __init__(self, settings: Settings, jobs: JobReader) -> None:
        self._settings = settings
        self._jobs = jobs
        self._redis: Redis | None = None
        self._listeners = 0
        self._by_key = KeySlots(settings.max_event_streams_per_key, "event streams")

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one stream; raises `KeyLimitReached`, and `TooManyStreams` when none is free."""
        with self._by_key.hold(current_caller().key_id):
            if self._listeners >= self._settings.max_event_streams:
                raise TooManyStreams
            self._listeners += 1
            try:
                yield
            finally:
                self._listeners -= 1

    async def follow(self, job_id: str, after: str) -> AsyncIterator[JobEvent | None]:
        """Yield the events after an id ("0" for all) up to the final one, and None after every two seconds without
        events.

        Ends without a final event when the job is deleted, or the caller's key or session is no longer valid.
        """
        last, shown, asked_at = after, None, time.monotonic()
        record, position = await self._jobs.get(job_id)
        while record is not None:
            events = await self._read(job_id, last, _LOOK_SECONDS)
            # The listener was admitted when the stream began, perhaps hours ago.
            if time.monotonic() - asked_at >= _ADMITTED_SECONDS:
                if not await is_still_admitted():
                    return
                asked_at = time.monotonic()
            for event_id, fields in events:
                last = event_id
                yield JobEvent(fields["kind"], _data(fields, record), event_id)
                # Nothing follows the final event, and the client's connection should close.
                if fields["kind"] == "final":
                    return
            record, position = await self._jobs.get(job_id)
            if position is not None and position != shown:
                yield JobEvent("position", {"queue_position": position})
            elif not events:
                yield None
            shown = position

    async def is_over(self, record: JobRecord, after: str) -> bool:
        """True if the job has ended and has no events after this id."""
        # A client that reconnects after the final event gets 204, so that a browser's EventSource stops
        # reconnecting.
        return record.state.is_terminal and not await self._read(record.id, after, None)

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _read(self, job_id: str, after: str, seconds: float | None) -> list[_Entry]:
        key = events_key(self._settings.redis_prefix, job_id)
        # XREAD takes milliseconds.
        block = None if seconds is None else int(seconds * 1000)
        answer = await cast("Any", self._client()).xread({key: after}, count=_BATCH, block=block)
        return cast("list[_Entry]", answer[0][1]) if answer else []

    def _client(self) -> Redis:
        # Created on first use, because the connection belongs to the event loop that serves requests.
        if self._redis is None:
            self._redis = connect_async(self._settings)
        return self._redis


def _data(fields: dict[str, str], record: JobRecord) -> dict[str, Any]:
    if fields["kind"] == "segment":
        return _segments(fields)
    progress, at = float(fields["progress"] or 0), float(fields["at"])
    return {
        "state": fields["state"],
        "stage": fields["stage"] or None,
        "progress": progress,
        "attempt": int(fields["attempt"] or 0),
        "at": at,
        "eta_seconds": eta_seconds(JobState(fields["state"]), progress, at, record.claimed_at),
    }


def _segments(fields: dict[str, str]) -> dict[str, Any]:
    """Provisional segments. They replace all segments sent before in this attempt except the first `keep`."""
    return {
        "provisional": True,
        "attempt": int(fields["attempt"] or 0),
        "keep": int(fields["keep"]),
        "segments": json.loads(fields["segments"]),
        "until": float(fields["until"]),
    }


def eta_seconds(state: JobState, progress: float, at: float, began: float | None) -> float | None:
    """Seconds until the job ends at its current speed; None before 5 % of the work is done.

    `at` and `began` are Unix seconds; `progress` is a share from 0 to 1.
    """
    if state.is_terminal:
        return 0.0
    if not state.is_running or progress < _ETA_FROM or began is None or at <= began:
        return None
    return round((at - began) * (1 - progress) / progress, 1)
