"""The public contract of jobs: the models of the API's answers, with examples."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from sentiloc.app.http.address import current_base
from sentiloc.app.jobs.options import EXAMPLE_OPTIONS, AnyLabel, JobOptions
from sentiloc.app.jobs.record import JobKind, JobRecord, JobState, Waiting
from sentiloc.app.listing.jobs import Summary
from sentiloc.app.schemas.base import Body, moment, optional_moment

EXAMPLE_ID = "xJ3k0cQ2Yw1uH8m5VtB7Nw"

_EXAMPLE_JOB: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "kind": "localize",
    "state": "extracting",
    "stage": "extracting",
    "progress": 0.42,
    "queue_position": None,
    "attempt": 1,
    "model": "fsenet-starter",
    "options": EXAMPLE_OPTIONS,
    "source": {"name": "holiday.mp4", "bytes": 1048576, "url": None},
    "created_at": "2026-01-31T12:00:00Z",
    "started_at": "2026-01-31T12:00:01Z",
    "finished_at": None,
    "labels_found": None,
    "duration": None,
    "found": None,
    "corrected": None,
    "batch_id": None,
    "rerun_of": None,
    "waiting": None,
    "error": None,
    "expires_at": None,
    "video_expires_at": None,
    "links": {"self": f"/v1/jobs/{EXAMPLE_ID}", "result": f"/v1/jobs/{EXAMPLE_ID}/result"},
}

EXAMPLE_QUEUED: dict[str, Any] = {
    **_EXAMPLE_JOB,
    "state": "queued",
    "stage": None,
    "progress": 0.0,
    "queue_position": 1,
}
EXAMPLE_QUEUED |= {"attempt": 0, "started_at": None}
EXAMPLE_FAILED: dict[str, Any] = {
    **_EXAMPLE_JOB,
    "state": "failed",
    "stage": None,
    "finished_at": "2026-01-31T12:00:02Z",
}
EXAMPLE_FAILED |= {"expires_at": "2026-05-01T12:00:02Z", "video_expires_at": "2026-02-07T12:00:02Z"}
EXAMPLE_FAILED |= {"error": {"code": "corrupt_media", "detail": "The file ends in the middle of the video."}}


class Links(Body):
    """Next steps, as paths relative to the server."""

    self: str
    result: str


class Source(Body):
    """The video: its name and size."""

    name: str
    bytes: int | None = Field(description="Size in bytes; null until the video is fetched from `url`")
    url: str | None = Field(description="The URL of the video without its query; null for an upload")


class Failure(Body):
    """Why a job failed."""

    code: str = Field(description="A stable code for programs")
    detail: str = Field(description="What happened, for people")


class WaitingBody(Body):
    """What a queued job waits for besides its turn."""

    code: str = Field(
        description="Why it waits, as a stable code: `model_unavailable`, `storage_unavailable`"
    )
    detail: str = Field(description="Why it waits, for people")
    since: datetime
    until: datetime = Field(description="If it still waits then, the job fails with `code`")


class LabelFoundBody(Body):
    """The segments of one label."""

    segments: int = Field(ge=1)
    seconds: float = Field(ge=0, description="Seconds of all segments together")
    confidence: float = Field(ge=0, le=1, description="Of the best segment")


class LabelCorrectedBody(Body):
    """The segments of one label in a correction."""

    segments: int = Field(ge=1)
    seconds: float = Field(ge=0, description="Seconds of all segments together")


class CorrectedBody(Body):
    """The last correction that has segments, summarized by label. No label: the person saw no sentiment."""

    at: datetime
    labels: dict[AnyLabel, LabelCorrectedBody]


class JobBody(Body):
    """A job."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [_EXAMPLE_JOB, EXAMPLE_QUEUED, EXAMPLE_FAILED]}
    )

    id: str
    kind: JobKind = Field(JobKind.LOCALIZE, description="`reel` for a job that renders a reel")
    state: JobState = Field(description="`succeeded`, `failed` and `cancelled` are final")
    stage: str | None = Field(description="The current stage of the work; null while no worker has the job")
    progress: float = Field(ge=0, le=1, description="Share of the work that is done, over all stages")
    queue_position: int | None = Field(ge=1, description="1 for the job that starts next; null if not queued")
    attempt: int = Field(ge=0, description="The number of times that a worker has started the job")
    model: str
    options: JobOptions = Field(description="The requested options; null means the model's default")
    source: Source
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    labels_found: list[AnyLabel] | None = Field(
        description="The labels of the segments; null unless the job succeeded"
    )
    duration: float | None = Field(None, ge=0, description="Seconds of the video; null without a result")
    found: dict[AnyLabel, LabelFoundBody] | None = Field(
        None, description="The job's own segments, summarized by label; null without a result"
    )
    corrected: CorrectedBody | None = Field(
        None, description="What a person corrected the segments to; null if nobody has"
    )
    batch_id: str | None = Field(None, description="The batch that the job belongs to")
    rerun_of: str | None = Field(None, description="The job whose video this job localizes again")
    waiting: WaitingBody | None = Field(
        None,
        description="What keeps a queued job from its turn, such as a model that no worker can run; usually null",
    )
    error: Failure | None
    expires_at: datetime | None = Field(
        None, description="When the result is deleted; for a job without a result, when its record is deleted"
    )
    video_expires_at: datetime | None = Field(None, description="When the video is deleted")
    links: Links


