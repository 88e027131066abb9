"""Counters that workers keep in Redis for `/metrics`: stages, speed, bytes, webhooks. All are integers.

They are fields of one hash. Field names are words separated by spaces. Their number does not grow with the jobs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from redis import Redis

STAGE_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
FACTOR_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
_LAST = "inf"
_THOUSAND = 1000


@dataclass(slots=True)
class Histogram:
    """Cumulative buckets (upper bound, observations up to it; the last counts all) and the sum of all observations."""

    buckets: list[tuple[str, float]]
    total: float


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """The work of one job: seconds by stage, seconds of media, seconds of work, bytes of video."""

    stages: Mapping[str, float]
    media_seconds: float
    work_seconds: float
    video_bytes: int


@dataclass(frozen=True, slots=True)
class Counters:
    """The values of all counters."""

    counts: Mapping[str, int] = field(default_factory=dict)

    def get(self, *words: str) -> int:
        """One counter; 0 if it does not exist."""
        return self.counts.get(" ".join(words), 0)

    def stages(self) -> list[str]:
        """The names of the stages that were timed."""
        return sorted({name.split(" ")[1] for name in self.counts if name.startswith("stage ")})

    def histogram(self, bounds: Sequence[float], *words: str) -> Histogram:
        """A histogram in the form of Prometheus, where each bucket includes the smaller ones."""
        running, buckets = 0, []
        for bound in (*map(str, bounds), _LAST):
            running += self.get(*words, bound)
            buckets.append((bound if bound != _LAST else "+Inf", float(running)))
        return Histogram(buckets, self.get(*words, "sum") / _THOUSAND)


def counters_key(prefix: str) -> str:
    """The Redis key of the counters. It keeps its old name for the sake of running services."""
    return f"{prefix}figures"


def read_counts(redis: Redis, prefix: str) -> Counters:
    """The current values."""
    found = cast("dict[str, str]", redis.hgetall(counters_key(prefix)))
    return Counters({name: int(count) for name, count in found.items()})


def count_job(redis: Redis, prefix: str, job: JobMetrics) -> None:
    """Add the metrics of a finished job, in one write."""
    pipe = redis.pipeline()
    for name, amount in _changes(job):
        pipe.hincrby(counters_key(prefix), name, amount)
    pipe.execute()


def _changes(job: JobMetrics) -> Iterator[tuple[str, int]]:
    for stage, seconds in job.stages.items():
        yield from _observed(STAGE_BUCKETS, seconds, f"stage {stage}")
    # A video of less than a millisecond counts as empty, because dividing by its length would give no finite factor.
    if job.media_seconds * _THOUSAND >= 1:
        yield from _observed(FACTOR_BUCKETS, job.work_seconds / job.media_seconds, "factor")
    yield "media_milliseconds", round(job.media_seconds * _THOUSAND)
    yield "work_milliseconds", round(job.work_seconds * _THOUSAND)
    yield "video_bytes", job.video_bytes


def _observed(bounds: Sequence[float], value: float, name: str) -> Iterator[tuple[str, int]]:
    # Each observation counts in one bucket only; `histogram` accumulates when it reads.
    index = bisect_left(bounds, value)
    yield f"{name} {bounds[index] if index < len(bounds) else _LAST}", 1
    # Integers in thousandths, because HINCRBYFLOAT accumulates rounding errors.
    yield f"{name} sum", round(value * _THOUSAND)
