"""The public contract of batches: the models of the API's answers, with examples."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from sentiloc.app.batches.record import BatchCounts, BatchRecord, BatchState
from sentiloc.app.http.address import current_base
from sentiloc.app.jobs.record import JobState
from sentiloc.app.schemas.base import Body, moment, optional_moment

EXAMPLE_BATCH_ID = "m4Vw8Qp2Rk6Yt1Zb5Xc9Lg"
EXAMPLE_BATCH_BODY: dict[str, Any] = {
    "id": EXAMPLE_BATCH_ID,
    "name": "Week 12",
    "state": "running",
    "progress": 0.25,
    "total": 4,
    "counts": {
        "queued": 2,
        "running": 1,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 0,
        "deleted": 0,
    },
    "created_at": "2026-01-31T12:00:00Z",
    "finished_at": None,
    "links": {
        "self": f"/v1/batches/{EXAMPLE_BATCH_ID}",
        "results": f"/v1/batches/{EXAMPLE_BATCH_ID}/results",
        "export": f"/v1/batches/{EXAMPLE_BATCH_ID}/export",
        "jobs": f"/v1/jobs?batch={EXAMPLE_BATCH_ID}",
    },
}


class BatchCountsBody(Body):
    """Jobs by state. Their sum is the batch's `total`."""

    queued: int = Field(ge=0)
    running: int = Field(ge=0, description="In the states `decoding`, `extracting` and `localizing`")
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    # Without it the counts of a batch would no longer add up once a job is gone.
    deleted: int = Field(ge=0, description="Deleted one by one, or expired")


class BatchLinks(Body):
    """Next steps, as paths relative to the server."""

    self: str
    results: str
    export: str
    jobs: str


class BatchBody(Body):
    """A batch: many jobs that were sent together."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_BATCH_BODY]})

    id: str
    name: str | None
    state: BatchState = Field(
        description="`finished` is final: every job has succeeded, failed, or been cancelled"
    )
    progress: float = Field(ge=0, le=1, description="Share of the jobs that have ended")
    total: int = Field(ge=1, description="Number of jobs")
    counts: BatchCountsBody
    created_at: datetime
    finished_at: datetime | None
    links: BatchLinks


class NewBatchBody(BatchBody):
    """An accepted batch with the ids of its jobs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{**EXAMPLE_BATCH_BODY, "job_ids": ["xJ3k0cQ2Yw1uH8m5VtB7Nw"]}]},
    )

    job_ids: list[str] = Field(description="The ids of the jobs, in the order of the items")


class BatchListBody(Body):
    """A page of batches, newest first."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"batches": [EXAMPLE_BATCH_BODY], "next_cursor": None}]},
    )

    batches: list[BatchBody]
    next_cursor: str | None = Field(description="The cursor of the next page; null on the last page")


def batch_body(record: BatchRecord, counts: BatchCounts, base: str | None = None) -> BatchBody:
    """The public part of a batch's record; its links start with `base`, by default that of the current request."""
    start = current_base() if base is None else base
    path = f"{start}/batches/{record.id}"
    return BatchBody(
        id=record.id,
        name=record.name or None,
        state=counts.state,
        progress=counts.progress,
        total=record.total,
        counts=_counts(counts),
        created_at=moment(record.created_at),
        finished_at=optional_moment(record.finished_at),
        links=BatchLinks(
            self=path,
            results=f"{path}/results",
            export=f"{path}/export",
            jobs=f"{start}/jobs?batch={record.id}",
        ),
    )


def _counts(counts: BatchCounts) -> BatchCountsBody:
    states = counts.states
    return BatchCountsBody(
        queued=states.get(JobState.QUEUED, 0),
        running=sum(count for state, count in states.items() if state.is_running),
        succeeded=states.get(JobState.SUCCEEDED, 0),
        failed=states.get(JobState.FAILED, 0),
        cancelled=states.get(JobState.CANCELLED, 0),
        deleted=counts.deleted,
    )
