"""How many minutes of media a key has had localized in the calendar month (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime

from redis import Redis

KEPT_SECONDS = 400 * 86_400


def this_month() -> str:
    """The month as counters are named after it."""
    return f"{datetime.now(UTC):%Y-%m}"


def usage_place(prefix: str, key_id: str) -> str:
    """Where this month's milliseconds are counted."""
    return f"{prefix}usage:{key_id}:{this_month()}"


def used_minutes(redis: Redis, prefix: str, key_id: str) -> float:
    """This month's minutes."""
    return as_minutes(redis.get(usage_place(prefix, key_id)))


def as_minutes(milliseconds: str | bytes | None) -> float:
    """What is stored, in minutes."""
    return int(milliseconds or 0) / 60_000


def month_ends() -> datetime:
    """When the count begins anew."""
    now = datetime.now(UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)
