"""How many jobs wait and run, and for how long: counted by Redis, whatever the number of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from app.job_options import Priority
from app.job_reads import job_key
from app.job_store import FIRST_BATCH_SEQUENCE, JobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """Counts of jobs, and seconds."""

    queued: dict[Priority, int]
    oldest_queued_seconds: float
    running: int
    kept: int


def read_figures(store: JobStore) -> StoreFigures:
    """As of now, in two round trips."""
    queue, batch = f"{store.prefix}queue", f"{FIRST_BATCH_SEQUENCE}"
    pipe = store.redis.pipeline(transaction=False)
    pipe.zcount(queue, "-inf", f"({batch}")
    pipe.zcount(queue, batch, "+inf")
    pipe.zcard(f"{store.prefix}leases")
    pipe.zcard(f"{store.prefix}jobs")
    pipe.zrange(queue, 0, 0)
    pipe.zrangebyscore(queue, batch, "+inf", start=0, num=1)
    pipe.time()
    interactive, batches, running, kept, first, first_batch, (seconds, micros) = pipe.execute()
    created = _created(store, [*first, *first_batch])
    return StoreFigures(
        queued={Priority.INTERACTIVE: interactive, Priority.BATCH: batches},
        oldest_queued_seconds=max([0.0, *(seconds + micros / 1e6 - at for at in created)]),
        running=running,
        kept=kept,
    )


def _created(store: JobStore, job_ids: list[str]) -> list[float]:
    pipe = store.redis.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hget(job_key(store.prefix, job_id), "created_at")
    return [float(at) for at in pipe.execute() if at]
