"""Live workers. Each reports its state to Redis every two seconds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import cast

from redis import Redis

BEAT_SECONDS = 2.0
# Three reports may be lost before a worker counts as gone.
STALE_SECONDS = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPresence:
    """One worker process. `device` is the device that runs the model; `error` says why no model is loaded."""

    name: str
    seen_at: float
    model: str
    model_version: str | None = None
    device: str | None = None
    error: str | None = None
    load_seconds: float | None = None

    @property
    def is_ready(self) -> bool:
        """True when the model is loaded."""
        return self.device is not None and self.error is None


def beat(redis: Redis, prefix: str, presence: WorkerPresence) -> None:
    """Report that the worker is alive. `seen_at` is set to Redis's time."""
    fields = {**asdict(presence), "seen_at": _redis_time(redis)}
    redis.hset(f"{prefix}workers", presence.name, json.dumps(fields))


def leave(redis: Redis, prefix: str, name: str) -> None:
    """Report that the worker stops."""
    redis.hdel(f"{prefix}workers", name)


def alive_workers(redis: Redis, prefix: str) -> list[WorkerPresence]:
    """The workers that reported within the last seven seconds. Silent workers are removed after 70 seconds."""
    # Redis's clock is used, because the clocks of workers and API may differ.
    now = _redis_time(redis)
    found = cast("dict[str, str]", redis.hgetall(f"{prefix}workers"))
    workers = [_parse(text) for text in found.values()]
    for worker in workers:
        if abs(now - worker.seen_at) > 10 * STALE_SECONDS:
            leave(redis, prefix, worker.name)
    return [worker for worker in workers if abs(now - worker.seen_at) <= STALE_SECONDS]


def _parse(text: str) -> WorkerPresence:
    """Parse a report. Unknown fields are ignored, because a worker of another version may report more."""
    known = {one.name for one in dataclass_fields(WorkerPresence)}
    return WorkerPresence(**{name: value for name, value in json.loads(text).items() if name in known})


def _redis_time(redis: Redis) -> float:
    seconds, micros = redis.time()
    return seconds + micros / 1e6
