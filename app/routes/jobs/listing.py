"""`GET /jobs`: the list of jobs, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sentiloc.app.http.problems import ProblemCode, RedisUnavailable, documented
from sentiloc.app.jobs.listing import InvalidCursor, JobFilter, list_jobs
from sentiloc.app.jobs.options import AnyLabel
from sentiloc.app.jobs.record import JobState
from sentiloc.app.routes.deps import NO_STORE
from sentiloc.app.schemas.jobs import JobListBody, job_body
from sentiloc.app.services import ServicesDep

router = APIRouter(tags=["jobs"])

MAX_PAGE = 100


class JobQuery(BaseModel):
    """The query of the list. A job is listed if it matches every filter."""

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
    limit: int = Field(20, ge=1, le=MAX_PAGE, description="Maximum number of jobs in a page")
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the previous page")

    def filter(self) -> JobFilter:
        """The filter of this query."""
        return JobFilter(
            states=tuple(self.state or ()),
            label=self.label,
            created_after=_seconds(self.created_after),
            created_before=_seconds(self.created_before),
            metadata=tuple(_pair(text) for text in self.metadata or ()),
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
        (422, ProblemCode.INVALID_REQUEST, "query.limit: Input should be less than or equal to 100"),
        InvalidCursor,
        RedisUnavailable,
    ),
)
def jobs(query: Annotated[JobQuery, Query()], response: Response, services: ServicesDep) -> JobListBody:
    """Newest first. Continue with `next_cursor` until it is null. A page may be short or empty before the end."""
    response.headers.update(NO_STORE)
    page = list_jobs(services.store, query.filter(), query.limit, query.cursor)
    positions = services.store.queue_positions([record.id for record in page.records])
    bodies = [job_body(*pair) for pair in zip(page.records, positions, strict=True)]
    return JobListBody(jobs=bodies, next_cursor=page.next_cursor)
