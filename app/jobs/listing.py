"""Lists jobs page by page, newest first. The cursor is a point in time, so new jobs do not shift later pages."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.problems import ProblemCode, TypedProblem
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.jobs.store import JobStore

_BATCH = 100
MAX_SCANNED = 2000


class InvalidCursor(TypedProblem):
    """The cursor was not made by this list."""

    of_status = 422
    of_code = ProblemCode.INVALID_CURSOR
    example = "This is not a cursor of this list. Start again without a cursor."


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list. None and empty tuples match every job. Times are Unix seconds."""

    states: tuple[JobState, ...] = ()
    label: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def has_filters(self) -> bool:
        """True if jobs within the time range may be left out."""
        return bool(self.states or self.metadata or self.label)

    def matches(self, record: JobRecord) -> bool:
        """True for a job to be listed. The index has already applied the times."""
        if self.states and record.state not in self.states:
            return False
        if not all(record.options.has_metadata(key, value) for key, value in self.metadata):
            return False
        return self.label is None or self.label in (record.labels_found or ())


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, and the cursor of the next page; None at the end."""

    records: tuple[JobRecord, ...]
    next_cursor: str | None


def list_jobs(store: JobStore, wanted: JobFilter, limit: int, cursor: str | None) -> Page:
    """One page of at most `limit` jobs. It reads at most `MAX_SCANNED` records, so a page can be short.

    Raises `InvalidCursor`.
    """
    found: list[JobRecord] = []
    place = None if cursor is None else _decode(cursor)
    # Without filters every record read is shown, so no more are read than asked for.
    batch = _BATCH if wanted.has_filters else min(limit, _BATCH)
    for scanned, (at, job_id, record) in enumerate(_walk(store, wanted, place, batch), 1):
        if record is not None and wanted.matches(record):
            found.append(record)
        if len(found) == limit or scanned == MAX_SCANNED:
            return Page(tuple(found), _encode(at, job_id))
    return Page(tuple(found), None)


def _walk(
    store: JobStore, wanted: JobFilter, place: tuple[float, str] | None, batch_size: int
) -> Iterator[tuple[float, str, JobRecord | None]]:
    """Every job of the time range, newest first, starting after `place`."""
    while True:
        batch = _batch(store, wanted, place, batch_size)
        records = store.get_many([job_id for _, job_id in batch])
        for (at, job_id), record in zip(batch, records, strict=True):
            place = (at, job_id)
            yield at, job_id, record
        if len(batch) < batch_size:
            return


def _batch(
    store: JobStore, wanted: JobFilter, place: tuple[float, str] | None, size: int
) -> list[tuple[float, str]]:
    newest = "+inf" if wanted.created_before is None else f"({wanted.created_before!r}"
    oldest = "-inf" if wanted.created_after is None else f"({wanted.created_after!r}"
    jobs = _index(store.prefix)
    same: list[tuple[float, str]] = []
    if place is not None:
        newest = f"({place[0]!r}"
        # Jobs of one microsecond are in descending order of their ids.
        twins = cast("list[str]", store.redis.zrevrangebyscore(jobs, place[0], place[0]))
        same = [(place[0], job_id) for job_id in twins if job_id < place[1]][:size]
    rest = size - len(same)
    rows = (
        store.redis.zrevrangebyscore(jobs, newest, oldest, start=0, num=rest, withscores=True) if rest else []
    )
    return same + [(score, job_id) for job_id, score in cast("list[tuple[str, float]]", rows)]


def _index(prefix: str) -> str:
    """The index of all jobs, or of the jobs of the caller's API key."""
    caller = current_caller()
    return f"{prefix}jobs" if caller.sees_all else f"{prefix}jobs:{caller.key_id}"


def _encode(at: float, job_id: str) -> str:
    return base64.urlsafe_b64encode(f"{at!r} {job_id}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[float, str]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        at, job_id = text.split(" ")
        if not math.isfinite(float(at)):
            raise ValueError(at)
        return float(at), job_id
    except (ValueError, binascii.Error) as error:
        raise InvalidCursor from error
