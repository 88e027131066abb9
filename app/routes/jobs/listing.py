"""`/jobs`: the list of jobs, their totals, and deletion of many."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sentiloc.app.housekeeping.retention import delete_ended
from sentiloc.app.http.cursors import InvalidCursor
from sentiloc.app.http.problems import InvalidRequest, ProblemCode, RedisUnavailable, documented, problem_of
from sentiloc.app.jobs.options import AnyLabel, Tag
from sentiloc.app.jobs.record import JobState
from sentiloc.app.listing.filters import JobFilter
from sentiloc.app.listing.jobs import (
    MAX_CURSOR,
    JobOrder,
    collect,
    list_jobs,
    summarize,
)
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.schemas.jobs import DeletedBody, JobListBody, SummaryBody, job_body, summary_body
from sentiloc.app.services import ServicesDep
from sentiloc.app.storage.failures import Failures

router = APIRouter(tags=["jobs"])

MAX_PAGE = 100
_MOST_DELETED = 1000
_BAD_QUERY = (
    422,
    ProblemCode.INVALID_REQUEST,
    "query.min_confidence: must be at most 1",
)


class FilterQuery(BaseModel):
    """The filters of lists. A job is listed if it matches every one."""

    # A misspelt filter would otherwise be ignored, and `DELETE /jobs` would delete too much.
    model_config = ConfigDict(extra="forbid")

    state: list[JobState] | None = Field(None, description="Jobs in one of these states; may be repeated")
    label: AnyLabel | None = Field(None, description="Jobs that succeeded with a segment of this label")
    created_after: AwareDatetime | None = Field(
        None, description="ISO 8601 with an offset, or Unix seconds; exclusive"
    )
    created_before: AwareDatetime | None = Field(
        None, description="ISO 8601 with an offset, or Unix seconds; exclusive"
    )
    metadata: list[Annotated[str, Field(pattern="^[^=]+=")]] | None = Field(
        None, description="`key=value` of a job's metadata; may be repeated"
    )
    q: str | None = Field(None, min_length=1, max_length=255, description="A part of the name, in any case")
    tag: list[Tag] | None = Field(None, description="Jobs with this tag; repeated: with all of them")
    batch: str | None = Field(None, pattern="^[A-Za-z0-9_-]{1,64}$", description="Jobs of this batch")
    min_duration: float | None = Field(
        None, ge=0, description="Seconds of the video; only jobs with a result"
    )
    max_duration: float | None = Field(
        None, ge=0, description="Seconds of the video; only jobs with a result"
    )
    min_confidence: float | None = Field(
        None, ge=0, le=1, description="Of the best segment, or of the best one of `label`"
    )

    corrected: bool | None = Field(
        None,
        description="Jobs whose segments a person has corrected or confirmed, or those without corrections",
    )

    def filter(self) -> JobFilter:
        """The filter of this query."""
        return JobFilter(
            states=tuple(self.state or ()),
            label=self.label,
            created_after=_seconds(self.created_after),
            created_before=_seconds(self.created_before),
            metadata=tuple(_pair(text) for text in self.metadata or ()),
            text=self.q,
            tags=tuple(self.tag or ()),
            batch=self.batch,
            min_duration=self.min_duration,
            max_duration=self.max_duration,
            min_confidence=self.min_confidence,
            corrected=self.corrected,
        )


class JobQuery(FilterQuery):
    """The query of the list."""

    sort: JobOrder = Field(
        JobOrder.NEWEST,
        description="With `-` from the largest to the smallest. Orders other than `-created` look at the newest 20000 "
        "jobs only, and jobs without the value come last",
    )
    limit: int = Field(20, ge=1, le=MAX_PAGE, description="Maximum number of jobs in a page")
    cursor: str | None = Field(None, max_length=MAX_CURSOR, description="`next_cursor` of the previous page")


class DeleteQuery(FilterQuery):
    """The jobs to delete."""

    cancel: bool = Field(
        False, description="Whether jobs that have not ended are cancelled; otherwise they are left unchanged"
    )
    all: bool = Field(False, description="Needed to delete without any filter")
    cursor: str | None = Field(
        None, max_length=MAX_CURSOR, description="`next_cursor` of the previous answer"
    )


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


@router.get(
    "/jobs",
    summary="List jobs",
    operation_id="listJobs",
    responses=documented(
        (422, ProblemCode.INVALID_REQUEST, "query.limit: must be at most 100"),
        InvalidCursor,
        RedisUnavailable,
    ),
)
def jobs(query: Annotated[JobQuery, Query()], response: Response, services: ServicesDep) -> JobListBody:
    """Newest first, or in the order of `sort`. Continue with `next_cursor` until it is null.

    A page may be short or empty before the end.
    """
    response.headers.update(NO_STORE)
    page = list_jobs(services.store, query.filter(), query.limit, query.cursor, query.sort)
    positions = services.store.queue_positions([record.id for record in page.records])
    bodies = [job_body(*pair) for pair in zip(page.records, positions, strict=True)]
    return JobListBody(jobs=bodies, next_cursor=page.next_cursor)


@router.get(
    "/jobs/summary",
    operation_id="summarizeJobs",
    summary="Count jobs and total their results",
    responses=documented(_BAD_QUERY, RedisUnavailable),
)
def summary(query: Annotated[FilterQuery, Query()], response: Response, services: ServicesDep) -> SummaryBody:
    """Counts all matching jobs by state and tag, and totals the segments and seconds of each label."""
    response.headers.update(NO_STORE)
    return summary_body(summarize(services.store, query.filter()))


@router.delete(
    "/jobs",
    operation_id="deleteJobs",
    summary="Delete jobs by filter",
    responses=documented(
        (422, ProblemCode.INVALID_REQUEST, "query: name a filter, or say `all=true`"),
        InvalidCursor,
        RedisUnavailable,
        STORE_DOWN,
    ),
)
def delete_jobs(query: Annotated[DeleteQuery, Query()], services: ServicesDep) -> DeletedBody:
    """Deletes jobs that have ended, with their files. One request looks at 20000 jobs at most and deletes 1000 at most.

    Repeat it with `cursor`, the `next_cursor` of the answer, until `complete` is true. A 503 `storage_unavailable` says
    that files of some jobs could not be deleted. These jobs stay; `deleted` counts the others. Repeat the same request
    to try these jobs again. To skip them, send the problem's `next_cursor` as `cursor`. It is missing while the storage
    is down, or if no job follows.
    """
    wanted = query.filter()
    if wanted.is_empty and not query.all:
        raise InvalidRequest("query: name a filter, or say `all=true`")
    # Bounded, because files are deleted one by one. How long that takes depends on the storage.
    collected = collect(services.store, wanted, query.cursor, _MOST_DELETED)
    ended = [row.id for row in collected.rows if row.state.is_terminal]
    running = [row.id for row in collected.rows if not row.state.is_terminal]
    cancelled = sum(services.store.cancel_many(running)) if query.cancel else 0
    failures = Failures()
    deleted = delete_ended(services.store, services.storage, ended, failures)
    if failures.first is not None:
        # While the storage is down, not all of these jobs were tried, and the cursor would leave them out.
        more = None if failures.are_hopeless else collected.next_cursor
        raise problem_of(failures.first, {"deleted": len(deleted), "next_cursor": more}) from failures.first
    return DeletedBody(
        deleted=len(deleted),
        cancelled=cancelled,
        skipped=len(running) - cancelled,
        complete=collected.is_complete,
        next_cursor=collected.next_cursor,
    )
