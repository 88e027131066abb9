"""The names of a job's keys in Redis."""

from __future__ import annotations


def job_key(prefix: str, job_id: str) -> str:
    """The Redis key of a job's record."""
    return f"{prefix}job:{job_id}"


def events_key(prefix: str, job_id: str) -> str:
    """The Redis key of a job's event stream."""
    return f"{prefix}events:{job_id}"


def queue_key(prefix: str) -> str:
    """The Redis key of the queue: ids of queued jobs in their order."""
    return f"{prefix}queue"
