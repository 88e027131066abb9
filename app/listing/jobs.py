"""Lists, sorts and counts jobs. By default the newest jobs come first, page by page.

The cursor of the default order is a point in time, so new jobs do not shift later pages. Every other order reads the
newest `MAX_COLLECTED` jobs for each page.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.cursors import InvalidCursor, decode_cursor, encode_cursor
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.listing.filters import JobFilter
from sentiloc.app.listing.rows import JobRow, read_rows

# Records per round trip when most of them may be shown, and when most are only filtered or counted.
_BATCH = 100
_LARGE_BATCH = 500
# Bounds the cost of a page whose filter matches almost nothing. The page is then short.
MAX_SCANNED = 2000
# Sorting and totals need every job in memory, so their number is bounded.
MAX_COLLECTED = 20_000
# A folded name takes up to 6 bytes for each of its 255 characters, and in base64 a third more.
MAX_CURSOR = 2400
_SortKey = tuple[bool, Any, str]
"""The place of a job in a sorted list: whether it has no value to sort by, the value, and its id."""


class JobOrder(StrEnum):
    """The sort order of a list; `-` means descending. Jobs without a value come last."""

    CREATED = "created"
    NEWEST = "-created"
    FINISHED = "finished"
    LATEST = "-finished"
    NAME = "name"
    NAME_DOWN = "-name"
    DURATION = "duration"
    LONGEST = "-duration"
    CONFIDENCE = "confidence"
    SUREST = "-confidence"

    @property
    def is_descending(self) -> bool:
        """True for orders from the largest to the smallest."""
        return self.value.startswith("-")


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, and the cursor of the next page; None at the end."""

    records: tuple[JobRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Collected:
    """Rows that match a filter, newest first. `next_cursor` leads to those that were not read; None if all were."""

    rows: list[JobRow]
    next_cursor: str | None

    @property
    def is_complete(self) -> bool:
        """True if all jobs were read."""
        return self.next_cursor is None


@dataclass(frozen=True, slots=True)
class LabelTotal:
    """Totals of one label: jobs that found it, segments, and seconds."""

    jobs: int
    segments: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts and totals of the jobs that match a filter. `duration` is the total length of their videos in seconds."""

    count: int
    states: dict[JobState, int]
    tags: dict[str, int]
    duration: float
    labels: dict[str, LabelTotal]
    is_complete: bool


def list_jobs(
    store: JobStore,
    wanted: JobFilter,
    limit: int,
    cursor: str | None,
    order: JobOrder = JobOrder.NEWEST,
) -> Page:
    """One page of at most `limit` jobs.

    In the default order at most `MAX_SCANNED` jobs are read, so a page can be short. Raises `InvalidCursor`.
    """
    if order is JobOrder.NEWEST and wanted.batch is None:
        return _newest(store, wanted, limit, cursor)
    return _sorted(store, wanted, limit, cursor, order)


def collect(
    store: JobStore, wanted: JobFilter, cursor: str | None = None, most_ended: int | None = None
) -> Collected:
    """The matching jobs among the newest `MAX_COLLECTED` within the filter's times, or among those after `cursor`.

    Stops after `most_ended` jobs that have ended. Raises `InvalidCursor`.
    """
    found: list[JobRow] = []
    ended = 0
    place = None if cursor is None else _decode(cursor)
    walk = _of_batch(store, wanted, place) if wanted.batch else _walk(store, wanted, place, _LARGE_BATCH)
    for scanned, (at, job_id, row) in enumerate(walk, 1):
        if row is not None and wanted.matches(row):
            found.append(row)
            ended += row.state.is_terminal
        # If exactly this many exist, the summary is merely marked as incomplete.
        if scanned == MAX_COLLECTED or ended == most_ended:
            return Collected(found, _encode(at, job_id))
    return Collected(found, None)


def summarize(store: JobStore, wanted: JobFilter) -> Summary:
    """Counts and totals of the jobs that match."""
    collected = collect(store, wanted)
    rows = collected.rows
    jobs: Counter[str] = Counter()
    segments: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        for label, one in (row.found or {}).items():
            jobs[label] += 1
            segments[label] += one.segments
            seconds[label] += one.seconds
    return Summary(
        count=len(rows),
        states=dict(Counter(row.state for row in rows)),
        tags=dict(Counter(tag for row in rows for tag in row.tags)),
        duration=round(sum(row.duration or 0.0 for row in rows), 3),
        labels={
            label: LabelTotal(count, segments[label], round(seconds[label], 3))
            for label, count in sorted(jobs.items())
        },
        is_complete=collected.is_complete,
    )


def _newest(store: JobStore, wanted: JobFilter, limit: int, cursor: str | None) -> Page:
    found: list[str] = []
    place = None if cursor is None else _decode(cursor)
    # Without filters every record read is shown, so no more are read than asked for.
    batch = _BATCH if wanted.has_filters else min(limit, _BATCH)
    more = None
    for scanned, (at, job_id, row) in enumerate(_walk(store, wanted, place, batch), 1):
        if row is not None and wanted.matches(row):
            found.append(job_id)
        if len(found) == limit or scanned == MAX_SCANNED:
            more = _encode(at, job_id)
            break
    return Page(_records(store, found), more)


def _sorted(store: JobStore, wanted: JobFilter, limit: int, cursor: str | None, order: JobOrder) -> Page:
    place = None if cursor is None else _decode_sorted(cursor, order)
    keyed = [(*_sort_key(row, order, wanted.label), row.id) for row in collect(store, wanted).rows]
    # Descending orders reverse only the value: the id keeps ties in one order, so pages do not overlap.
    for part in (2, 1, 0):
        # Python's sort is stable, so we sort by the last criterion first. Jobs without a value always come last.
        keyed.sort(key=lambda key, part=part: key[part], reverse=order.is_descending and part == 1)  # type: ignore[misc]
    # Counted instead of searched: the job at the cursor may have been deleted meanwhile.
    begin = 0 if place is None else sum(not _is_behind(key, place, order) for key in keyed)
    page = keyed[begin : begin + limit]
    more = _encode_sorted(order, page[-1]) if page and begin + limit < len(keyed) else None
    return Page(_records(store, [job_id for _, _, job_id in page]), more)


def _is_behind(key: _SortKey, place: _SortKey, order: JobOrder) -> bool:
    """True if a job comes after `place`. The job at `place` may have been deleted."""
    if key[0] != place[0]:
        return key[0]
    if key[1] != place[1]:
        return bool(key[1] < place[1] if order.is_descending else key[1] > place[1])
    return key[2] > place[2]


def _sort_key(row: JobRow, order: JobOrder, label: str | None) -> tuple[bool, Any]:
    """Whether the job has no value, and the value."""
    values: dict[str, Any] = {
        "created": row.created_at,
        "finished": row.finished_at,
        "name": row.name.casefold(),
        "duration": row.duration,
        "confidence": row.confidence(label),
    }
    value = values[order.value.removeprefix("-")]
    return value is None, ("" if order.value.endswith("name") else 0.0) if value is None else value


def _records(store: JobStore, job_ids: list[str]) -> tuple[JobRecord, ...]:
    return tuple(record for record in store.get_many(job_ids) if record is not None)


def _walk(
    store: JobStore, wanted: JobFilter, place: tuple[float, str] | None, batch_size: int
) -> Iterator[tuple[float, str, JobRow | None]]:
    """Every job of the time range, newest first, starting after `place`."""
    while True:
        batch = _batch(store, wanted, place, batch_size)
        rows = read_rows(store, [job_id for _, job_id in batch])
        for (at, job_id), row in zip(batch, rows, strict=True):
            place = (at, job_id)
            yield at, job_id, row
        if len(batch) < batch_size:
            return


def _of_batch(
    store: JobStore, wanted: JobFilter, place: tuple[float, str] | None
) -> Iterator[tuple[float, str, JobRow | None]]:
    """The jobs of a batch that the caller may see, the last one first, starting after `place`."""
    caller = current_caller()
    # A batch has at most 10,000 jobs, so its list is read whole.
    ids = cast("list[str]", store.redis.lrange(f"{store.prefix}batchjobs:{wanted.batch}", 0, -1))[::-1]
    if place is not None and place[1] in ids:
        # The list keeps the ids of deleted jobs.
        ids = ids[ids.index(place[1]) + 1 :]
    for start in range(0, len(ids), _LARGE_BATCH):
        for row in read_rows(store, ids[start : start + _LARGE_BATCH]):
            if row is not None and caller.may_see(row.key_id) and _is_within(row, wanted):
                yield row.created_at, row.id, row


def _is_within(row: JobRow, wanted: JobFilter) -> bool:
    after, before = wanted.created_after, wanted.created_before
    return (after is None or row.created_at > after) and (before is None or row.created_at < before)


def _batch(
    store: JobStore, wanted: JobFilter, place: tuple[float, str] | None, size: int
) -> list[tuple[float, str]]:
    after, before = wanted.created_after, wanted.created_before
    # A cursor of another query may lie outside the times of this one.
    if place is not None and before is not None and place[0] >= before:
        place = None
    if place is not None and after is not None and place[0] <= after:
        return []
    # `(` excludes the bound itself; repr keeps every digit of the time.
    newest = "+inf" if before is None else f"({before!r}"
    oldest = "-inf" if after is None else f"({after!r}"
    jobs = _index(store.prefix)
    same: list[tuple[float, str]] = []
    if place is not None:
        behind = store.behind(jobs, place, size)
        if behind is not None:
            return [(at, job_id) for at, job_id in behind if after is None or at > after]
        # The job at the cursor was deleted.
        newest = f"({place[0]!r}"
        # Jobs created in the same microsecond are in descending order of their ids.
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
    return encode_cursor(f"{at!r} {job_id}")


def _encode_sorted(order: JobOrder, key: _SortKey) -> str:
    # In JSON, an escaped character takes up to 12 bytes.
    return encode_cursor(json.dumps([order, *key], ensure_ascii=False))


def _decode_sorted(cursor: str, order: JobOrder) -> _SortKey:
    try:
        made_by, is_missing, value, job_id = json.loads(decode_cursor(cursor))
        kind = str if order.value.endswith("name") else float
        # A cursor of another order would start at a wrong place without an error.
        if made_by != order or not isinstance(value, kind) or not isinstance(job_id, str):
            raise ValueError(made_by)
        return bool(is_missing), value, job_id
    # A client may send thousands of nested brackets.
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidCursor from error


def _decode(cursor: str) -> tuple[float, str]:
    try:
        at, job_id = decode_cursor(cursor).split(" ")
        # `nan` and `inf` parse as floats, but Redis would refuse them as a bound.
        if not math.isfinite(float(at)):
            raise ValueError(at)
        return float(at), job_id
    except ValueError as error:
        raise InvalidCursor from error
