"""Limits on what one API key may hold at a time: requests, event streams, open uploads and queued jobs.

They keep one key from using up what all keys share. A server without keys has no such limits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from sentiloc.app.http.problems import ProblemCode, TypedProblem

# Requests end within a second. The others last longer, so clients are asked to wait longer.
_RETRY_SECONDS = {
    "requests": 1,
    "requests that combine jobs": 5,
    "event streams": 10,
    "open uploads": 30,
    "queued jobs": 30,
    "kept jobs": 3600,
}


class KeyLimitReached(TypedProblem):
    """The key holds as many of `what` as one key may."""

    of_status = 429
    of_code = ProblemCode.KEY_LIMIT
    example = "One API key may have 128 requests at a time. Wait until some of them have ended."

    def __init__(self, limit: int, what: str, advice: str = "Wait until some of them have ended.") -> None:
        detail = f"One API key may have {limit} {what} at a time. {advice}"
        super().__init__(detail, {"Retry-After": str(_RETRY_SECONDS[what])})


class StorageQuotaExceeded(TypedProblem):
    """The videos, results and reels of the key take as many bytes as one key may store."""

    of_status = 429
    of_code = ProblemCode.STORAGE_QUOTA_EXCEEDED
    example = (
        "One API key may store 536870912000 bytes of videos, results and reels, and this would be more. Delete some "
        "jobs, or wait until some expire."
    )

    def __init__(self, limit: int) -> None:
        detail = self.example.replace("536870912000", str(limit))
        super().__init__(detail, {"Retry-After": str(_RETRY_SECONDS["kept jobs"])})


class KeySlots:
    """Counts what each key holds in this process. Use it from one event loop only.

    Args:
        limit: the maximum for one key.
        what: the name of what is counted, for the problem.
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._held: Counter[str] = Counter()

    @contextlib.contextmanager
    def hold(self, key_id: str | None) -> Iterator[None]:
        """Hold one slot of the key; raises `KeyLimitReached`. The key None (a server without keys) has no limit."""
        if key_id is None:
            yield
            return
        if self._held[key_id] >= self._limit:
            raise KeyLimitReached(self._limit, self._what)
        self._held[key_id] += 1
        try:
            yield
        finally:
            self._held[key_id] -= 1
            if not self._held[key_id]:
                # Keys come and go; without this the counter would grow forever.
                del self._held[key_id]


class KeyTurns:
    """Lets a few requests of each key run at a time. Its others wait without a thread. Use it from one event loop only.

    All keys share the threads. Without turns, one key's slow requests would take them all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def hold(self, key_id: str) -> AsyncIterator[None]:
        """Wait for a turn of the key, and hold it."""
        turns = self._turns.get(key_id) or self._turns.setdefault(key_id, asyncio.Semaphore(self._limit))
        self._users[key_id] += 1
        try:
            async with turns:
                yield
        finally:
            self._users[key_id] -= 1
            if not self._users[key_id]:
                del self._users[key_id], self._turns[key_id]
