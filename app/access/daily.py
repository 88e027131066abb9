"""Daily usage of each API key (UTC). The scripts that end jobs update it. Entries are kept for 400 days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

from redis import Redis

_EPOCH = date(1970, 1, 1)


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
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    wanted = [(day, key_id) for day in days for key_id in keys]
    pipe = redis.pipeline(transaction=False)
    for day, key_id in wanted:
        pipe.hgetall(f"{prefix}daily:{key_id}:{(day - _EPOCH).days}")
    found = cast("list[dict[str, str]]", pipe.execute())
    return [_day(day, key_id, fields) for (day, key_id), fields in zip(wanted, found, strict=True) if fields]


def _day(day: date, key_id: str, fields: dict[str, str]) -> DayOfUse:
    return DayOfUse(
        day=day,
        key_id=key_id or None,
        succeeded=int(fields.get("succeeded", 0)),
        failed=int(fields.get("failed", 0)),
        cancelled=int(fields.get("cancelled", 0)),
        media_seconds=int(fields.get("media", 0)) / 1000,
    )
