"""Log lines about a part that is away: one at the start, one a minute, one at the end.

Many threads and requests notice the same outage many times a second. The level `debug` shows each time.
"""

from __future__ import annotations

import logging
import threading
import time

logger = logging.getLogger(__name__)

_REPEAT_SECONDS = 60.0
# Some requests still fail while others succeed again. The outage is over after this time without a failure.
_CALM_SECONDS = 5.0


class Outage:
    """The outages of one part, as this process notices them. May be used by any thread."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._lock = threading.Lock()
        self._began: float | None = None
        self._failures = 0
        self._failed_at = self._logged_at = 0.0

    @property
    def is_on(self) -> bool:
        """True from the first failure until the part has answered again."""
        return self._began is not None

    def failed(self, error: BaseException) -> None:
        """The part did not answer: begin an outage, or continue it."""
        with self._lock:
            now = time.monotonic()
            self._failures += 1
            self._failed_at = now
            is_new = self._began is None
            if self._began is None:
                self._began = now
            if not is_new and now - self._logged_at < _REPEAT_SECONDS:
                logger.debug("%s cannot be reached: %s", self._part, error)
                return
            self._logged_at, began, failures = now, self._began, self._failures
        if is_new:
            logger.warning("%s cannot be reached: %s", self._part, error)
        else:
            logger.warning(
                "%s has been away for %.0f s (%d failures): %s", self._part, now - began, failures, error
            )

    def answered(self) -> None:
        """The part has answered: the outage, if there is one, is over after a calm time."""
        # Without the lock, because this is called after every success.
        if not self.is_on:
            return
        with self._lock:
            now = time.monotonic()
            if self._began is None or now - self._failed_at < _CALM_SECONDS:
                return
            lasted, failures = now - self._began, self._failures
            self._began, self._failures = None, 0
        logger.warning("%s answers again, after %.0f s and %d failures", self._part, lasted, failures)


REDIS = Outage("Redis")
"""What this process knows of Redis."""
STORAGE = Outage("the storage")
"""What this process knows of the storage."""
