"""The numbers of waiting and running jobs.

Redis keeps the counts, so the cost does not grow with the number of jobs.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.options import Priority
from sentiloc.app.jobs.record import RUNNING, JobState
from sentiloc.app.jobs.store import FIRST_BATCH_SEQUENCE, JobStore
from sentiloc.app.metrics.job_counters import Counters, read_counts


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMetrics:
    """Numbers of jobs by state, and the age of the oldest queued job in seconds."""

    queued: dict[Priority, int]
    oldest_queued_seconds: float
    running: dict[JobState, int]
    kept: int
    webhooks_waiting: int
    counts: Counters


def read_queue_metrics(store: JobStore) -> QueueMetrics:
    """Read the current numbers in three round trips."""
    queue, batch = f"{store.prefix}queue", f"{FIRST_BATCH_SEQUENCE}"
    pipe = store.redis.pipeline(transaction=False)
    pipe.zcount(queue, "-inf", f"({batch}")
    pipe.zcount(queue, batch, "+inf")
    pipe.zrange(f"{store.prefix}leases", 0, -1)
    pipe.zcard(f"{store.prefix}jobs")
    pipe.zcard(f"{store.prefix}webhooks")
    pipe.zrange(queue, 0, 0)
    pipe.zrangebyscore(queue, batch, "+inf", start=0, num=1)
    # Redis's clock, by which the jobs' times were set.
    pipe.time()
    interactive, batches, leased, kept, webhooks, first, first_batch, (seconds, micros) = pipe.execute()
    created = _created(store, [*first, *first_batch])
    return QueueMetrics(
        queued={Priority.INTERACTIVE: interactive, Priority.BATCH: batches},
        oldest_queued_seconds=max([0.0, *(seconds + micros / 1e6 - at for at in created)]),
        running=_running(store, leased),
        kept=kept,
        webhooks_waiting=webhooks,
        counts=read_counts(store.redis, store.prefix),
    )


def _running(store: JobStore, job_ids: list[str]) -> dict[JobState, int]:
    pipe = store.redis.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hget(job_key(store.prefix, job_id), "state")
    states = pipe.execute()
    return {state: states.count(state) for state in RUNNING}


def _created(store: JobStore, job_ids: list[str]) -> list[float]:
    pipe = store.redis.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hget(job_key(store.prefix, job_id), "created_at")
    # A job may have been deleted since the queue was read.
    return [float(at) for at in pipe.execute() if at]
