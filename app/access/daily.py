"""Daily usage of each API key (UTC). The scripts that end jobs update it. Entries are kept for 400 days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

from redis import Redis

from sentiloc.app.access.usage import KEPT_SECONDS
from sentiloc.app.redis.scripts import Scripts

ERASED = "erased"
"""Stands for the keys whose data was erased. No key can have this id, because key ids are hexadecimal."""
FIRST_DAY = date(1970, 1, 1)
# Keys read in one round trip. Redis answers other clients between two round trips.
_CHUNK = 500
_UPDATE_DAYS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfUse:
    """The jobs of a key that ended on a day, and the seconds of media of those that succeeded."""

    day: date
    key_id: str | None
    succeeded: int
    failed: int
    cancelled: int
    media_seconds: float


def today() -> date:
    """Today's date (UTC)."""
    return datetime.now(UTC).date()


def used_by_day(
    redis: Redis, prefix: str, keys: Sequence[str], first: date, last: date
) -> Iterator[list[DayOfUse]]:
    """For each day from `first` to `last` (inclusive), in order: the use of each key that was used on it.

    The key '' stands for jobs without an API key. Each day is read only when the iterator reaches it, because there may
    be millions of counters.
    """
    indexed = _first_indexed(redis, prefix)
    # Days are numbered since the epoch in UTC, as the Lua script counts them.
    for number in range((first - FIRST_DAY).days, (last - FIRST_DAY).days + 1):
        wanted = keys
        if len(keys) > 1 and indexed is not None and number >= indexed:
            used = cast("set[str]", redis.smembers(_used_key(prefix, number)))
            wanted = [key_id for key_id in keys if key_id in used]
        yield _used_on(redis, prefix, wanted, number)


def _used_on(redis: Redis, prefix: str, keys: Sequence[str], number: int) -> list[DayOfUse]:
    day = FIRST_DAY + timedelta(days=number)
    found: list[DayOfUse] = []
    for start in range(0, len(keys), _CHUNK):
        part = keys[start : start + _CHUNK]
        pipe = redis.pipeline(transaction=False)
        for key_id in part:
            pipe.hgetall(f"{prefix}daily:{key_id}:{number}")
        rows = zip(part, cast("list[dict[str, str]]", pipe.execute()), strict=True)
        found += [_day(day, key_id, fields) for key_id, fields in rows if fields]
    return found


def _first_indexed(redis: Redis, prefix: str) -> int | None:
    """The first day from which on every day's owners are known; None if there is no such day."""
    days = _kept_days()
    pipe = redis.pipeline(transaction=False)
    for day in days:
        pipe.exists(_used_key(prefix, day))
    known = (day for day, exists in zip(days, pipe.execute(), strict=True) if exists)
    first = next(known, None)
    # On the rest of that day and on the next, workers of an earlier version may still have ended jobs.
    return None if first is None else first + _UPDATE_DAYS


def _kept_days() -> range:
    """The days whose counters may exist, and one more at either end, because Redis's clock may show another day."""
    now = (today() - FIRST_DAY).days
    return range(now - KEPT_SECONDS // 86_400 - 1, now + 2)


def _used_key(prefix: str, day: int) -> str:
    return f"{prefix}used:{day}"


def anonymize_days(redis: Redis, prefix: str, key_id: str) -> int:
    """Add the days of a key to those of `ERASED`, and delete them; returns their number. May be repeated.

    Raises `ValueError` for `ERASED`, whose days would be lost.
    """
    if key_id == ERASED:
        raise ValueError("`erased` is no key: its days are the totals of all erased owners")
    keys = [
        key
        for day in _kept_days()
        for key in (f"{prefix}daily:{key_id}:{day}", f"{prefix}daily:{ERASED}:{day}", _used_key(prefix, day))
    ]
    scripts = Scripts(redis, "sentiloc.app.access", prefix)
    return int(cast("int", scripts.run("anonymize", keys, [KEPT_SECONDS, key_id, ERASED])))


def _day(day: date, key_id: str, fields: dict[str, str]) -> DayOfUse:
    return DayOfUse(
        day=day,
        key_id=key_id or None,
        succeeded=int(fields.get("succeeded", 0)),
        failed=int(fields.get("failed", 0)),
        cancelled=int(fields.get("cancelled", 0)),
        media_seconds=int(fields.get("media", 0)) / 1000,
    )
