"""Jobs for tests, taken as workers take them."""

from __future__ import annotations

from sentiloc.app.jobs.leases import WorkerCapabilities
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.jobs.store import JobStore


def claim(store: JobStore, job_id: str, owner: str, lease_seconds: float) -> JobRecord | None:
    """The job, claimed by a worker that leaves all others to other workers; None if it cannot be claimed."""
    others = frozenset(store.queued()) - {job_id}
    found = store.take(job_id, owner, lease_seconds, WorkerCapabilities(avoided=others))
    return found if isinstance(found, JobRecord) else None
