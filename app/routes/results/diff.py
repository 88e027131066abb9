"""`GET /jobs/{a}/diff/{b}`: compares the segments of two jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import ConfigDict, Field

from sentiloc.app.http.etags import JSON_TYPE
from sentiloc.app.http.problems import ProblemCode, RedisUnavailable, documented
from sentiloc.app.jobs.options import AnyLabel
from sentiloc.app.routes.deps import BAD_ID, JOB_ID, JobDep, JobNotFound, reload
from sentiloc.app.routes.jobs.feedback import WrongTask
from sentiloc.app.routes.results.problems import RESULT_PROBLEMS, STORE_DOWN
from sentiloc.app.routes.results.stored import read_result
from sentiloc.app.schemas.base import Body
from sentiloc.app.schemas.jobs import EXAMPLE_ID
from sentiloc.app.schemas.results import Seconds, Share
from sentiloc.app.services import ServicesDep
from sentiloc.model.errors import ErrorCode
from sentiloc.model.results.difference import TOLERANCE_SECONDS, Match, compare_segments
from sentiloc.model.results.task_result import task_of
from sentiloc.model.segments import Segment

router = APIRouter(tags=["results"])

OtherId = Annotated[str, Path(pattern=f"^{JOB_ID}$", examples=[EXAMPLE_ID])]
_ONE: dict[str, Any] = {"start": 3.2, "end": 6.4, "label": "positive", "confidence": 0.83}
_EXAMPLE: dict[str, Any] = {
    "before": EXAMPLE_ID,
    "after": "b1kT0Vt8Qm2c9sZr5yXw4A",
    "task": "sentiment",
    "kept": [],
    "moved": [{"before": _ONE, "after": {**_ONE, "end": 7.04}}],
    "lost": [],
    "new": [{**_ONE, "start": 8.32, "end": 9.6}],
}


class ComparedSegment(Body):
    """A segment of one of the two results."""

    start: Seconds
    end: Seconds
    label: AnyLabel
    confidence: Share


class MatchBody(Body):
    """A segment of the first result, and the matching segment of the second."""

    before: ComparedSegment
    after: ComparedSegment


class DiffBody(Body):
    """Every segment of the two results, each once."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    before: str = Field(description="The first job's id")
    after: str = Field(description="The second job's id")
    task: Literal["sentiment", "emotion", "expression"]
    kept: list[MatchBody] = Field(description="With the same edges")
    moved: list[MatchBody] = Field(description="Overlapping segments of the same label with other edges")
    lost: list[ComparedSegment] = Field(description="In the first result only")
    new: list[ComparedSegment] = Field(description="In the second result only")


@router.get(
    "/jobs/{job_id}/diff/{other_id}",
    operation_id="diffJobs",
    summary="Compare the results of two jobs",
    response_model=DiffBody,
    responses=documented(
        JobNotFound,
        WrongTask,
        (409, ErrorCode.CORRUPT_MEDIA, "The file ends in the middle of the video."),
        *RESULT_PROBLEMS,
        (422, ProblemCode.INVALID_REQUEST, "query.tolerance: must be at most 60"),
        BAD_ID,
        STORE_DOWN,
        RedisUnavailable,
    ),
)
def diff(
    record: JobDep,
    other_id: OtherId,
    services: ServicesDep,
    tolerance: Annotated[
        float, Query(ge=0, le=60, description="Seconds that the edges of a kept segment may differ")
    ] = TOLERANCE_SECONDS,
) -> Response:
    """From the first job to the second: segments kept, moved, lost and new. Both must have the same task."""
    first = read_result(services, record)
    second = read_result(services, reload(services, other_id))
    task = task_of(first)
    if task_of(second) != task:
        raise WrongTask(task_of(second), f"The first job's model finds {task}s, the second one's does not.")
    found = compare_segments(first.segments, second.segments, tolerance)
    body = DiffBody(
        before=record.id,
        after=other_id,
        task=task,
        kept=[_match(one) for one in found.kept],
        moved=[_match(one) for one in found.moved],
        lost=[_segment(one) for one in found.lost],
        new=[_segment(one) for one in found.new],
    )
    # Written here, in a thread: thousands of segments would hold up the event loop.
    return Response(body.model_dump_json(), media_type=JSON_TYPE)


def _match(match: Match) -> MatchBody:
    return MatchBody(before=_segment(match.before), after=_segment(match.after))


def _segment(segment: Segment) -> ComparedSegment:
    return ComparedSegment(
        start=segment.start, end=segment.end, label=segment.label, confidence=segment.confidence
    )
