"""What workers do with jobs: take one from the queue, hold it with a lease, and end it or put it back.

Every change is one atomic script in `jobs/lua`, so it is safe if processes compete for a job.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from sentiloc.app.access.usage import HELD, KEPT_SECONDS, this_month
from sentiloc.app.jobs.found import Found, write_found
from sentiloc.app.jobs.keys import events_key, job_key
from sentiloc.app.jobs.options import TimeRange
from sentiloc.app.jobs.record import (
    RUNNING,
    JobError,
    JobRecord,
    JobState,
    Lease,
    cost_of,
    expected_cost,
    parse_record,
    sources,
    written_cost,
)
from sentiloc.app.redis.scripts import CLOCK, Scripts
from sentiloc.app.redis.shared_connection import pairs
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError

POISON_DETAIL = "Every worker that tried this video crashed, so the job was given up."
# An answer of fetched.lua.
_NO_ROOM = 2
# Both are answers and arguments of claim.lua. No model has either name.
_ANY_MODEL = "*"
_PASSED_OVER = ["passed over"]
# Positions of the queue that one script reads. It blocks Redis for about 4 microseconds per position.
_LOOKED_AT = 1000
# Scripts that store what clients send, or what a running job reports to them.
_GROWING = frozenset({"submit", "submit_many", "change", "share", "segments"})
# In this order: later ones use earlier ones.
_SHARED = (
    *(CLOCK, HELD, "shared/job", "shared/queue", "shared/turns"),
    *("shared/stored_bytes", "shared/ending"),
)


class JobScripts:
    """Runs the scripts of `jobs/lua`. Raises `redis.RedisError` when Redis cannot be reached."""

    def __init__(self, redis: Redis, prefix: str = "sentiloc:") -> None:
        self.redis = redis
        self.prefix = prefix
        self._scripts = Scripts(redis, "sentiloc.app.jobs", prefix, _SHARED, _GROWING)
        self._bare = Scripts(redis, "sentiloc.app.jobs", prefix)

    def run(self, script: str, job_id: str, *argv: str | float, extra: Sequence[str] = ()) -> object:
        """Run a script of `jobs/lua` for a job; `extra` are further keys after those that all scripts have."""
        return self._scripts.run(script, [*self._keys(job_id), *extra], argv)

    def behind(self, index: str, place: tuple[float, str], count: int) -> list[tuple[float, str]] | None:
        """`count` jobs of an index after a place (time, id), newest first; None if no job has this place any more.

        All jobs of a batch have the same time, so a search by time alone would read all of them for each page.
        """
        at, job_id = place
        found = self._bare.query("behind", [index], [job_id, repr(at), count])
        if found is None:
            return None
        flat = read_strings(found)
        return [(float(score), name) for name, score in zip(flat[::2], flat[1::2], strict=True)]

    def _keys(self, job_id: str) -> list[str]:
        shared = [f"{self.prefix}{name}" for name in ("queue", "leases")]
        return [self._job_key(job_id), *shared, self._events_key(job_id), f"{self.prefix}jobs"]

    def _job_key(self, job_id: str) -> str:
        return job_key(self.prefix, job_id)

    def _events_key(self, job_id: str) -> str:
        return events_key(self.prefix, job_id)


@dataclass(frozen=True, slots=True)
class WorkerCapabilities:
    """The jobs that a worker can run: those of `models` (None: of any model), except those named in `avoided`."""

    models: frozenset[str] | None = None
    avoided: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WaitingForOthers:
    """Jobs wait for other workers, and none for this one. `models` are those of the waiting jobs."""

    models: frozenset[str]


class Leases(JobScripts):
    """The jobs that workers hold, and those that they may take."""

    def take(
        self, job_id: str, owner: str, lease_seconds: float, capabilities: WorkerCapabilities
    ) -> JobRecord | WaitingForOthers | None:
        """Take the next job in the queue that the worker can run; None if no job can be taken now by any worker.

        `job_id` is the job of the message that woke the worker. Jobs that are passed over keep their turn. A long queue
        is read in parts. A job that moves between two parts may be missed; its message is then sent again.
        """
        models = _ANY_MODEL if capabilities.models is None else listed(sorted(capabilities.models))
        claimable = listed(sources(JobState.DECODING)[:1])
        asked = (owner, lease_seconds, claimable, models, listed(capabilities.avoided))
        passed: set[str] = set()
        start = "0"
        while start:
            found = read_strings(self.run("claim", job_id, *asked, start, _LOOKED_AT))
            if found[:1] != _PASSED_OVER:
                return read_record(read_pairs(found))
            _, start, *more = found
            passed.update(more)
        return WaitingForOthers(frozenset(passed)) if passed else None

    def renew(self, lease: Lease, lease_seconds: float, stage: str, progress: float) -> bool:
        """Renew the lease and report stage and progress (0 to 1); False if the job was cancelled or lost."""
        target = JobState(stage) if stage in RUNNING else JobState.DECODING
        argv = (lease_seconds, listed(RUNNING), target, listed(sources(target)), stage, f"{progress:.2f}")
        return bool(self.run("renew", lease.job_id, lease.owner, lease.attempt, *argv))

    def holds(self, lease: Lease) -> bool:
        """True if the worker still holds the job. It only reads, so it may be called often."""
        found = self.redis.hmget(self._job_key(lease.job_id), ["owner", "attempt", "state"])
        owner, attempt, state = cast("list[str | None]", found)
        return owner == lease.owner and attempt == str(lease.attempt) and state in RUNNING

    def publish_segments(self, lease: Lease, keep: int, segments: str, until: float) -> bool:
        """Send an event with provisional segments; False if another worker has the job.

        `segments` (a JSON list) replaces all segments sent before except the first `keep`.
        """
        argv = (lease.owner, lease.attempt, segments, keep, f"{until:.3f}")
        return bool(self.run("segments", lease.job_id, *argv))

    def fetched(
        self, lease: Lease, source_bytes: int, part: TimeRange | None = None, max_stored: int = 0
    ) -> bool:
        """Record the size of the video fetched from the job's URL; False if another worker has the job.

        `part` is what the job processes of it; None: all. The turns of the job's owner follow the size. Raises
        `storage_quota_exceeded` if the owner would store more than `max_stored` bytes (0: any number).
        """
        cost = written_cost(expected_cost(source_bytes, part))
        argv = (lease.owner, lease.attempt, source_bytes, cost, max_stored)
        answer = int(str(self.run("fetched", lease.job_id, *argv)))
        if answer == _NO_ROOM:
            detail = (
                f"The video has {source_bytes} bytes, and the API key may store {max_stored} bytes in all."
            )
            raise SentilocError(ErrorCode.STORAGE_QUOTA_EXCEEDED, detail)
        return bool(answer)

    def measure_feedback(self, job_id: str) -> int:
        """State the bytes of a job's feedback if its record does not; returns the bytes that were added."""
        return cast("int", self.run("measure_feedback", job_id))

    def hold(self, job_id: str, part: str, stored_bytes: int, *, once: bool = False) -> bool:
        """Note how many bytes are stored of a job's `video` or `result`; with `once` only if that was never done."""
        return bool(self.run("hold", job_id, part, stored_bytes, int(once)))

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
        stored_bytes: int = 0,
    ) -> bool:
        """End the job with a result; False if it was cancelled or another worker has it. May be repeated.

        `media_seconds` are added to the usage of the job's API key, once, and decide the cost of the job's turn; with 0
        that stays as expected. `duration` is the video's, in seconds. `stored_bytes` are those of the result and its
        pictures, or of the reel.
        """
        labels = listed(sorted(set(labels_found)))
        outcome = ("", "", result_key, labels, round(1000 * media_seconds))
        shown = ("" if duration is None else f"{duration:.3f}", "" if found is None else write_found(found))
        cost = written_cost(cost_of(media_seconds)) if media_seconds else ""
        return self._finish(
            lease, JobState.SUCCEEDED, *outcome, thumbnails=thumbnails, shown=shown, more=(cost, stored_bytes)
        )

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
        more: tuple[str, int] = ("", 0),
    ) -> bool:
        allowed = listed(sources(target))
        charged = (this_month(), KEPT_SECONDS)
        argv = (lease.owner, lease.attempt, target, allowed, *outcome, *charged, thumbnails, *shown, *more)
        return bool(self.run("finish", lease.job_id, *argv))

    def release(self, lease: Lease) -> bool:
        """Put a running job back into the queue at its old position. It does not count as a crash.

        A worker also calls it for a job that it lost while it was cut off from Redis, which is not a crash either.
        """
        argv = (lease.owner, lease.attempt, listed(RUNNING))
        return bool(self.run("release", lease.job_id, *argv))

    def defer(
        self, lease: Lease, error: JobError, settings: Settings, *, is_bounded: bool = False
    ) -> JobState | None:
        """Put back a job that a temporary fault of the installation stopped, with a growing pause.

        It fails with `error` once the fault has lasted `fault_patience_seconds`, or `model_wait_seconds` for a model
        that is not available. With `is_bounded`, waiting alone does not help: the job also fails when such faults have
        happened `max_attempts` times. Returns the new state; None if the job was cancelled or another worker
        has it.
        """
        is_model = error.code is ErrorCode.MODEL_UNAVAILABLE
        patience = settings.model_wait_seconds if is_model else settings.fault_patience_seconds
        pauses = (settings.fault_pause_seconds, settings.fault_pause_max_seconds, patience)
        argv = (lease.owner, lease.attempt, listed(RUNNING), *pauses, error.code, error.detail)
        most = settings.max_attempts if is_bounded else 0
        state = str(self.run("defer", lease.job_id, *argv, most))
        return JobState(state) if state else None

    def expire(self, job_id: str, max_attempts: int, dead_owner: str = "") -> JobState | None:
        """Take a job from a worker whose lease has expired, or from `dead_owner`.

        The job returns to the queue; after `max_attempts` lost workers it fails as `poison`. Returns the new state,
        None if nothing changed.
        """
        argv = (listed(RUNNING), max_attempts, dead_owner, ErrorCode.POISON, POISON_DETAIL)
        state = str(self.run("expire", job_id, *argv))
        return JobState(state) if state else None

    def shorten_leases(self, most_seconds: float) -> None:
        """Shorten leases that end more than `most_seconds` from now: Redis's clock was set back since."""
        for job_id in self.leased_beyond(most_seconds):
            self.run("shorten", job_id, most_seconds)

    def expired(self) -> list[str]:
        """The ids of running jobs whose lease has expired."""
        seconds, micros = self.redis.time()
        now = seconds + micros / 1e6
        return read_strings(self.redis.zrangebyscore(f"{self.prefix}leases", "-inf", now))

    def leased_beyond(self, seconds: float) -> list[str]:
        """The ids of running jobs whose lease ends more than `seconds` from now."""
        now, micros = self.redis.time()
        after = f"({now + micros / 1e6 + seconds}"
        return read_strings(self.redis.zrangebyscore(f"{self.prefix}leases", after, "+inf"))

    def leased(self) -> list[str]:
        """The ids of all running jobs."""
        return read_strings(self.redis.zrange(f"{self.prefix}leases", 0, -1))

    def uptime_seconds(self) -> float:
        """The uptime of Redis."""
        return float(self.redis.info("server")["uptime_in_seconds"])


def read_pairs(value: object) -> dict[str, str]:
    """A hash as scripts answer it: names and values in turn."""
    return pairs(cast("list[str]", value))


def read_strings(value: object) -> list[str]:
    """A list as scripts and commands answer it."""
    return list(cast("list[str]", value))


def read_record(fields: object) -> JobRecord | None:
    """The record of a hash; None if the hash is empty."""
    found = cast("dict[str, str]", fields)
    return parse_record(found) if found else None


def listed(names: Iterable[str]) -> str:
    """Names as the scripts read them."""
    return ",".join(names)
