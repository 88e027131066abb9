"""Job records in Redis: submit, claim, renew, finish, cancel, reap. Every change is one atomic script."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.commands.core import Script

from app import job_scripts
from app.callers import current_caller
from app.job_options import JobOptions, Priority
from app.job_record import (
    RUNNING,
    TERMINAL,
    JobError,
    JobRecord,
    JobState,
    Lease,
    new_job_id,
    parse_record,
    sources,
)
from app.usage import KEPT_SECONDS, this_month
from model.errors import ErrorCode

logger = logging.getLogger(__name__)

POISON_DETAIL = "The job ended its worker every time it was tried; the video was not localized."


DEFAULTS = JobOptions()
FIRST_BATCH_SEQUENCE = 10**12


def job_key(prefix: str, job_id: str) -> str:
    """Where a job's record is."""
    return f"{prefix}job:{job_id}"


def events_key(prefix: str, job_id: str) -> str:
    """Where a job's events are."""
    return f"{prefix}events:{job_id}"


def _listed(names: Iterable[str]) -> str:
    return ",".join(names)


class KeyReusedError(Exception):
    """The idempotency key was used for another request."""


@dataclass(frozen=True, slots=True)
class Once:
    """A client's wish that a request makes one job, however often it is sent."""

    key: str
    digest: str
    seconds: int

    @property
    def place(self) -> str:
        """The client's key in a form that may be part of a key in Redis; each API key has its own."""
        asker = current_caller().key_id
        text = self.key if asker is None else f"{asker} {self.key}"
        return hashlib.sha256(text.encode()).hexdigest()


