"""The minutes of media that an API key has used in the calendar month (UTC)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from redis import Redis

# More than a year, so that a month can be compared with the same month of the previous year.
KEPT_SECONDS = 400 * 86_400
HELD = "sentiloc.app.access:held"
"""Shared code of scripts: what an API key holds."""


def this_month() -> str:
    """The current month as part of a counter's name."""
    return f"{datetime.now(UTC):%Y-%m}"


def usage_key(prefix: str, key_id: str) -> str:
    """The Redis key of this month's counter, in milliseconds."""
    return f"{prefix}usage:{key_id}:{this_month()}"


def forget_earlier_months(redis: Redis, prefix: str, key_id: str) -> int:
    """Delete a key's counters, but for that of this month, which its quota needs; returns their number."""
    now = datetime.now(UTC)
    months = [divmod(12 * now.year + now.month - 1 - ago, 12) for ago in range(1, 16)]
    names = [f"{prefix}usage:{key_id}:{year:04}-{month + 1:02}" for year, month in months]
    return int(redis.delete(*names))


def used_minutes(redis: Redis, prefix: str, key_id: str) -> float:
    """The minutes that the key has used this month."""
    return as_minutes(redis.get(usage_key(prefix, key_id)))


def as_minutes(milliseconds: str | bytes | None) -> float:
    """A counter's value in minutes."""
    return int(milliseconds or 0) / 60_000


@dataclass(frozen=True, slots=True)
class Held:
    """The bytes that a key's videos, results and reels take, and those of the feedback on its jobs."""

    stored: int
    feedback: int


def held_key(prefix: str, key_id: str) -> str:
    """The Redis key of what an API key holds. The scripts of jobs, uploads and feedback update it."""
    return f"{prefix}held:{key_id}"


def held_bytes(redis: Redis, prefix: str, key_id: str) -> Held:
    """What a key holds now."""
    found = cast("list[str | None]", redis.hmget(held_key(prefix, key_id), ["stored", "feedback"]))
    stored, feedback = (int(text or 0) for text in found)
    return Held(stored, feedback)


def month_ends() -> datetime:
    """The start of the next month, when quotas are reset."""
    return next_month(datetime.now(UTC))


def next_month(now: datetime) -> datetime:
    """The start of the month after `now`."""
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)
