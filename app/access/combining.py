"""Requests that read the results of many jobs, such as highlights of two hundred videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

from sentiloc.app.access.caller import current_caller
from sentiloc.app.access.key_limits import KeySlots
from sentiloc.app.settings import Settings

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Combining:
    """Runs such requests in threads, a few at a time. Use it from one event loop only.

    Each may need seconds of processor time and hundreds of megabytes. Those that wait hold no thread, so threads stay
    free for all other requests.
    """

    def __init__(self, settings: Settings) -> None:
        self._limiter = CapacityLimiter(settings.max_combining_requests)
        self._slots = KeySlots(settings.max_combining_requests_per_key, "requests that combine jobs")

    async def run(self, function: Callable[[*Ts], T], *given: *Ts) -> T:
        """The function's result; raises `KeyLimitReached` if the caller's key has too many of these requests."""
        with self._slots.hold(current_caller().key_id):
            return await to_thread.run_sync(function, *given, limiter=self._limiter)
