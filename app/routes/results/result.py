"""`/jobs/{id}/result`: the segments, optionally with other cut options or in another format."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.details import Details, Moment, best_moments, details_of, moment_of
from sentiloc.app.formats.media_types import video_type
from sentiloc.app.formats.timeline import Timeline, TimelineError, TimelineOptions, make_timeline
from sentiloc.app.http.accept import choose
from sentiloc.app.http.address import address
from sentiloc.app.http.answers import BAD_RANGES
from sentiloc.app.http.etags import ETAG_HEADER, JSON_TYPE, NOT_MODIFIED, tagged
from sentiloc.app.http.file_names import sent_disposition
from sentiloc.app.http.problems import (
    ProblemCode,
    ProblemError,
    RedisUnavailable,
    documented,
)
from sentiloc.app.jobs.checks import check_labels
from sentiloc.app.jobs.options import CutOptions
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.routes.deps import BAD_ID, JobDep, JobNotFound
from sentiloc.app.routes.results.problems import (
    RESULT_PROBLEMS,
    STORE_DOWN,
    IsReel,
)
from sentiloc.app.routes.results.stored import corrected, read_partial, read_result
from sentiloc.app.routes.results.videos import send_video, video_answers
from sentiloc.app.schemas.results import EXAMPLE_RESULT
from sentiloc.app.schemas.tasks import (
    EXAMPLE_EMOTIONS,
    EXAMPLE_EXPRESSIONS,
    TaskResultBody,
)
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.storage.keys import thumbnail_key
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.results.result import Result, parse_result
from sentiloc.model.results.task_result import AnyResult, labels_of, recut_any, task_of

router = APIRouter(tags=["results"])

_HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Accept"}


# ELAN documents state when they were written. The OpenAPI document must be the same at every start.
_WRITTEN_AT, _EXAMPLE_TIME = re.compile(r'(?<= DATE=")[^"]+'), "2026-02-01T12:00:00+00:00"


def _examples() -> dict[str, Any]:
    """The example result in each format."""
    example = parse_result(EXAMPLE_RESULT)
    timeline = make_timeline("holiday.mp4", example.video, example.segments)
    documents = {"sentiment": EXAMPLE_RESULT, "emotion": EXAMPLE_EMOTIONS, "expression": EXAMPLE_EXPRESSIONS}
    return {JSON_TYPE: {"examples": {task: {"value": value} for task, value in documents.items()}}} | {
        known.media_type: {
            "schema": {"type": "string"},
            "example": _WRITTEN_AT.sub(_EXAMPLE_TIME, known.render(timeline)),
        }
        for known in FORMATS.values()
    }


_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The segments and their curve as JSON, or the segments in the requested format",
        "content": _examples(),
        "headers": ETAG_HEADER,
    }
}


class Cut(CutOptions):
    """The query of a result. Fields that are left out keep the job's values."""

    format: str | None = Field(
        None, pattern=f"^({'|'.join(('json', *FORMATS))})$", description="Overrides the `Accept` header"
    )
    partial: bool = Field(
        False,
        description="While the job runs, answer with what it has found so far, marked `provisional`, instead of 409",
    )
    corrected: bool = Field(
        False, description="Use the segments of the last feedback, if there is any, instead of the model's"
    )
    start_timecode: str | None = Field(
        None,
        pattern=r"^\d{2}:\d{2}:\d{2}[:;]\d{2}$",
        description="Timecode of the first frame, HH:MM:SS:FF, or HH:MM:SS;FF for drop frame; default: the video's own",
        examples=["01:00:00:00"],
    )
    drop_frame: bool | None = Field(
        None,
        description="Whether timecode drops frame numbers, at 29.97 and 59.94; default: as the video does",
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=240,
        description="Frames per second of the timeline, one of the standard rates; default: `video.timebase`",
        examples=[25],
    )

    @property
    def timeline(self) -> TimelineOptions:
        """The timeline options of editing formats."""
        return TimelineOptions(start_timecode=self.start_timecode, drop_frame=self.drop_frame, fps=self.fps)


