"""`GET /highlights`: the strongest moments of chosen jobs, or of all jobs in a time range."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sentiloc.app.cuts.sequence import GivenClip, GivenSource, SequenceOptions
from sentiloc.app.http.address import address
from sentiloc.app.http.problems import (
    ProblemCode,
    ProblemError,
    RedisUnavailable,
    TypedProblem,
    documented,
)
from sentiloc.app.jobs.record import JobRecord, JobState
from sentiloc.app.listing.filters import JobFilter
from sentiloc.app.listing.jobs import collect
from sentiloc.app.listing.rows import JobRow
from sentiloc.app.routes.batches.batches import BatchNotFound, find_batch
from sentiloc.app.routes.deps import NO_STORE, JobNotFound
from sentiloc.app.routes.reels.clips import build_sequence, find_records
from sentiloc.app.routes.reels.cuts import CUT_ANSWER, write_cut
from sentiloc.app.routes.results.problems import RESULT_PROBLEMS, STORE_DOWN, IsReel
from sentiloc.app.routes.results.stored import read_corrected, read_result
from sentiloc.app.schemas.reels import CutBody, HighlightBody, HighlightsBody, JobRef, KindName
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.settings import Settings
from sentiloc.model.highlights.handles import HandleOptions
from sentiloc.model.highlights.highlights import Highlight, HighlightOptions, find_highlights
from sentiloc.model.highlights.moments import KINDS, Footage, MomentOptions
from sentiloc.model.results.result import Result

router = APIRouter(tags=["reels"])

_WEEK_SECONDS = 7 * 86_400.0


class TooManyVideos(TypedProblem):
    """The named jobs have more hours of video than allowed, or each of the others has."""

    of_status = 422
    of_code = ProblemCode.INVALID_REQUEST
    example = "The request covers 120 hours of video, more than 100: name fewer jobs."


class HighlightQuery(BaseModel):
    """The jobs to search, the moments to take, and how they are cut."""

    model_config = ConfigDict(extra="forbid")

    job: list[JobRef] | None = Field(
        None,
        max_length=200,
        description="Jobs to search; may be repeated. Default: the jobs in the time range",
    )
    created_after: AwareDatetime | None = Field(
        None, description="Without `job`: jobs created after this; default: a week ago"
    )
    created_before: AwareDatetime | None = Field(None, description="Without `job`: jobs created before this")
    batch: str | None = Field(
        None, pattern="^[A-Za-z0-9_-]{1,64}$", description="Without `job`: jobs of this batch, of any age"
    )
    metadata: list[Annotated[str, Field(pattern="^[^=]+=")]] | None = Field(
        None, description="Without `job`: `key=value` of a job's metadata; may be repeated"
    )
    count: int = Field(10, ge=1, le=100, description="Highlights at most")
    kind: list[KindName] | None = Field(None, description="Moments of these kinds; may be repeated")
    min_confidence: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Cut the stored curve again with this threshold; a low one finds more. Default: the job's segments",
    )
    max_seconds: float = Field(
        10.0, gt=0, le=600, description="A longer segment is shortened to its strongest part"
    )
    handle: float = Field(1.0, ge=0, le=60, description="Seconds to show before and after a moment")
    snap: float = Field(
        0.8, ge=0, le=10, description="How far a cut may move to a shot change or a pause; 0: not at all"
    )
    corrected: bool = Field(True, description="Use the segments of the last feedback, if there is any")
    format: Literal["json", "edl", "fcp7", "fcpxml", "otio", "mlt", "llc"] = Field(
        "json", description="`json`, or a cut for an editing program"
    )
    title: str = Field("Highlights", min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")
    folder: str = Field(
        "", max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$", description="Folder of the videos, for cuts"
    )

    def options(self) -> HighlightOptions:
        """The options of the search."""
        return HighlightOptions(
            count=self.count,
            moments=MomentOptions(
                kinds=tuple(self.kind) if self.kind else KINDS,
                min_confidence=self.min_confidence,
                max_seconds=self.max_seconds,
            ),
            handles=HandleOptions(handle=self.handle, snap=self.snap),
        )

    def filter(self) -> JobFilter:
        """The filter for jobs if none are named."""
        since = None if self.batch else time.time() - _WEEK_SECONDS
        if self.created_after is not None:
            since = self.created_after.timestamp()
        pairs = (text.partition("=") for text in self.metadata or ())
        return JobFilter(
            states=(JobState.SUCCEEDED,),
            created_after=since,
            created_before=None if self.created_before is None else self.created_before.timestamp(),
            batch=self.batch,
            metadata=tuple((key, value) for key, _, value in pairs),
        )


@router.get(
    "/highlights",
    summary="Find the best moments",
    operation_id="findHighlights",
    response_model=HighlightsBody,
    responses={
        200: {**CUT_ANSWER, "description": "The highlights as JSON, or as a cut in the requested format"},
        **documented(
            JobNotFound,
            BatchNotFound,
            IsReel,
            *RESULT_PROBLEMS,
            TooManyVideos,
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
async def highlights(query: Annotated[HighlightQuery, Query()], services: ServicesDep) -> Response:
    """The most certain moments, spread over videos and time, without near-duplicates.

    Each has a cut: the moment with `handle` seconds on both sides, moved to a nearby shot change or pause. If jobs are
    named, each of them must have a result. Otherwise the jobs that have succeeded are used. If these are more than the
    server searches at a time, it searches those with the most certain segments; `not_searched` counts the others.
    """
    return await services.combining.run(_highlights, query, services)


def _highlights(query: HighlightQuery, services: Services) -> Response:
    choice = _chosen(services, query)
    records = choice.records
    _require_length(records.values(), services.settings.max_highlight_hours)
    footage, skipped = _read(services, records, query)
    found = find_highlights(footage, query.options())
    if query.format == "json":
        body = HighlightsBody(
            highlights=[_body(one, records[one.footage.id], services) for one in found],
            videos=len(footage),
            skipped=skipped,
            not_searched=choice.not_searched,
            seconds=round(sum(one.cut.end - one.cut.start for one in found), 3),
        )
        return Response(body.model_dump_json(), media_type="application/json", headers=NO_STORE)
    if not found:
        raise ProblemError(
            422, ProblemCode.INVALID_REQUEST, "No highlight was found, so there is nothing to cut."
        )
    sources = [GivenSource(id=one.id, name=one.name, video=one.result.video) for one in footage]
    options = SequenceOptions(title=query.title, folder=query.folder)
    answer = write_cut(build_sequence([_clip(one) for one in found], sources, options), query.format)
    if choice.not_searched and "Sentiloc-Notes" not in answer.headers:
        count = choice.not_searched
        what = "1 video with weaker moments was" if count == 1 else f"{count} videos with weaker moments were"
        answer.headers["Sentiloc-Notes"] = f"1; {what} not searched"
    return answer


@dataclass(frozen=True, slots=True)
class Choice:
    """The jobs that are searched, oldest first, and the number of those that match but are too many."""

    records: dict[str, JobRecord]
    not_searched: int = 0


def _chosen(services: Services, query: HighlightQuery) -> Choice:
    if query.job:
        return Choice(find_records(services, query.job))
    if query.batch:
        # Only for its 404: the filter alone would find nothing.
        find_batch(query.batch, services)
    found = collect(services.store, query.filter())
    by_hand = services.feedback.given({row.id for row in found.rows}) if query.corrected else frozenset()
    rows = _strongest(
        found.rows,
        # What a person marked counts as certain.
        lambda row: 1.0 if row.id in by_hand else _sureness(row, query.kind or KINDS),
        services.settings,
    )
    if found.rows and not rows:
        most = services.settings.max_highlight_hours
        raise TooManyVideos(f"Each video of the request has more than {most:g} hours.")
    # Oldest first, so that the videos of a shoot are in the order in which they came.
    ids = [row.id for row in reversed(rows)]
    records = {record.id: record for record in services.store.get_many(ids) if record is not None}
    return Choice(records, len(found.rows) - len(rows))


def _strongest(
    rows: Sequence[JobRow], confidence: Callable[[JobRow], float], settings: Settings
) -> list[JobRow]:
    """The rows of the jobs that are searched, in their order.

    All, unless they are too many or too long: then those whose best segments are the most certain ones, because these
    have the best moments.
    """
    by_confidence = sorted(rows, key=confidence, reverse=True)
    kept: set[str] = set()
    left = settings.max_highlight_hours * 3600
    for row in by_confidence:
        seconds = row.duration or 0.0
        if len(kept) < settings.max_highlight_videos and seconds <= left:
            kept.add(row.id)
            left -= seconds
    return [row for row in rows if row.id in kept]


def _sureness(row: JobRow, kinds: Sequence[str]) -> float:
    """The confidence that the job's best moment can have, as moments are ranked."""
    positive, negative = (row.confidence(label) or 0.0 for label in ("positive", "negative"))
    # A turning point has the root of the product of two confidences.
    by_kind = {"positive": positive, "negative": negative, "turning_point": math.sqrt(positive * negative)}
    return max(by_kind[kind] for kind in kinds)


