"""The numbers of waiting and running jobs.

Redis keeps the counts, so the cost does not grow with the number of jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.options import Priority
from sentiloc.app.jobs.record import RUNNING, JobState
from sentiloc.app.jobs.store import FIRST_BATCH_SEQUENCE, JobStore
from sentiloc.app.metrics.job_counters import Counters, read_counts

# With more jobs than this without a worker for their model, the age is unknown and counts as 0.
_LOOKED_AT, _PAGE = 2000, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMetrics:
    """Numbers of jobs by state, and the age in seconds of the oldest queued job.

    `unserved` counts the queued jobs whose model no worker can run. Their age does not count while there are workers,
    because more workers of the same kind would not help them.
    """

    queued: dict[Priority, int]
    unserved: int
    oldest_queued_seconds: float
    running: dict[JobState, int]
    kept: int
    webhooks_waiting: int
    counts: Counters


def read_queue_metrics(store: JobStore, *, has_workers: bool) -> QueueMetrics:
    """Read the current numbers in a few round trips."""
    queue, batch = f"{store.prefix}queue", f"{FIRST_BATCH_SEQUENCE}"
    pipe = store.redis.pipeline(transaction=False)
    pipe.zcount(queue, "-inf", f"({batch}")
    pipe.zcount(queue, batch, "+inf")
    pipe.zrange(f"{store.prefix}leases", 0, -1)
    pipe.zcard(f"{store.prefix}jobs")
    pipe.zcard(f"{store.prefix}webhooks")
    pipe.zcard(f"{store.prefix}unserved")
    # Redis's clock, by which the jobs' times were set.
    pipe.time()
    interactive, batches, leased, kept, webhooks, unserved, (seconds, micros) = pipe.execute()
    # Without any worker all jobs wait for one, and a scaler has to start it.
    bands = (("-inf", f"({batch}"), (batch, "+inf"))
    oldest = [_oldest(store, *band, with_unserved=not has_workers) for band in bands]
    now = seconds + micros / 1e6
    return QueueMetrics(
        queued={Priority.INTERACTIVE: interactive, Priority.BATCH: batches},
        unserved=unserved,
        oldest_queued_seconds=max([0.0, *(now - at for at in oldest if at is not None)]),
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


def _oldest(store: JobStore, least: str, most: str, *, with_unserved: bool) -> float | None:
    """When the oldest of the queued jobs between two places was created.

    Owners take turns, and a job waits behind older ones of its own owner. So the oldest one is the next job of some
    owner, and only the first jobs are searched for it.
    """
    for start in range(0, _LOOKED_AT, _PAGE):
        page = store.redis.zrangebyscore(f"{store.prefix}queue", least, most, start=start, num=_PAGE)
        pipe = store.redis.pipeline(transaction=False)
        for job_id in cast("list[str]", page):
            pipe.hmget(job_key(store.prefix, job_id), ["created_at", "unserved_at"])
        # A job may have been deleted since the queue was read.
        found = [float(at) for at, unserved in pipe.execute() if at and (with_unserved or not unserved)]
        if found:
            return min(found)
        if len(page) < _PAGE:
            break
    return None
