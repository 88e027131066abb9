"""Live workers. Each reports its state to Redis every two seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from typing import cast

from redis import Redis

from sentiloc.app.http.problems import TypedProblem
from sentiloc.app.redis.scripts import write_when_full
from sentiloc.model.errors import ErrorCode

BEAT_SECONDS = 2.0
# Three reports may be lost before a worker counts as gone.
STALE_SECONDS = 7.0
# Long enough for a container to restart; until then a silent worker may come back.
_FORGET_SECONDS = 10 * STALE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPresence:
    """One worker process.

    Args:
        device: The device that runs the default model.
        error: Why the default model is not loaded.
        served: Names of the models that the worker can run; None if it does not say, as workers of earlier versions.
        missing: What it lacks for other models, by name.
        paused: The fault of its disk or store for which it takes no jobs now.
    """

    name: str
    seen_at: float
    model: str
    model_version: str | None = None
    device: str | None = None
    error: str | None = None
    load_seconds: float | None = None
    served: tuple[str, ...] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    paused: str | None = None

    @property
    def is_ready(self) -> bool:
        """True when the model is loaded."""
        return self.device is not None and self.error is None

    def why_not(self, model: str) -> str | None:
        """Why the worker cannot run a model; None if it can, or does not say."""
        if model == self.model and self.error is not None:
            return self.error
        if self.served is None or model in self.served:
            return None
        return self.missing.get(
            model, f"{ErrorCode.MODEL_UNAVAILABLE}: the worker has no model package {model!r}"
        )


class ModelNotServed(TypedProblem):
    """No worker that is alive can run the model. The request succeeds as soon as one can."""

    of_status = 503
    of_code = ErrorCode.MODEL_UNAVAILABLE
    example = (
        "No worker can run the model 'fsenet-i3d' now: weights_missing: the weights 'i3d-kinetics' are missing. "
        "Run: sentiloc weights pull i3d-kinetics"
    )

    def __init__(self, model: str, reasons: Iterable[str]) -> None:
        detail = f"No worker can run the model {model!r} now: {'; '.join(reasons)}"
        super().__init__(detail, {"Retry-After": "10"})


def beat(redis: Redis, prefix: str, presence: WorkerPresence) -> None:
    """Report that the worker is alive. `seen_at` is set to Redis's time."""
    fields = {**asdict(presence), "seen_at": _redis_time(redis)}
    # A worker that does not report counts as dead, and may be restarted in the middle of its job.
    write_when_full(redis, prefix, "HSET", f"{prefix}workers", presence.name, json.dumps(fields))


def forget_workers(redis: Redis, prefix: str) -> None:
    """Remove all reports. For a Redis whose workers have all ended."""
    redis.delete(f"{prefix}workers")


def leave(redis: Redis, prefix: str, name: str) -> None:
    """Report that the worker stops."""
    redis.hdel(f"{prefix}workers", name)


def alive_workers(redis: Redis, prefix: str) -> list[WorkerPresence]:
    """The workers that reported within the last seven seconds. Silent workers are removed after 70 seconds."""
    return _known_workers(redis, prefix)[0]


def _known_workers(
    redis: Redis, prefix: str, grace_seconds: float = _FORGET_SECONDS
) -> tuple[list[WorkerPresence], list[WorkerPresence]]:
    """The workers that are alive, and those that have been silent for less than `grace_seconds`."""
    # Redis's clock is used, because the clocks of workers and API may differ.
    now = _redis_time(redis)
    found = cast("dict[str, str]", redis.hgetall(f"{prefix}workers"))
    alive: list[WorkerPresence] = []
    silent: list[WorkerPresence] = []
    for worker in map(_parse, found.values()):
        # The absolute value: after Redis's clock was set back, reports lie in the future.
        silence = abs(now - worker.seen_at)
        if silence <= STALE_SECONDS:
            alive.append(worker)
        elif silence <= grace_seconds:
            silent.append(worker)
        elif silence > _FORGET_SECONDS:
            leave(redis, prefix, worker.name)
    return alive, silent


def why_unserved(redis: Redis, prefix: str, models: Iterable[str], grace_seconds: float) -> dict[str, str]:
    """The models that no worker can run, and why.

    A worker that has been silent for less than `grace_seconds` (at least 7, at most 70) counts: it may be restarting.

    Raises `redis.RedisError`.
    """
    alive, silent = _known_workers(redis, prefix, max(grace_seconds, STALE_SECONDS))
    found = {}
    for model in models:
        # A single worker that can run the model is enough.
        reasons = [worker.why_not(model) for worker in (*alive, *silent)]
        if None not in reasons:
            text = "; ".join(sorted({reason for reason in reasons if reason})) or "no worker is running"
            found[model] = f"No worker can run the model {model!r} now: {text}"
    return found


def require_served(redis: Redis, prefix: str, model: str) -> None:
    """Refuse a model that no worker can run, so that its job does not wait without an answer.

    Without any worker alive, all is accepted and waits. A worker that fell silent within the last 70 seconds counts as
    able: it may be restarting.

    Raises `ModelNotServed` and `redis.RedisError`.
    """
    alive, silent = _known_workers(redis, prefix)
    reasons = reasons_against(model, alive)
    if reasons and all(worker.why_not(model) for worker in silent):
        raise ModelNotServed(model, reasons)


def reasons_against(model: str, workers: Iterable[WorkerPresence]) -> list[str]:
    """Why none of the workers can run a model, each reason once; empty if one can, or if there is no worker."""
    reasons = [worker.why_not(model) for worker in workers]
    if None in reasons:
        return []
    return sorted({reason for reason in reasons if reason})


def _parse(text: str) -> WorkerPresence:
    """Parse a report. Unknown fields are ignored, because a worker of another version may report more."""
    # A rolling update must not fail on unknown fields.
    known = {one.name for one in dataclass_fields(WorkerPresence)}
    fields = {name: value for name, value in json.loads(text).items() if name in known}
    if fields.get("served") is not None:
        fields["served"] = tuple(fields["served"])
    return WorkerPresence(**fields)


def _redis_time(redis: Redis) -> float:
    seconds, micros = redis.time()
    return seconds + micros / 1e6
