"""Job records in Redis.

Every change is one atomic script in `jobs/lua`, so it is safe if processes compete for a job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from redis import Redis, RedisError

from sentiloc.app.access.repeats import job_request
from sentiloc.app.access.usage import KEPT_SECONDS, this_month
from sentiloc.app.jobs.found import Found, write_found
from sentiloc.app.jobs.idempotency import IdempotencyKey, KeyReusedError
from sentiloc.app.jobs.keys import events_key, job_key, queue_key
from sentiloc.app.jobs.options import Priority
from sentiloc.app.jobs.record import (
    RUNNING,
    TERMINAL,
    JobError,
    JobRecord,
    JobState,
    Lease,
    NewJob,
    parse_record,
    sources,
)
from sentiloc.app.redis.scripts import Scripts
from sentiloc.app.redis.shared_connection import pairs
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode

POISON_DETAIL = "Every worker that tried this video crashed, so the job was given up."
# Batch jobs have sequence numbers behind those of all interactive jobs.
FIRST_BATCH_SEQUENCE = 10**12
_UPLOAD_ENDED = ["upload", "gone"]
_KEY_FULL = ["key", "full"]
# A healthy replica answers in milliseconds. Longer waits would only block requests.
_REPLICATION_MILLISECONDS = 1000


class UploadEndedError(Exception):
    """The upload for the job was ended or has expired."""


class QueueFullError(Exception):
    """The API key has as many queued jobs as it may have."""


class NotReplicatedError(RedisError):
    """Too few replicas hold what was written."""


def _listed(names: Iterable[str]) -> str:
    return ",".join(names)


class JobStore:
    """All jobs. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, redis: Redis, prefix: str = "sentiloc:") -> None:
        self.redis = redis
        self.prefix = prefix
        self._scripts = Scripts(redis, "sentiloc.app.jobs", prefix, prelude="prelude")

    def submit(self, job: NewJob, max_queued: int = 0) -> JobRecord:
        """Record a new job as queued. The job is accepted once this returns. May be repeated.

        The queue is fair: the owners of queued jobs (API keys) take turns, according to the weights of their keys.
        `max_queued` is the number of queued jobs that one key may have; 0: any number.

        If the same request was sent before with the same idempotency key, its job is returned instead; that job has
        another id. An upload with the job's id is marked as used in the same atomic step.

        Raises `KeyReusedError` when the key came with another request, `UploadEndedError` when the upload is gone,
        `QueueFullError` when the API key has too many queued jobs.
        After a `redis.RedisError` the job may still have been recorded: look up `job.id`.
        """
        offset = FIRST_BATCH_SEQUENCE if job.options.priority is Priority.BATCH else 0
        # Lua takes field and value in turn.
        changes = [item for pair in job.fields().items() for item in pair]
        key = job.idempotency
        digest, seconds = ("", 0) if key is None else (key.digest, key.seconds)
        extra = [] if key is None else [self._idempotency(key, job.key_id)]
        found = self.run("submit", job.id, offset, digest, seconds, max_queued, *changes, extra=extra)
        if found == _UPLOAD_ENDED:
            raise UploadEndedError
        if found == _KEY_FULL:
            raise QueueFullError
        record = read_record(_pairs(found))
        if record is None:
            raise KeyReusedError
        return record

    def seen(self, key: IdempotencyKey, key_id: str | None) -> JobRecord | None:
        """The job of an idempotency key, if any; raises `KeyReusedError` if the request was a different one."""
        kept = cast("str | None", self.redis.get(self._idempotency(key, key_id)))
        digest, _, job_id = (kept or "").partition(" ")
        record = self.get(job_id) if job_id else None
        if record is not None and digest != key.digest:
            raise KeyReusedError
        return record

    def _idempotency(self, key: IdempotencyKey, key_id: str | None) -> str:
        return job_request(self.prefix, key_id, key.text)

    def replicate(self, replicas: int) -> None:
        """Wait up to a second until `replicas` hold all that was written so far; 0 does not wait.

        Raises `NotReplicatedError`. What was written stays written.
        """
        if replicas == 0:
            return
        # WAIT only covers writes of its own connection, and the pool may return another one. So we write once more on
        # this connection: replication is ordered, so that write comes after all earlier ones.
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.set(f"{self.prefix}replicated", 1)
        pipeline.wait(replicas, _REPLICATION_MILLISECONDS)
        held = int(pipeline.execute()[1])
        if held < replicas:
            raise NotReplicatedError(f"{held} of {replicas} replicas hold the job")

    def claim(
        self, job_id: str, owner: str, lease_seconds: float, *, in_turn: bool = False
    ) -> JobRecord | None:
        """Take a queued job for `owner`; None if it is not queued any more.

        With `in_turn`, take whichever job is next in the queue; None if no job can be taken now.
        """
        claimable = _listed(sources(JobState.DECODING)[:1])
        return read_record(_pairs(self.run("claim", job_id, owner, lease_seconds, claimable, int(in_turn))))

    def renew(self, lease: Lease, lease_seconds: float, stage: str, progress: float) -> bool:
        """Renew the lease and report stage and progress (0 to 1); False if the job was cancelled or lost."""
        target = JobState(stage) if stage in RUNNING else JobState.DECODING
        argv = (lease_seconds, _listed(RUNNING), target, _listed(sources(target)), stage, f"{progress:.2f}")
        return bool(self.run("renew", lease.job_id, lease.owner, lease.attempt, *argv))

    def holds(self, lease: Lease) -> bool:
        """True if the worker still holds the job. It only reads, so it may be called often."""
        found = self.redis.hmget(self._job_key(lease.job_id), ["owner", "attempt", "state"])
        owner, attempt, state = cast("list[str | None]", found)
        return owner == lease.owner and attempt == str(lease.attempt) and state in RUNNING

    def tell_segments(self, lease: Lease, keep: int, segments: str, until: float) -> bool:
        """Send an event with provisional segments; False if another worker has the job.

        `segments` (a JSON list) replaces all segments sent before except the first `keep`.
        """
        argv = (lease.owner, lease.attempt, segments, keep, f"{until:.3f}")
        return bool(self.run("segments", lease.job_id, *argv))

    def fetched(self, lease: Lease, source_bytes: int) -> bool:
        """Record the size of the video fetched from the job's URL; False if another worker has the job."""
        return bool(self.run("fetched", lease.job_id, lease.owner, lease.attempt, source_bytes))

    def succeed(
        self,
        lease: Lease,
        result_key: str,
        labels_found: Iterable[str] = (),
        *,
        media_seconds: float = 0.0,
        thumbnails: int = 0,
        duration: float | None = None,
        found: Found | None = None,
    ) -> bool:
        """End the job with a result; False if it was cancelled or another worker has it. May be repeated.

        `media_seconds` are added to the usage of the job's API key, once. `duration` is the video's, in seconds.
        """
        labels = _listed(sorted(set(labels_found)))
        outcome = ("", "", result_key, labels, round(1000 * media_seconds))
        shown = ("" if duration is None else f"{duration:.3f}", "" if found is None else write_found(found))
        return self._finish(lease, JobState.SUCCEEDED, *outcome, thumbnails=thumbnails, shown=shown)

    def fail(self, lease: Lease, error: JobError) -> bool:
        """End the job with an error; False if it was cancelled or another worker has it."""
        return self._finish(lease, JobState.FAILED, error.code, error.detail, "", "", 0)

    def _finish(
        self,
        lease: Lease,
        target: JobState,
        *outcome: str | int,
        thumbnails: int = 0,
        shown: tuple[str, str] = ("", ""),
    ) -> bool:
        allowed = _listed(sources(target))
        charged = (this_month(), KEPT_SECONDS)
        argv = (lease.owner, lease.attempt, target, allowed, *outcome, *charged, thumbnails, *shown)
        return bool(self.run("finish", lease.job_id, *argv))

    def release(self, lease: Lease) -> bool:
        """Put a running job back into the queue at its old position. It does not count as a crash.

        A worker also calls it for a job that it lost while it was cut off from Redis, which is not a crash either.
        """
        argv = (lease.owner, lease.attempt, _listed(RUNNING))
        return bool(self.run("release", lease.job_id, *argv))

    def defer(self, lease: Lease, error: JobError, settings: Settings) -> JobState | None:
        """Put back a job that a temporary fault of the installation stopped, with a growing pause.

        It fails with `error` once the fault has lasted `fault_patience_seconds`, or `model_wait_seconds` for a model
        that is not available. Returns the new state; None if the job was cancelled or another worker has it.
        """
        is_model = error.code is ErrorCode.MODEL_UNAVAILABLE
        patience = settings.model_wait_seconds if is_model else settings.fault_patience_seconds
        pauses = (settings.fault_pause_seconds, settings.fault_pause_max_seconds, patience)
        argv = (lease.owner, lease.attempt, _listed(RUNNING), *pauses, error.code, error.detail)
        state = str(self.run("defer", lease.job_id, *argv))
        return JobState(state) if state else None

    def wait(self, job_ids: Sequence[str], error: JobError, seconds: float) -> list[JobState | None]:
        """Note that no worker can run the model of these queued jobs, for the reason in `error`.

        A job that has waited for `seconds` fails with `error`. Returns the new states, None for a job that is not
        queued.
        """
        calls = [(self._keys(job_id), (error.code, error.detail, seconds)) for job_id in job_ids]
        answers = self._scripts.run_many("wait", calls)
        return [JobState(str(answer)) if answer else None for answer in answers]

    def served(self, job_ids: Sequence[str]) -> None:
        """Note that a worker can run the model of these jobs again."""
        self._scripts.run_many("served", [(self._keys(job_id), ()) for job_id in job_ids])

    def cancel(self, job_id: str) -> bool:
        """Cancel a queued or running job; its worker notices at its next renewal. False if the job had ended."""
        return bool(self.run("cancel", job_id, _listed(sources(JobState.CANCELLED))))

    def delete(self, job_id: str) -> JobRecord | None:
        """Delete an ended job and its events. Returns its record; None if it has not ended or does not exist."""
        return read_record(_pairs(self.run("delete", job_id, _listed(TERMINAL))))

    def change(self, job_id: str, seen: Mapping[str, str], new: Mapping[str, str]) -> bool | None:
        """Set fields of the record if their values are still those in `seen`.

        False if another client has changed them; None if the job is gone.
        """
        pairs_of = [item for part in (seen, new) for pair in part.items() for item in pair]
        answer = self.run("change", job_id, len(seen), *pairs_of)
        return {0: None, 1: True, 2: False}[int(str(answer))]

    def hash(self, job_id: str) -> dict[str, str]:
        """The record as Redis holds it; empty for an unknown id."""
        return cast("dict[str, str]", self.redis.hgetall(self._job_key(job_id)))

    def cancel_many(self, job_ids: Sequence[str]) -> list[bool]:
        """`cancel` of many, in one round trip."""
        allowed = _listed(sources(JobState.CANCELLED))
        calls = [(self._keys(job_id), (allowed,)) for job_id in job_ids]
        return [bool(answer) for answer in self._scripts.run_many("cancel", calls)]

    def delete_many(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """`delete` of many, in one round trip."""
        calls = [(self._keys(job_id), (_listed(TERMINAL),)) for job_id in job_ids]
        return [read_record(_pairs(answer)) for answer in self._scripts.run_many("delete", calls)]

    def keep_until(self, job_id: str, what: str, moment: float) -> bool:
        """Set when `uploads`, `results` or `records` of an ended job are deleted; False if the job is gone."""
        return bool(self.run("keep", job_id, what, f"{moment:.6f}"))

    def expire(self, job_id: str, max_attempts: int, dead_owner: str = "") -> JobState | None:
        """Take a job from a worker whose lease has expired, or from `dead_owner`.

        The job returns to the queue; after `max_attempts` lost workers it fails as `poison`. Returns the new state,
        None if nothing changed.
        """
        argv = (_listed(RUNNING), max_attempts, dead_owner, ErrorCode.POISON, POISON_DETAIL)
        state = str(self.run("expire", job_id, *argv))
        return JobState(state) if state else None

    def shorten_leases(self, most_seconds: float) -> None:
        """Shorten leases that end more than `most_seconds` from now: Redis's clock was set back since."""
        for job_id in self.leased_beyond(most_seconds):
            self.run("shorten", job_id, most_seconds)

    def should_announce(self, job_id: str, wait_seconds: float, broker_is_empty: bool) -> bool:
        """True if the message of a queued job should be sent again. It returns True once per waiting time.

        The waiting time doubles each time, unless the broker has no message at all.
        """
        argv = (wait_seconds, int(broker_is_empty))
        return bool(self.run("announce", job_id, *argv))

    def run(self, script: str, job_id: str, *argv: str | float, extra: Sequence[str] = ()) -> object:
        """Run a script of `jobs/lua` for a job; `extra` are further keys after those that all scripts have."""
        return self._scripts.run(script, [*self._keys(job_id), *extra], argv)

    def _keys(self, job_id: str) -> list[str]:
        shared = [f"{self.prefix}{name}" for name in ("queue", "leases")]
        return [self._job_key(job_id), *shared, self._events_key(job_id), f"{self.prefix}jobs"]

    def get(self, job_id: str) -> JobRecord | None:
        """The record; None for an unknown id."""
        return read_record(self.redis.hgetall(self._job_key(job_id)))

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """The records in the order of their ids, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hgetall(self._job_key(job_id))
        return [read_record(fields) for fields in pipe.execute()]

    def queue_positions(self, job_ids: Sequence[str]) -> list[int | None]:
        """`queue_position` of many, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.zrank(queue_key(self.prefix), job_id)
        return [None if rank is None else rank + 1 for rank in pipe.execute()]

    def queue_position(self, job_id: str) -> int | None:
        """1 for the job that starts next; None if the job is not queued."""
        return self.queue_positions([job_id])[0]

    def expired(self) -> list[str]:
        """The ids of running jobs whose lease has expired."""
        seconds, micros = self.redis.time()
        now = seconds + micros / 1e6
        return _strings(self.redis.zrangebyscore(f"{self.prefix}leases", "-inf", now))

    def leased_beyond(self, seconds: float) -> list[str]:
        """The ids of running jobs whose lease ends more than `seconds` from now."""
        now, micros = self.redis.time()
        after = f"({now + micros / 1e6 + seconds}"
        return _strings(self.redis.zrangebyscore(f"{self.prefix}leases", after, "+inf"))

    def leased(self) -> list[str]:
        """The ids of all running jobs."""
        return _strings(self.redis.zrange(f"{self.prefix}leases", 0, -1))

    def queued(self, limit: int = 1000, start: int = 0) -> list[str]:
        """The ids of the next jobs to start, in order, without the first `start`."""
        return _strings(self.redis.zrange(queue_key(self.prefix), start, start + limit - 1))

    def events(self, job_id: str, after: str = "-") -> list[tuple[str, dict[str, str]]]:
        """The job's events, oldest first, as (event id, fields). Exactly one has the kind `final`."""
        start = after if after == "-" else f"({after}"
        return cast(
            "list[tuple[str, dict[str, str]]]", self.redis.xrange(self._events_key(job_id), min=start)
        )

    def uptime_seconds(self) -> float:
        """The uptime of Redis."""
        return float(self.redis.info("server")["uptime_in_seconds"])

    def _job_key(self, job_id: str) -> str:
        return job_key(self.prefix, job_id)

    def _events_key(self, job_id: str) -> str:
        return events_key(self.prefix, job_id)


def _pairs(value: object) -> dict[str, str]:
    return pairs(cast("list[str]", value))


def _strings(value: object) -> list[str]:
    return list(cast("list[str]", value))


def read_record(fields: object) -> JobRecord | None:
    found = cast("dict[str, str]", fields)
    return parse_record(found) if found else None
