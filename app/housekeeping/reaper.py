"""Recovers orphaned jobs: expired leases and lost messages. Also runs the other periodic chores.

Runs as a thread in every API process. A lock in Redis lets only one process at a time run a chore.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kombu.exceptions import OperationalError
from redis import RedisError

from sentiloc.app.housekeeping.ownership import Ownership
from sentiloc.app.housekeeping.retention import Retention, delete_results
from sentiloc.app.housekeeping.waiting import ModelWatch
from sentiloc.app.jobs.broker import Dispatcher
from sentiloc.app.jobs.record import JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.redis.scripts import write_when_full
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.app.storage.breaker import StoreUnreachableError
from sentiloc.app.storage.failures import Failures
from sentiloc.app.storage.keys import PROBE
from sentiloc.app.telemetry import outages
from sentiloc.model.errors import ErrorCode, SentilocError

logger = logging.getLogger(__name__)

# By default an upload without data ends long before this, so the writer of an older unfinished file is dead.
_UNFINISHED_SECONDS = 3600.0
# Lists all files, which an object store charges for.
_ORPHAN_INTERVAL_SECONDS = 600.0
# Lists all files of this machine's disk.
_UNFINISHED_INTERVAL_SECONDS = 600.0
# Walks over all jobs, so it is rare; only jobs of old versions need it.
_INDEX_INTERVAL_SECONDS = 3600.0
# While messages wait, only jobs near the front can be late because of a lost message.
_FRONT = 100


@dataclass(frozen=True, slots=True)
class Chore:
    """A task that one API process does every `seconds`."""

    name: str
    seconds: float
    do: Callable[[], object]


class Reaper:
    """Runs its chores every `reaper_interval_seconds` until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        storage: Storage,
        dispatcher: Dispatcher,
        chores: Sequence[Chore] = (),
    ) -> None:
        watch = ModelWatch(store, storage, settings.model_wait_seconds, settings.lease_seconds)
        self._chores = (
            Chore("retention", _INDEX_INTERVAL_SECONDS, self._index),
            # Slightly shorter than the interval, so that the lock is free again at the next round.
            # Before "reaper", which sends the messages of the jobs whose model is served again.
            Chore("models", settings.reaper_interval_seconds * 0.9, watch.sweep),
            Chore("reaper", settings.reaper_interval_seconds * 0.9, self.sweep),
            Chore("orphans", _ORPHAN_INTERVAL_SECONDS, self.delete_orphans),
            Chore("unfinished", _UNFINISHED_INTERVAL_SECONDS, self._delete_unfinished),
            *chores,
        )
        self._settings = settings
        self._store = store
        self._storage = storage
        self._dispatcher = dispatcher
        self._retention = Retention(settings, store, storage)
        self._ownership = Ownership(store.redis, store.prefix, storage)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reaper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        with contextlib.suppress(RedisError):
            self._retention.publish_times()
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current chore."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.reaper_interval_seconds):
            for chore in self._chores:
                self._attempt(chore)
            self._probe_storage()

    def _attempt(self, chore: Chore) -> None:
        try:
            if self._have_turn(chore):
                chore.do()
            outages.REDIS.answered()
        except (RedisError, OperationalError) as error:
            outages.REDIS.failed(error)
        except Exception as error:
            if isinstance(error, SentilocError) and error.code is ErrorCode.STORAGE_UNAVAILABLE:
                # The chore has its next turn.
                _log_fault(chore, error)
                return
            # The thread must survive any error: without it, lost jobs would stay lost.
            logger.exception("reaper: %s failed", chore.name)

    def _probe_storage(self) -> None:
        """Ask the storage for a file during an outage, so that its end is noticed."""
        if not outages.STORAGE.is_on:
            return
        try:
            self._storage.size(PROBE)
        except SentilocError as error:
            outages.STORAGE.failed(error.__cause__ or error)
        else:
            outages.STORAGE.answered()

    def _index(self) -> None:
        self._retention.publish_times()
        self._retention.index_older_jobs()

    def _have_turn(self, chore: Chore) -> bool:
        milliseconds = max(1, int(chore.seconds * 1000))
        turn, redis = f"{self._store.prefix}turn:{chore.name}", self._store.redis
        # A lock whose expiry is too late was taken before Redis's clock was set back.
        if redis.pttl(turn) > 2 * milliseconds:
            redis.delete(turn)
        return bool(write_when_full(redis, self._store.prefix, "SET", turn, "1", "NX", "PX", milliseconds))

    def sweep(self) -> None:
        """Recover jobs with expired leases, resend lost messages, and delete expired data.

        Raises the first `storage_unavailable` at the end.
        """
        failures = Failures()
        try:
            self._recover(failures)
        finally:
            # Also while a full Redis takes no messages: this makes room.
            with failures.kept():
                self._retention.sweep()
        failures.raise_first()

    def _recover(self, failures: Failures) -> None:
        self._store.shorten_leases(2 * self._settings.lease_seconds)
        # After a restart of Redis, workers get the duration of one lease to renew theirs.
        if self._store.uptime_seconds() > self._settings.lease_seconds:
            self._expire(failures)
        self._resend()

    def delete_orphans(self) -> None:
        """Delete videos and results that belong to no job."""
        if not self._ownership.holds():
            return
        failures = Failures()
        for delete in (self._retention.delete_orphaned_videos, self._retention.delete_orphans):
            with failures.kept():
                delete(_UNFINISHED_SECONDS)
        failures.raise_first()

    def _delete_unfinished(self) -> None:
        self._storage.sweep(_UNFINISHED_SECONDS)

    def _expire(self, failures: Failures) -> None:
        for job_id in self._store.expired():
            state = self._store.expire(job_id, self._settings.max_attempts)
            if state is not None:
                logger.warning("job %s lost its worker and is %s now", job_id, state)
            if state is JobState.QUEUED:
                self._dispatcher.send(job_id)
            record = self._store.get(job_id) if state is JobState.FAILED else None
            if record is not None:
                # The last attempt may have stored its result before it was killed. What cannot be deleted becomes an
                # orphan.
                with failures.kept():
                    delete_results(self._storage, record)

    def _resend(self) -> None:
        empty = self._dispatcher.is_empty()
        wait = self._settings.reaper_interval_seconds if empty else self._settings.resend_seconds
        # While other messages wait, a job far back in the queue is late because of its position, not because of a lost
        # message.
        for job_id in self._store.queued() if empty else self._store.queued(_FRONT):
            if self._store.should_announce(job_id, wait, broker_is_empty=empty):
                self._dispatcher.send(job_id)


def _log_fault(chore: Chore, error: SentilocError) -> None:
    """Log a fault of the storage. A file that this machine's disk refuses is no outage, because other files may be
    usable.
    """
    cause = error.__cause__
    # boto3's time-outs are OSErrors, too.
    if isinstance(cause, OSError) and not isinstance(error, StoreUnreachableError):
        logger.warning("reaper: %s: the disk refused a file: %s", chore.name, cause)
    else:
        outages.STORAGE.failed(cause or error)