def job_body(record: JobRecord, queue_position: int | None, base: str | None = None) -> JobBody:
    """The public part of a record; its links start with `base`, by default that of the current request."""
    path = f"{current_base() if base is None else base}/jobs/{record.id}"
    return JobBody(
        id=record.id,
        kind=record.kind,
        state=record.state,
        stage=record.stage,
        progress=record.progress,
        queue_position=queue_position,
        attempt=record.attempt,
        model=record.model,
        options=record.options.shown(),
        source=_source(record),
        created_at=moment(record.created_at),
        started_at=optional_moment(record.started_at),
        finished_at=optional_moment(record.finished_at),
        labels_found=_labels(record),
        duration=record.duration,
        found=_found(record),
        corrected=_corrected(record),
        batch_id=record.batch_id,
        rerun_of=record.rerun_of,
        waiting=_waiting(record.waiting),
        error=Failure(code=record.error.code, detail=record.error.detail) if record.error else None,
        # A failed job has no result. What clients lose is then the record.
        expires_at=optional_moment(record.result_expires_at or record.record_expires_at),
        video_expires_at=optional_moment(record.video_expires_at),
        links=_links(path, record),
    )


def _links(path: str, record: JobRecord) -> Links:
    """The result of a reel is its video."""
    made = f"{path.rpartition('/jobs/')[0]}/reels/{record.id}/video"
    return Links(self=path, result=f"{path}/result" if record.reel is None else made)


def _waiting(waiting: Waiting | None) -> WaitingBody | None:
    if waiting is None:
        return None
    return WaitingBody(
        code=waiting.error.code,
        detail=waiting.error.detail,
        since=moment(waiting.since),
        until=moment(waiting.until),
    )


def _source(record: JobRecord) -> Source:
    """The query of a URL is not shown, because it may hold credentials."""
    url = record.source_url and record.source_url.partition("?")[0].partition("#")[0]
    # The record has size 0 until a worker has fetched the video; 0 would look like an empty file.
    is_awaited = url is not None and not record.source_bytes
    return Source(name=record.source_name, bytes=None if is_awaited else record.source_bytes, url=url)


def _labels(record: JobRecord) -> list[str] | None:
    return None if record.labels_found is None else sorted(record.labels_found)


def _found(record: JobRecord) -> dict[str, LabelFoundBody] | None:
    if record.found is None:
        return None
    return {
        label: LabelFoundBody(segments=one.segments, seconds=one.seconds, confidence=one.confidence)
        for label, one in record.found.items()
    }


def _corrected(record: JobRecord) -> CorrectedBody | None:
    if record.corrected is None:
        return None
    labels = {
        label: LabelCorrectedBody(segments=one.segments, seconds=one.seconds)
        for label, one in record.corrected.labels.items()
    }
    return CorrectedBody(at=moment(record.corrected.at), labels=labels)


class JobListBody(Body):
    """A page of jobs, newest first."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"jobs": [_EXAMPLE_JOB], "next_cursor": "MTc2OTg2MDgwMC41IHhKM2swY1EyWXcxdUg4bTVWdEI3Tnc"}
            ]
        },
    )

    jobs: list[JobBody]
    next_cursor: str | None = Field(description="The cursor of the next page; null on the last page")


class LabelTotalBody(Body):
    """One label over many jobs."""

    jobs: int = Field(ge=0, description="Jobs with a segment of this label")
    segments: int = Field(ge=0)
    seconds: float = Field(ge=0, description="Seconds of all segments together")


_EXAMPLE_SUMMARY: dict[str, Any] = {
    "count": 12,
    "states": {"succeeded": 11, "failed": 1},
    "tags": {"reviewed": 4},
    "duration": 1440.0,
    "labels": {"positive": {"jobs": 9, "segments": 31, "seconds": 187.5}},
    "complete": True,
}


class SummaryBody(Body):
    """Counts and totals of the jobs that match a filter. Zero counts are left out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE_SUMMARY]})

    count: int = Field(ge=0)
    states: dict[str, int] = Field(description="Jobs by state")
    tags: dict[str, int] = Field(description="Jobs by tag")
    duration: float = Field(ge=0, description="Total seconds of all videos with a result")
    labels: dict[str, LabelTotalBody]
    complete: bool = Field(description="False if only the newest 20000 jobs were looked at")


def summary_body(summary: Summary) -> SummaryBody:
    """The public form of a summary."""
    labels = {
        label: LabelTotalBody(jobs=one.jobs, segments=one.segments, seconds=one.seconds)
        for label, one in summary.labels.items()
    }
    return SummaryBody(
        count=summary.count,
        states={str(state): count for state, count in summary.states.items()},
        tags=summary.tags,
        duration=summary.duration,
        labels=labels,
        complete=summary.is_complete,
    )


class DeletedBody(Body):
    """The outcome of a deletion by filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"deleted": 40, "cancelled": 0, "skipped": 2, "complete": True, "next_cursor": None}]
        },
    )

    deleted: int = Field(ge=0)
    cancelled: int = Field(ge=0, description="Jobs that had not ended and are cancelled now; not deleted yet")
    skipped: int = Field(ge=0, description="Jobs that match and have not ended")
    complete: bool = Field(description="False if more jobs may match: repeat the request with `next_cursor`")
    next_cursor: str | None = Field(description="The `cursor` of the next request; null if this was the last")