class JobStore:
    """The truth about every job. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, redis: Redis, prefix: str = "sentiloc:") -> None:
        self.redis = redis
        self.prefix = prefix
        self._scripts: dict[str, Script] = {}

    def submit(
        self,
        *,
        job_id: str | None = None,
        source_key: str,
        source_name: str,
        source_bytes: int,
        model: str,
        options: JobOptions = DEFAULTS,
        once: Once | None = None,
    ) -> JobRecord:
        """Record a new job as queued. The job is accepted once this returns.

        With `once`, the job that the same request made before is returned instead of a second one; it has another
        `source_key`. Raises `KeyReusedError` when the key came with another request. When the answer of Redis is
        lost, the job may be recorded: `job_id`, chosen beforehand, tells.
        """
        sequence = int(self.redis.incr(f"{self.prefix}sequence"))
        sequence += FIRST_BATCH_SEQUENCE if options.priority is Priority.BATCH else 0
        fields = {
            "source_key": source_key,
            "source_name": source_name,
            "source_bytes": str(source_bytes),
            "model": model,
            "priority": options.priority,
            "options": options.canonical(),
            "key_id": current_caller().key_id or "",
        }
        pairs = [item for pair in fields.items() for item in pair]
        digest, seconds = ("", 0) if once is None else (once.digest, once.seconds)
        extra = [] if once is None else [f"{self.prefix}idempotency:{once.place}"]
        new_id = job_id or new_job_id()
        found = str(self._run(job_scripts.SUBMIT, new_id, sequence, digest, seconds, *pairs, extra=extra))
        if not found:
            raise KeyReusedError
        record = self.get(found)
        if record is None:
            raise RuntimeError(f"job {found} vanished while it was submitted")
        return record

    def get(self, job_id: str) -> JobRecord | None:
        """The record, or None for an id that does not exist."""
        return _record(self.redis.hgetall(self._job_key(job_id)))

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """The records in the order of their ids, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hgetall(self._job_key(job_id))
        return [_record(fields) for fields in pipe.execute()]

    def queue_positions(self, job_ids: Sequence[str]) -> list[int | None]:
        """`queue_position` of many, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.zrank(f"{self.prefix}queue", job_id)
        return [None if rank is None else rank + 1 for rank in pipe.execute()]

    def queue_position(self, job_id: str) -> int | None:
        """1 for the job that starts next, None when the job is not queued."""
        return self.queue_positions([job_id])[0]

    def claim(self, job_id: str, owner: str, lease_seconds: float) -> JobRecord | None:
        """Take a queued job for `owner`; None when it is not queued (any more)."""
        claimable = _listed(sources(JobState.DECODING)[:1])
        return _record(_pairs(self._run(job_scripts.CLAIM, job_id, owner, lease_seconds, claimable)))

    def renew(self, lease: Lease, lease_seconds: float, stage: str, progress: float) -> bool:
        """Keep the job and report its stage and progress (0-1); False when it was cancelled or lost."""
        target = JobState(stage) if stage in RUNNING else JobState.DECODING
        argv = (lease_seconds, _listed(RUNNING), target, _listed(sources(target)), stage, f"{progress:.2f}")
        return bool(self._run(job_scripts.RENEW, lease.job_id, lease.owner, lease.attempt, *argv))

    def succeed(
        self, lease: Lease, result_key: str, labels_found: Iterable[str] = (), media_seconds: float = 0.0
    ) -> bool:
        """Finish with a result; False when the job was cancelled or given to another worker.

        `media_seconds` are charged to the job's API key, once however often this is repeated.
        """
        labels = _listed(sorted(set(labels_found)))
        return self._finish(
            lease, JobState.SUCCEEDED, "", "", result_key, labels, round(1000 * media_seconds)
        )

    def fail(self, lease: Lease, error: JobError) -> bool:
        """Finish with an error; False when the job was cancelled or given to another worker."""
        return self._finish(lease, JobState.FAILED, error.code, error.detail, "", "", 0)

    def _finish(self, lease: Lease, target: JobState, *outcome: str | int) -> bool:
        allowed = _listed(sources(target))
        argv = (lease.owner, lease.attempt, target, allowed, *outcome, this_month(), KEPT_SECONDS)
        return bool(self._run(job_scripts.FINISH, lease.job_id, *argv))

    def release(self, lease: Lease) -> bool:
        """Put an unfinished job back into the queue, in its old place, without blame."""
        argv = (lease.owner, lease.attempt, _listed(RUNNING))
        return bool(self._run(job_scripts.RELEASE, lease.job_id, *argv))

    def cancel(self, job_id: str) -> bool:
        """End a queued or running job as cancelled; its worker learns of it at its next renewal."""
        return bool(self._run(job_scripts.CANCEL, job_id, _listed(sources(JobState.CANCELLED))))

    def delete(self, job_id: str) -> JobRecord | None:
        """Forget a terminal job and its events; returns what it was, None if it is not terminal."""
        return _record(_pairs(self._run(job_scripts.DELETE, job_id, _listed(TERMINAL))))

    def expired(self) -> list[str]:
        """Ids of running jobs whose lease has run out."""
        seconds, micros = self.redis.time()
        now = seconds + micros / 1e6
        return _strings(self.redis.zrangebyscore(f"{self.prefix}leases", "-inf", now))

    def leased(self) -> list[str]:
        """Ids of all running jobs."""
        return _strings(self.redis.zrange(f"{self.prefix}leases", 0, -1))

    def queued(self, limit: int = 1000) -> list[str]:
        """Ids of the jobs that start next, in order."""
        return _strings(self.redis.zrange(f"{self.prefix}queue", 0, limit - 1))

    def expire(self, job_id: str, max_attempts: int, dead_owner: str = "") -> JobState | None:
        """Take a job from a worker whose lease ran out or who is known to be dead.

        The job is queued again, or failed as poison after `max_attempts` lost workers. None: nothing to do.
        """
        argv = (_listed(RUNNING), max_attempts, dead_owner, ErrorCode.POISON, POISON_DETAIL)
        state = str(self._run(job_scripts.EXPIRE, job_id, *argv))
        return JobState(state) if state else None

    def should_announce(self, job_id: str, wait_seconds: float, broker_is_empty: bool) -> bool:
        """True once per waiting time for a job that is still queued: its message should be sent (again).

        The waiting time doubles with each announcement, unless the broker holds no message at all.
        """
        argv = (wait_seconds, int(broker_is_empty))
        return bool(self._run(job_scripts.ANNOUNCE, job_id, *argv))

    def events(self, job_id: str, after: str = "-") -> list[tuple[str, dict[str, str]]]:
        """What happened to the job, oldest first: (event id, fields); exactly one is of kind `final`."""
        start = after if after == "-" else f"({after}"
        return cast(
            "list[tuple[str, dict[str, str]]]", self.redis.xrange(self._events_key(job_id), min=start)
        )

    def uptime_seconds(self) -> float:
        """How long Redis has been up."""
        return float(self.redis.info("server")["uptime_in_seconds"])

    def _job_key(self, job_id: str) -> str:
        return job_key(self.prefix, job_id)

    def _events_key(self, job_id: str) -> str:
        return events_key(self.prefix, job_id)

    def _run(self, script: str, job_id: str, *argv: str | float, extra: Sequence[str] = ()) -> object:
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = self.redis.register_script(script)
        shared = [f"{self.prefix}{name}" for name in ("queue", "leases")]
        keys = [self._job_key(job_id), *shared, self._events_key(job_id), f"{self.prefix}jobs", *extra]
        return known(keys=keys, args=list(argv))


def _strings(value: object) -> list[str]:
    return list(cast("list[str]", value))


def _pairs(value: object) -> dict[str, str]:
    flat = cast("list[str]", value)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _record(fields: object) -> JobRecord | None:
    found = cast("dict[str, str]", fields)
    return parse_record(found) if found else None
