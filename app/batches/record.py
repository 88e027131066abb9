"""The record of a batch. Its jobs are ordinary jobs that refer to it. The jobs in each state are counted on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sentiloc.app.http.address import current_base
from sentiloc.app.jobs.idempotency import IdempotencyKey
from sentiloc.app.jobs.options import webhook_host
from sentiloc.app.jobs.record import JobState, new_job_id


class BatchState(StrEnum):
    """`queued` until a worker has started a job, `finished` when every job has ended."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWebhookTarget:
    """The receiver of the event `batch.finished`. Without a secret, the API key's secret signs it."""

    url: str
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A checked request for a batch. `shared` are the record fields that are the same for all jobs.

    Each row of `rows` is one job: its id, then field and value in turn. `uploads` are the ids of the jobs whose videos
    are uploads.
    """

    id: str = field(default_factory=new_job_id)
    name: str
    key_id: str | None
    webhook: BatchWebhookTarget | None
    shared: Mapping[str, str]
    rows: tuple[tuple[str, ...], ...]
    uploads: tuple[str, ...]
    is_interactive: bool
    base: str = field(default_factory=lambda: str(current_base()))
    idempotency: IdempotencyKey | None = None

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The ids of its jobs, in the order of its items."""
        return tuple(row[0] for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch as stored in Redis. Times are Unix seconds; `open` counts the jobs that have not ended."""

    id: str
    name: str
    key_id: str | None
    created_at: float
    finished_at: float | None
    total: int
    open: int
    webhook: BatchWebhookTarget | None = None
    base: str = ""


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Jobs by state. `deleted` jobs were deleted one by one, or have expired."""

    states: Mapping[JobState, int]
    deleted: int

    @property
    def state(self) -> BatchState:
        """The state of the batch."""
        waiting = self.states.get(JobState.QUEUED, 0)
        running = sum(count for state, count in self.states.items() if state.is_running)
        if not waiting and not running:
            return BatchState.FINISHED
        ended = sum(count for state, count in self.states.items() if state.is_terminal) + self.deleted
        # Between two jobs none is running, but the batch has begun.
        return BatchState.RUNNING if running or ended else BatchState.QUEUED

    @property
    def progress(self) -> float:
        """The share of jobs that have ended."""
        total = sum(self.states.values()) + self.deleted
        ended = sum(count for state, count in self.states.items() if state.is_terminal) + self.deleted
        return round(ended / total, 4) if total else 1.0


def write_batch(batch: NewBatch) -> dict[str, str]:
    """The fields of the record that the request decides."""
    webhook = batch.webhook
    return {
        "name": batch.name,
        "key_id": batch.key_id or "",
        "webhook": webhook_host(webhook.url) if webhook else "",
        "webhook_url": webhook.url if webhook else "",
        "base": batch.base,
        "webhook_secret": (webhook.secret or "") if webhook else "",
    }


def read_batch(fields: Mapping[str, Any]) -> BatchRecord:
    """Parse the hash that the scripts write."""
    url, secret = fields["webhook_url"], fields["webhook_secret"] or None
    return BatchRecord(
        id=fields["id"],
        name=fields["name"],
        key_id=fields["key_id"] or None,
        created_at=float(fields["created_at"]),
        finished_at=float(fields["finished_at"]) if fields.get("finished_at") else None,
        total=int(fields["total"]),
        open=int(fields["open"]),
        webhook=BatchWebhookTarget(url=url, secret=secret) if url else None,
        base=fields["base"],
    )
