"""Refuses requests to a store that does not answer, so that they do not hold all threads of the process."""

from __future__ import annotations

import threading
import time

from sentiloc.model.errors import ErrorCode, SentilocError

_REST_SECONDS = 5.0


class StoreUnreachableError(SentilocError):
    """A remote store cannot be reached, or is not asked because it does not answer: other requests would fail, too."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.STORAGE_UNAVAILABLE, detail)


class Breaker:
    """Opens when a request failed after `patience_seconds` in which no request was answered. May be used by any thread.

    While it is open, one request in five seconds is let through; the first that is answered closes it. Faults that are
    noticed at once, such as a refused connection, do not open it.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._next_try: float | None = None
        self._answered_at = float("-inf")

    def enter(self) -> float:
        """Begin a request; returns its beginning. Raises `StoreUnreachableError` if it must not be sent now."""
        now = time.monotonic()
        with self._lock:
            if self._next_try is not None:
                if now < self._next_try:
                    raise StoreUnreachableError("The object store does not answer.")
                self._next_try = now + _REST_SECONDS
        return now

    def answered(self) -> None:
        """The store has answered, with success or with an error."""
        self._next_try = None
        self._answered_at = time.monotonic()

    def failed(self, began: float) -> None:
        """The store could not be reached by a request that began then."""
        now = time.monotonic()
        with self._lock:
            if now - max(began, self._answered_at) >= self._patience:
                self._next_try = now + _REST_SECONDS
