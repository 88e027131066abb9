"""Rate limits: token buckets in the memory of this process.

They are not kept in Redis, where every write waits for the disk: checking the limit would cost more than most requests.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

_MINUTE = 60.0
_POLICY = "key"
# Addresses of attackers are names, too, so their number must be bounded.
_MOST_NAMES = 10_000


class RateLimiter:
    """One token bucket per name. A new bucket holds a minute's tokens. Use it from one event loop only.

    At most `most_names` buckets are kept. The least recently used ones are dropped, which resets them to full.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_names: int = _MOST_NAMES) -> None:
        self._clock = clock
        self._most_names = most_names
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, per_minute: int) -> float:
        """Take a token and return 0. If there is none, return the seconds until the next one."""
        level = self._level(name, per_minute)
        wait = _seconds_to_token(level, per_minute)
        # Only the level and its time are kept; the refill is computed when the bucket is next used.
        self._levels[name] = (level - 1.0 if wait == 0.0 else level, self._clock())
        # A refused request counts as use, too. Otherwise the bucket would be dropped, and the client would start with a
        # full one.
        self._levels.move_to_end(name)
        if len(self._levels) > self._most_names:
            self._levels.popitem(last=False)
        return wait

    def standing(self, name: str, per_minute: int) -> tuple[int, int]:
        """The tokens that are left, and the seconds until the bucket is full again."""
        level = self._level(name, per_minute)
        return int(level), math.ceil((per_minute - level) * _MINUTE / per_minute)

    def _level(self, name: str, per_minute: int) -> float:
        level, at = self._levels.get(name, (float(per_minute), self._clock()))
        return min(float(per_minute), level + (self._clock() - at) * per_minute / _MINUTE)


def rate_headers(left: int, seconds: int, per_minute: int) -> dict[str, str]:
    """`RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10 defines them."""
    return {
        "RateLimit-Policy": f'"{_POLICY}";q={per_minute};w={_MINUTE:.0f}',
        "RateLimit": f'"{_POLICY}";r={left};t={seconds}',
    }


def _seconds_to_token(level: float, per_minute: int) -> float:
    return max(0.0, (1.0 - level) * _MINUTE / per_minute)
