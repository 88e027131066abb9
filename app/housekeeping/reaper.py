"""Finds jobs that fell between the chairs: expired leases, and queued jobs whose message is gone.

Runs as a thread in every API process; a lock in Redis lets one of them sweep at a time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kombu.exceptions import OperationalError
from redis import RedisError

from sentiloc.app.housekeeping.retention import Retention
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.record import JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.local import Storage, source_owner
from sentiloc.app.uploads.record import upload_key

logger = logging.getLogger(__name__)

_UNFINISHED_SECONDS = 3600.0
_ORPHAN_INTERVAL_SECONDS = 600.0
_INDEX_INTERVAL_SECONDS = 3600.0
_FRONT = 100


@dataclass(frozen=True, slots=True)
class Chore:
    """Something else to do every so many seconds, by one API process."""

    name: str
    seconds: float
    do: Callable[[], object]


class Reaper:
    """Sweeps every `reaper_interval_seconds` until stopped."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        storage: Storage,
        dispatcher: Dispatcher,
        chores: Sequence[Chore] = (),
    ) -> None:
        self._chores = (
            Chore("retention", _INDEX_INTERVAL_SECONDS, self._index),
            Chore("reaper", settings.reaper_interval_seconds * 0.9, self.sweep),
            Chore("orphans", _ORPHAN_INTERVAL_SECONDS, self.forget_orphans),
            *chores,
        )
        self._settings = settings
        self._store = store
        self._storage = storage
        self._dispatcher = dispatcher
        self._retention = Retention(settings, store, storage)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reaper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        with contextlib.suppress(RedisError):
            self._retention.announce_times()
        self._thread.start()

    def stop(self) -> None:
        """End after the sweep under way."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.reaper_interval_seconds):
            for chore in self._chores:
                self._attempt(chore)

    def _attempt(self, chore: Chore) -> None:
        try:
            if self._have_turn(chore):
                chore.do()
        except (RedisError, OperationalError) as error:
            logger.warning("reaper cannot reach Redis: %s", error)
        except Exception:
            # A reaper that ends silently would leave jobs lying for ever.
            logger.exception("reaper: %s failed", chore.name)

    def _index(self) -> None:
        self._retention.announce_times()
        self._retention.index_older_jobs()

    def _have_turn(self, chore: Chore) -> bool:
        milliseconds = max(1, int(chore.seconds * 1000))
        turn, redis = f"{self._store.prefix}turn:{chore.name}", self._store.redis
        # A turn that lasts longer than turns do was taken before Redis's clock was set back.
        if redis.pttl(turn) > 2 * milliseconds:
            redis.delete(turn)
        return bool(redis.set(turn, "1", nx=True, px=milliseconds))

    def sweep(self) -> None:
        """Expire what has run out, announce what nobody was told of, remove uploads that broke off."""
        self._store.shorten_leases(2 * self._settings.lease_seconds)
        # After a restart of Redis the workers first get one lease's time to renew.
        if self._store.uptime_seconds() > self._settings.lease_seconds:
            self._expire()
        self._announce()
        self._retention.sweep()
        self._storage.sweep(_UNFINISHED_SECONDS)

    def forget_orphans(self) -> None:
        """Remove videos that no job claims: those whose job Redis never recorded, or forgot."""
        orphans = [
            key for key in self._storage.older_than("uploads", _UNFINISHED_SECONDS) if self._is_orphan(key)
        ]
        for key in orphans:
            logger.warning("no job claims %s: it is removed", key)
            self._storage.delete(key)
        self._retention.forget_orphans(_UNFINISHED_SECONDS)

    def _is_orphan(self, key: str) -> bool:
        owner = source_owner(key)
        if owner is None or self._store.redis.exists(upload_key(self._store.prefix, owner)):
            return False
        return self._store.get(owner) is None

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
        # While messages wait, a job far behind the front is late by its place, not for want of a message.
        for job_id in self._store.queued() if empty else self._store.queued(_FRONT):
            if self._store.should_announce(job_id, wait, broker_is_empty=empty):
                self._dispatcher.send(job_id)