@router.get(
    "/jobs/{job_id}/result",
    summary="Get the result",
    operation_id="getResult",
    response_model=TaskResultBody,
    responses={
        **_RESULT,
        **NOT_MODIFIED,
        **documented(
            JobNotFound,
            IsReel,
            (409, ErrorCode.CORRUPT_MEDIA, "The file ends in the middle of the video."),
            *RESULT_PROBLEMS,
            BAD_ID,
            (
                422,
                ProblemCode.INVALID_REQUEST,
                "labels: this model has no joy; its classes are negative, positive",
            ),
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
def result(record: JobDep, cut: Annotated[Cut, Query()], request: Request, services: ServicesDep) -> Response:
    """The sentiment of the video over time. A failed job answers with a problem that has the job's error code.

    The stored curve is cut again with other thresholds, lengths, gaps or labels, without running the model.
    """
    name = cut.format or negotiate(request.headers.get("accept", ""))
    if name == "json":
        document = json_of(services, record, cut)
        # Python writes NaN by default, which is not JSON; better an error here than in every client.
        return tagged(request, json.dumps(document, allow_nan=False), JSON_TYPE, _HEADERS)
    file = file_of(services, record, cut.model_copy(update={"format": name}))
    headers = {"Content-Disposition": sent_disposition("attachment", file.name)}
    if file.notes:
        headers["Sentiloc-Notes"] = f"{len(file.notes)}; {file.notes[0]}"
    return tagged(request, file.content, file.media_type, {**_HEADERS, **headers})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """A result as a file of some format; `notes` say what the format cannot represent exactly."""

    name: str
    media_type: str
    content: bytes
    notes: tuple[str, ...] = ()


def json_of(services: Services, record: JobRecord, cut: Cut) -> dict[str, Any]:
    """The result as a JSON document; raises the problem that says why there is none."""
    stored, found = _cut(services, record, cut)
    document = found.to_dict()
    if record.thumbnails:
        document["thumbnails"] = _thumbnails(record, stored, found)
    return document


def file_of(services: Services, record: JobRecord, cut: Cut) -> ResultFile:
    """The result in the format of `cut`; raises the problem that says why there is none."""
    name = cut.format or "json"
    if name == "json":
        stem = record.source_name.rpartition(".")[0] or record.source_name
        content = json.dumps(json_of(services, record, cut), allow_nan=False).encode()
        return ResultFile(name=f"{stem}.json", media_type=JSON_TYPE, content=content)
    known = FORMATS[name]
    stored, found = _cut(services, record, cut)
    details = details_of(found, _pictures(services, record, stored, found)) if known.wants_details else None
    timeline = _timeline(found, record.source_name, cut.timeline, details)
    return ResultFile(
        name=known.file_name(record.source_name),
        media_type=known.media_type,
        content=known.render(timeline).encode(),
        notes=tuple(known.notes(timeline)),
    )


def _pictures(
    services: Services, record: JobRecord, stored: AnyResult, found: AnyResult
) -> dict[Moment, bytes]:
    """The stored pictures of the best moments. A picture that is not there is left out."""
    wanted = {moment_of(segment) for segment in best_moments(found.segments)}
    pictures = {}
    for index, segment in enumerate(stored.segments[: record.thumbnails]):
        if moment_of(segment) in wanted:
            # A report without one picture is better than no report.
            with suppress(SentilocError):
                key = thumbnail_key(record.id, record.attempt, index)
                pictures[moment_of(segment)] = services.storage.read(key)
    return pictures


def _cut(services: Services, record: JobRecord, cut: Cut) -> tuple[AnyResult, AnyResult]:
    """The stored result, and the result with the requested cut options."""
    stored = read_partial(services, record) if cut.partial else read_result(services, record)
    check_labels(cut.labels or (), labels_of(stored), "labels")
    edited = corrected(services, record, stored) if cut.corrected else None
    if edited is None:
        return stored, recut_any(stored, cut.cut(stored.options))
    # Other options cut the model's curve, which people's segments do not come from.
    return stored, edited if cut.labels is None else _only(edited, cut.labels)


def _only(found: Result, labels: Collection[str]) -> Result:
    options = replace(found.options, labels=tuple(sorted(set(labels))))
    return replace(
        found, options=options, segments=tuple(one for one in found.segments if one.label in labels)
    )


@router.get(
    "/jobs/{job_id}/video",
    summary="Get the uploaded video",
    operation_id="getVideo",
    response_class=FileResponse,
    responses={
        **video_answers("video/*", "The file as it was uploaded"),
        **documented(
            JobNotFound,
            *BAD_RANGES,
            (410, ErrorCode.SOURCE_MISSING, "The video is no longer stored."),
            BAD_ID,
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
def video(record: JobDep, services: ServicesDep) -> Response:
    """The upload, with byte ranges, for a player. Whether a browser can play it depends on its codec."""
    return send_video(
        services, record.source_key, video_type(record.source_name), "The video is no longer stored."
    )


def _thumbnails(record: JobRecord, stored: AnyResult, found: AnyResult) -> list[str | None]:
    """The path of each segment's picture, or None. Segments that are cut again keep the picture of the same peak."""
    paths = {
        (segment.label, segment.peak): address(f"/jobs/{record.id}/thumbnails/{index}")
        for index, segment in enumerate(stored.segments[: record.thumbnails])
    }
    return [paths.get((segment.label, segment.peak)) for segment in found.segments]


class FormatBody(BaseModel):
    """A format of results."""

    name: str = Field(description="For `?format=`")
    title: str
    media_type: str = Field(description="For the `Accept` header")
    extension: str


_FORMATS_EXAMPLE = [{"name": "vtt", "title": "WebVTT", "media_type": "text/vtt", "extension": "vtt"}]


@router.get(
    "/formats",
    summary="List the result formats",
    operation_id="listFormats",
    responses={200: {"content": {JSON_TYPE: {"example": _FORMATS_EXAMPLE}}}},
)
def formats() -> list[FormatBody]:
    """Every format except JSON, which is the default."""
    return [
        FormatBody(name=name, title=known.title, media_type=known.media_type, extension=known.extension)
        for name, known in FORMATS.items()
    ]


def negotiate(accept: str) -> str:
    """The format that an `Accept` header prefers; JSON without the header or a known format."""
    names = {JSON_TYPE: "json"} | {known.media_type: name for name, known in FORMATS.items()}
    return names[choose(accept, list(names)) or JSON_TYPE]


def _timeline(
    found: AnyResult, source_name: str, options: TimelineOptions, details: Details | None
) -> Timeline:
    try:
        return make_timeline(
            source_name,
            found.video,
            found.segments,
            kind=task_of(found),
            labels=labels_of(found),
            options=options,
            details=details,
        )
    except TimelineError as error:
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, str(error)) from error
