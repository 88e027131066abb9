"""Bounds the wait of queued jobs whose model no worker can run, and shows it in the job.

Requests for such a model are refused. A job that was accepted before its last worker disappeared waits, because that
worker may return.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sentiloc.app.housekeeping.retention import delete_results
from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.presence import why_unserved
from sentiloc.app.jobs.record import JobError, JobState
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.storage.base import Storage
from sentiloc.model.errors import ErrorCode

logger = logging.getLogger(__name__)

_PAGE = 1000
_FIELDS = ["model", "reel", "unserved_at", "unserved_why", "unserved_until"]


@dataclass(frozen=True, slots=True)
class _Queued:
    """The fields of a queued job that the watch reads.

    Times are Unix seconds of Redis's clock; None before a wait is noted.
    """

    id: str
    model: str
    since: float | None
    why: str | None
    until: float | None


@dataclass(frozen=True, slots=True)
class ModelWatch:
    """Looks through the queue.

    `seconds` is how long a job may wait for a worker that can run its model. A worker that has been silent for less
    than `grace_seconds` may be restarting, so it counts as able. After a start of Redis no wait ends for that time.
    """

    store: JobStore
    storage: Storage
    seconds: float
    grace_seconds: float

    def sweep(self) -> None:
        """Note in each queued job whether it waits for its model, and end those that have waited for too long.

        Raises `redis.RedisError`.
        """
        start = 0
        while page := self.store.queued(_PAGE, start):
            # Jobs that fail here leave the queue, so the next page begins earlier by their number.
            start += len(page) - self._update_waits(page)
        self._forget_taken()

    def _forget_taken(self) -> None:
        """Remove jobs from the set of waiting jobs that a worker of an earlier version took without removing them."""
        redis, unserved = self.store.redis, f"{self.store.prefix}unserved"
        start = 0
        while job_ids := cast("list[str]", redis.zrange(unserved, start, start + _PAGE - 1)):
            positions = zip(job_ids, self.store.queue_positions(job_ids), strict=True)
            taken = [job_id for job_id, position in positions if position is None]
            if taken:
                redis.zrem(unserved, *taken)
            # Removed jobs no longer count, so the next page begins earlier.
            start += len(job_ids) - len(taken)

    def _update_waits(self, job_ids: Sequence[str]) -> int:
        """Returns the number of jobs that have ended."""
        jobs = self._read(job_ids)
        models = {job.model for job in jobs}
        reasons = why_unserved(self.store.redis, self.store.prefix, models, self.grace_seconds)
        self.store.served([job.id for job in jobs if job.since is not None and job.model not in reasons])
        now = self.store.redis.time()[0]
        is_starting = self.store.uptime_seconds() < self.grace_seconds
        ended = 0
        for model, reason in sorted(reasons.items()):
            waiting = [job for job in jobs if job.model == model and not (is_starting and job.since)]
            # A wait that is already noted needs no write.
            changed = [job.id for job in waiting if not self._is_noted(job, reason, now)]
            ended += self._wait(model, reason, changed)
        return ended

    def _is_noted(self, job: _Queued, reason: str, now: float) -> bool:
        if job.since is None or job.until is None or job.why != reason:
            return False
        # `since` lies in the future after Redis's clock was set back; wait.lua begins the wait again. `now` has no
        # fraction, so a wait that has just begun may seem to be up to a second ahead.
        if job.since > now + 1:
            return False
        return now < job.until and abs(job.until - job.since - self.seconds) < 1.0

    def _wait(self, model: str, reason: str, job_ids: Sequence[str]) -> int:
        error = JobError(code=ErrorCode.MODEL_UNAVAILABLE, detail=reason)
        states = self.store.wait(job_ids, error, self.seconds)
        ended = [job_id for job_id, state in zip(job_ids, states, strict=True) if state is JobState.FAILED]
        for job_id in ended:
            logger.warning("job %s has waited for the model %s for too long", job_id, model)
            record = self.store.get(job_id)
            if record is not None:
                # An earlier attempt may have stored its result before it was killed.
                delete_results(self.storage, record)
        return len(ended)

    def _read(self, job_ids: Sequence[str]) -> list[_Queued]:
        """The jobs that need a model. A reel needs none."""
        pipe = self.store.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hmget(job_key(self.store.prefix, job_id), _FIELDS)
        rows = zip(job_ids, cast("list[list[str | None]]", pipe.execute()), strict=True)
        return [
            _Queued(job_id, model, _number(since), why, _number(until))
            for job_id, (model, reel, since, why, until) in rows
            if model and not reel
        ]


def _number(text: str | None) -> float | None:
    return float(text) if text else None
