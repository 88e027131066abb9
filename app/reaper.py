"""Finds jobs that fell between the chairs: expired leases, and queued jobs whose message is gone.

Runs as a thread in every API process; a lock in Redis lets one of them sweep at a time.
"""

from __future__ import annotations

import logging
import threading

from kombu.exceptions import OperationalError
from redis import RedisError

from app.broker import Dispatcher
from app.job_record import JobState
from app.job_store import JobStore
from app.settings import Settings
from app.storage import Storage, source_owner

logger = logging.getLogger(__name__)

_UNFINISHED_SECONDS = 3600.0
_ORPHAN_INTERVAL_SECONDS = 600.0


class Reaper:
    """Sweeps every `reaper_interval_seconds` until stopped."""

    def __init__(self, settings: Settings, store: JobStore, storage: Storage, dispatcher: Dispatcher) -> None:
        self._settings = settings
        self._store = store
        self._storage = storage
        self._dispatcher = dispatcher
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reaper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """End after the sweep under way."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.reaper_interval_seconds):
            try:
                if self._have_turn("reaper", self._settings.reaper_interval_seconds * 0.9):
                    self.sweep()
                if self._have_turn("orphans", _ORPHAN_INTERVAL_SECONDS):
                    self.forget_orphans()
            except (RedisError, OperationalError) as error:
                logger.warning("reaper cannot reach Redis: %s", error)
            except Exception:
                # A reaper that ends silently would leave jobs lying for ever.
                logger.exception("reaper: this sweep failed")

    def _have_turn(self, chore: str, seconds: float) -> bool:
        milliseconds = max(1, int(seconds * 1000))
        return bool(self._store.redis.set(f"{self._store.prefix}{chore}", "1", nx=True, px=milliseconds))

    def sweep(self) -> None:
        """Expire what has run out, announce what nobody was told of, remove uploads that broke off."""
        # After a restart of Redis the workers first get one lease's time to renew.
        if self._store.uptime_seconds() > self._settings.lease_seconds:
            self._expire()
        self._announce()
        self._storage.sweep(_UNFINISHED_SECONDS)

    def forget_orphans(self) -> None:
        """Remove videos that no job claims: those whose job Redis never recorded, or forgot."""
        orphans = [
            key for key in self._storage.older_than("uploads", _UNFINISHED_SECONDS) if self._is_orphan(key)
        ]
        for key in orphans:
            logger.warning("no job claims %s: it is removed", key)
            self._storage.delete(key)

    def _is_orphan(self, key: str) -> bool:
        job_id = source_owner(key)
        return job_id is not None and self._store.get(job_id) is None

    def _expire(self) -> None:
        for job_id in self._store.expired():
            state = self._store.expire(job_id, self._settings.max_attempts)
            if state is not None:
                logger.warning("job %s lost its worker and is now %s", job_id, state)
            if state is JobState.QUEUED:
                self._dispatcher.send(job_id)

    def _announce(self) -> None:
        empty = self._dispatcher.is_empty()
        wait = self._settings.reaper_interval_seconds if empty else self._settings.resend_seconds
        for job_id in self._store.queued():
            if self._store.should_announce(job_id, wait, broker_is_empty=empty):
                self._dispatcher.send(job_id)