def _require_length(records: Iterable[JobRecord], most: float) -> None:
    """Refuse more hours of video than `most`: all curves are in memory at once, 1.6 MB for each hour."""
    hours = sum(record.duration or 0.0 for record in records) / 3600
    if hours > most:
        raise TooManyVideos(
            f"The request covers {hours:.0f} hours of video, more than {most:g}: name fewer jobs."
        )


def _read(
    services: Services, records: dict[str, JobRecord], query: HighlightQuery
) -> tuple[list[Footage], list[str]]:
    """Read the sentiment results, and list the jobs without one. A named job without any result is a problem."""
    footage: list[Footage] = []
    skipped: list[str] = []
    read = read_corrected if query.corrected else read_result
    for record in records.values():
        try:
            result = read(services, record)
        except ProblemError as error:
            # 409 and 410 mean that there is no result; a store that cannot be reached must not look like
            # that.
            if query.job or error.status not in (409, 410):
                raise
            skipped.append(record.id)
            continue
        if isinstance(result, Result):
            footage.append(Footage(id=record.id, name=record.source_name, result=result))
        else:
            skipped.append(record.id)
    return footage, skipped


def _body(one: Highlight, record: JobRecord, services: Services) -> HighlightBody:
    moment, cut = one.moment, one.cut
    return HighlightBody(
        rank=one.rank,
        job=record.id,
        name=record.source_name,
        kind=moment.kind,
        start=round(moment.start, 6),
        end=round(moment.end, 6),
        peak=round(moment.peak, 6),
        confidence=moment.confidence,
        by_hand=moment.by_hand,
        cut=CutBody(start=cut.start, end=cut.end, start_snap=cut.start_snap, end_snap=cut.end_snap),
        thumbnail=_thumbnail(one, record, services),
        video=address(f"/jobs/{record.id}/video"),
    )


def _thumbnail(one: Highlight, record: JobRecord, services: Services) -> str | None:
    """The picture of the stored segment whose peak is nearest to the moment's.

    That peak must be inside the cut, except at a turning point, which lies between two peaks.
    """
    if not record.thumbnails:
        return None
    # Pictures belong to the segments that the model found, not to a person's.
    stored = one.footage.result if not one.moment.by_hand else read_result(services, record)
    peaks = [segment.peak for segment in stored.segments[: record.thumbnails]]
    index = min(range(len(peaks)), key=lambda n: abs(peaks[n] - one.moment.peak), default=None)
    is_turn = one.moment.kind == "turning_point"
    if index is None or not (is_turn or one.cut.start <= peaks[index] <= one.cut.end):
        return None
    return address(f"/jobs/{record.id}/thumbnails/{index}")


def _clip(one: Highlight) -> GivenClip:
    confidence = None if one.moment.by_hand else one.moment.confidence
    return GivenClip(
        source_id=one.footage.id,
        start=one.cut.start,
        end=one.cut.end,
        label=one.moment.kind,
        confidence=confidence,
    )
