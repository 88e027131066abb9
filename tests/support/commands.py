"""Counts the commands that a Redis server gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis


@contextmanager
def counted(redis: Redis, *names: str) -> Iterator[list[int]]:
    """The number of commands with these names that the server has got, once the block has ended."""
    found: list[int] = []
    before = _calls(redis, names)
    yield found
    found.append(_calls(redis, names) - before)


def _calls(redis: Redis, names: tuple[str, ...]) -> int:
    stats: dict[str, Any] = redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)
