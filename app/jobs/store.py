"""Job records in Redis: submit, claim, renew, finish, cancel, reap. Every change is one atomic script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from redis import Redis
from redis.commands.core import Script

from sentiloc.app.access.caller import current_caller
from sentiloc.app.access.usage import KEPT_SECONDS, this_month
from sentiloc.app.jobs import scripts as job_scripts
from sentiloc.app.jobs.idempotency import KeyReusedError, Once
from sentiloc.app.jobs.options import JobOptions, Priority
from sentiloc.app.jobs.reads import JobReads, read_record
from sentiloc.app.jobs.record import (
    RUNNING,
    TERMINAL,
    JobError,
    JobRecord,
    JobState,
    Lease,
    new_job_id,
    sources,
)
from sentiloc.app.telemetry.tracing import current_traceparent
from sentiloc.model.errors import ErrorCode

POISON_DETAIL = "The job ended its worker every time it was tried; the video was not localized."
DEFAULTS = JobOptions()
FIRST_BATCH_SEQUENCE = 10**12


def _listed(names: Iterable[str]) -> str:
    return ",".join(names)


class JobStore(JobReads):
    """The truth about every job. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, redis: Redis, prefix: str = "sentiloc:") -> None:
        super().__init__(redis, prefix)
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
        source_url: str = "",
    ) -> JobRecord:
        """Record a new job as queued. The job is accepted once this returns.

        With `once`, the job that the same request made before is returned instead of a second one; it has another
        `source_key`. Raises `KeyReusedError` when the key came with another request. When the answer of Redis is
        lost, the job may be recorded: `job_id`, chosen beforehand, tells.
        """
        offset = FIRST_BATCH_SEQUENCE if options.priority is Priority.BATCH else 0
        fields = {
            "source_key": source_key,
            "source_name": source_name,
            "source_bytes": str(source_bytes),
            "source_url": source_url,
            "model": model,
            "priority": options.priority,
            "options": options.canonical(),
            "key_id": current_caller().key_id or "",
            "webhook": "" if options.webhook is None else "1",
            "trace": current_traceparent(),
        }
        pairs = [item for pair in fields.items() for item in pair]
        digest, seconds = ("", 0) if once is None else (once.digest, once.seconds)
        extra = [] if once is None else [f"{self.prefix}idempotency:{once.place}"]
        new_id = job_id or new_job_id()
        found = self._run(job_scripts.SUBMIT, new_id, offset, digest, seconds, *pairs, extra=extra)
        record = read_record(_pairs(found))
        if record is None:
            raise KeyReusedError
        return record

    def claim(self, job_id: str, owner: str, lease_seconds: float) -> JobRecord | None:
        """Take a queued job for `owner`; None when it is not queued (any more)."""
        claimable = _listed(sources(JobState.DECODING)[:1])
        return read_record(_pairs(self._run(job_scripts.CLAIM, job_id, owner, lease_seconds, claimable)))

    def renew(self, lease: Lease, lease_seconds: float, stage: str, progress: float) -> bool:
        """Keep the job and report its stage and progress (0-1); False when it was cancelled or lost."""
        target = JobState(stage) if stage in RUNNING else JobState.DECODING
        argv = (lease_seconds, _listed(RUNNING), target, _listed(sources(target)), stage, f"{progress:.2f}")
        return bool(self._run(job_scripts.RENEW, lease.job_id, lease.owner, lease.attempt, *argv))

    def fetched(self, lease: Lease, source_bytes: int) -> bool:
        """The video behind the job's URL is stored; False when the job was given to another worker."""
        return bool(self._run(job_scripts.FETCHED, lease.job_id, lease.owner, lease.attempt, source_bytes))

    def succeed(
        self,
        lease: Lease,
        result_key: str,
        labels_found: Iterable[str] = (),
        *,
        media_seconds: float = 0.0,
        thumbnails: int = 0,
    ) -> bool:
        """Finish with a result; False when the job was cancelled or given to another worker.

        `media_seconds` are charged to the job's API key, once however often this is repeated.
        """
        labels = _listed(sorted(set(labels_found)))
        outcome = ("", "", result_key, labels, round(1000 * media_seconds))
        return self._finish(lease, JobState.SUCCEEDED, *outcome, thumbnails=thumbnails)

    def fail(self, lease: Lease, error: JobError) -> bool:
        """Finish with an error; False when the job was cancelled or given to another worker."""
        return self._finish(lease, JobState.FAILED, error.code, error.detail, "", "", 0)

    def _finish(self, lease: Lease, target: JobState, *outcome: str | int, thumbnails: int = 0) -> bool:
        allowed = _listed(sources(target))
        argv = (lease.owner, lease.attempt, target, allowed, *outcome, this_month(), KEPT_SECONDS, thumbnails)
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
        return read_record(_pairs(self._run(job_scripts.DELETE, job_id, _listed(TERMINAL))))

    def keep_until(self, job_id: str, what: str, moment: float) -> bool:
        """Note when the `uploads`, `results` or `records` part of a finished job goes; False when it is gone."""
        return bool(self._run(job_scripts.KEEP, job_id, what, f"{moment:.6f}"))

    def expire(self, job_id: str, max_attempts: int, dead_owner: str = "") -> JobState | None:
        """Take a job from a worker whose lease ran out or who is known to be dead.

        The job is queued again, or failed as poison after `max_attempts` lost workers. None: nothing to do.
        """
        argv = (_listed(RUNNING), max_attempts, dead_owner, ErrorCode.POISON, POISON_DETAIL)
        state = str(self._run(job_scripts.EXPIRE, job_id, *argv))
        return JobState(state) if state else None

    def shorten_leases(self, most_seconds: float) -> None:
        """Let no lease end later than in so many seconds: it was given before Redis's clock was set back."""
        for job_id in self.leased_beyond(most_seconds):
            self._run(job_scripts.SHORTEN, job_id, most_seconds)

    def should_announce(self, job_id: str, wait_seconds: float, broker_is_empty: bool) -> bool:
        """True once per waiting time for a job that is still queued: its message should be sent (again).

        The waiting time doubles with each announcement, unless the broker holds no message at all.
        """
        argv = (wait_seconds, int(broker_is_empty))
        return bool(self._run(job_scripts.ANNOUNCE, job_id, *argv))

    def _run(self, script: str, job_id: str, *argv: str | float, extra: Sequence[str] = ()) -> object:
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = self.redis.register_script(script)
        shared = [f"{self.prefix}{name}" for name in ("queue", "leases")]
        keys = [self._job_key(job_id), *shared, self._events_key(job_id), f"{self.prefix}jobs", *extra]
        return known(keys=keys, args=list(argv))


def _pairs(value: object) -> dict[str, str]:
    flat = cast("list[str]", value)
    return dict(zip(flat[::2], flat[1::2], strict=True))
