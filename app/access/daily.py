"""Daily usage of each API key (UTC). The scripts that end jobs update it. Entries are kept for 400 days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

from redis import Redis

from sentiloc.app.access.usage import KEPT_SECONDS
from sentiloc.app.redis.scripts import Scripts

ERASED = "erased"
"""Stands for the keys whose data was erased. It is no key's id: those are hexadecimal."""
FIRST_DAY = date(1970, 1, 1)


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


def used_by_day(redis: Redis, prefix: str, keys: Sequence[str], first: date, last: date) -> list[DayOfUse]:
    """The days from `first` to `last`, both included, on which one of the keys was used, in order.

    The key '' stands for jobs without an API key.
    """
    # Days are numbered since the epoch in UTC, as the Lua script counts them.
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    wanted = [(day, key_id) for day in days for key_id in keys]
    pipe = redis.pipeline(transaction=False)
    for day, key_id in wanted:
        pipe.hgetall(f"{prefix}daily:{key_id}:{(day - FIRST_DAY).days}")
    found = cast("list[dict[str, str]]", pipe.execute())
    return [_day(day, key_id, fields) for (day, key_id), fields in zip(wanted, found, strict=True) if fields]


def anonymize_days(redis: Redis, prefix: str, key_id: str) -> int:
    """Add the days of a key to those of `ERASED`, and delete them; returns their number. May be repeated.

    Raises `ValueError` for `ERASED`, whose days would be lost.
    """
    if key_id == ERASED:
        raise ValueError("`erased` is no key: its days are the totals of all erased owners")
    today = (datetime.now(UTC).date() - FIRST_DAY).days
    # One more at either end, because Redis's clock may be at another day.
    days = range(today - KEPT_SECONDS // 86_400 - 1, today + 2)
    keys = [f"{prefix}daily:{owner}:{day}" for day in days for owner in (key_id, ERASED)]
    return int(
        cast("int", Scripts(redis, "sentiloc.app.access", prefix).run("anonymize", keys, [KEPT_SECONDS]))
    )


def _day(day: date, key_id: str, fields: dict[str, str]) -> DayOfUse:
    return DayOfUse(
        day=day,
        key_id=key_id or None,
        succeeded=int(fields.get("succeeded", 0)),
        failed=int(fields.get("failed", 0)),
        cancelled=int(fields.get("cancelled", 0)),
        media_seconds=int(fields.get("media", 0)) / 1000,
    )
