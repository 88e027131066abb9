"""Takes the next job that this worker can run, and passes on messages for other workers."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from redis import RedisError

from sentiloc.app.housekeeping.retention import delete_results
from sentiloc.app.jobs.leases import WaitingForOthers, WorkerCapabilities
from sentiloc.app.jobs.presence import WorkerPresence, alive_workers, why_unserved
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.settings import Settings
from sentiloc.app.storage.base import Storage
from sentiloc.worker.jobs.faults import sleep_unless_draining
from sentiloc.worker.jobs.owner import is_dead, is_this_process, new_owner
from sentiloc.worker.pipelines.registry import Pipelines

logger = logging.getLogger(__name__)

# A job that this worker had to put back, although it has the model, is left to other workers for this long.
_LEFT_SECONDS = 30.0
# The pause before a message is returned to the broker. It grows from the first value to the second: all workers that
# can run the job may be busy, and each message counts towards the number after which Celery replaces this process.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
# How often this worker looks for jobs that it can run meanwhile.
_LOOK_SECONDS = 1.0


class Claims:
    """The claims of one worker process.

    A message wakes any worker. If the jobs that wait need models which only other workers have, this worker gives the
    message back to the broker, so that it wakes one of them.
    """

    def __init__(self, settings: Settings, store: JobStore, storage: Storage, pipelines: Pipelines) -> None:
        self._settings = settings
        self._store = store
        self._storage = storage
        self._pipelines = pipelines
        self._left: dict[str, float] = {}
        self._pause = 0.0

    def take(self, job_id: str) -> JobRecord | WaitingForOthers | None:
        """The next job in the queue that this worker can run; the message may name another one.

        None: nothing is to be done for the message now. `WaitingForOthers`: it should go back to the broker.
        Raises `redis.RedisError`.
        """
        take_from_dead_owner(self._store, self._storage, job_id, self._settings.max_attempts)
        found = self._next(job_id)
        # A message that returns at once found no other worker idle.
        left = self._pause
        while (
            isinstance(found, WaitingForOthers)
            and left > 0
            and sleep_unless_draining(min(left, _LOOK_SECONDS))
        ):
            left -= _LOOK_SECONDS
            found = self._next(job_id)
        if not isinstance(found, WaitingForOthers):
            self._pause = 0.0
            return found
        if not self._is_for_others(found):
            # The reaper sends a message as soon as a worker can run the model.
            logger.info("no worker can run the jobs that wait")
            return None
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        return found

    def leave(self, record: JobRecord) -> None:
        """For a while, leave a job that met a fault of this worker to other workers that have the model.

        A worker that lacks the model passes over all jobs of that model anyway. Raises `redis.RedisError`.
        """
        is_served = record.reel is not None or record.model in self._pipelines.served()[0]
        if is_served and self._able(record):
            self._left[record.id] = time.monotonic() + _LEFT_SECONDS

    def others(self, model: str) -> list[WorkerPresence]:
        """The other workers that are alive and have a model. Raises `redis.RedisError`."""
        return [one for one in self._others() if one.why_not(model) is None]

    def can_others_work(self) -> bool:
        """Whether another worker that is alive takes jobs; False while Redis cannot be reached."""
        with suppress(RedisError):
            return any(one.is_ready and one.paused is None for one in self._others())
        return False

    def _able(self, record: JobRecord) -> list[WorkerPresence]:
        # A reel needs no model.
        others = self._others() if record.reel is not None else self.others(record.model)
        return [one for one in others if one.paused is None]

    def _others(self) -> list[WorkerPresence]:
        alive = alive_workers(self._store.redis, self._store.prefix)
        return [one for one in alive if not is_this_process(one.name)]

    def _next(self, job_id: str) -> JobRecord | WaitingForOthers | None:
        now = time.monotonic()
        self._left = {name: until for name, until in self._left.items() if until > now}
        capabilities = WorkerCapabilities(frozenset(self._pipelines.served()[0]), frozenset(self._left))
        return self._store.take(job_id, new_owner(), self._settings.lease_seconds, capabilities)

    def _is_for_others(self, passed: WaitingForOthers) -> bool:
        """Whether a worker that is alive, or may be restarting, can run one of the jobs."""
        redis, prefix = self._store.redis, self._store.prefix
        unserved = why_unserved(redis, prefix, passed.models, self._settings.lease_seconds)
        return len(unserved) < len(passed.models)


def take_from_dead_owner(store: JobStore, storage: Storage, job_id: str, max_attempts: int) -> bool:
    """Requeue an orphaned job whose worker ran on this machine and has ended; True when it is queued.

    If the job is given up, results that killed attempts had stored are deleted.
    """
    record = store.get(job_id)
    # Quicker than waiting for the lease to expire, and safe: a dead process cannot write any more.
    if record is None or record.owner is None or not record.state.is_running or not is_dead(record.owner):
        return False
    state = store.expire(job_id, max_attempts, dead_owner=record.owner)
    logger.warning("job %s lost its worker (attempt %d) and is now %s", job_id, record.attempt, state)
    if state is JobState.FAILED:
        delete_results(storage, record)
    return state is JobState.QUEUED
