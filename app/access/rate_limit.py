"""Token buckets in memory: how often somebody may do something, counted by this process.

Nothing is written to Redis, whose every write waits for the disk: a limit must not cost more than what it limits.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MINUTE = 60.0
_MOST_NAMES = 10_000


class Buckets:
    """One bucket for each name, full at first with a minute's tokens; belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, name: str, per_minute: int) -> float:
        """Seconds until there is a token; 0 when there is one."""
        missing = 1.0 - self._level(name, per_minute)
        return max(0.0, missing * _MINUTE / per_minute)

    def take(self, name: str, per_minute: int) -> float:
        """Take a token if there is one and answer 0, else seconds to wait."""
        wait = self.wait_seconds(name, per_minute)
        if wait == 0.0:
            self._levels[name] = (self._level(name, per_minute) - 1.0, self._clock())
            self._levels.move_to_end(name)
            if len(self._levels) > _MOST_NAMES:
                self._levels.popitem(last=False)
        return wait

    def _level(self, name: str, per_minute: int) -> float:
        level, at = self._levels.get(name, (float(per_minute), self._clock()))
        return min(float(per_minute), level + (self._clock() - at) * per_minute / _MINUTE)
