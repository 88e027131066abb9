"""`/reels`: videos rendered from parts of other videos. A reel is a job; follow it under `/jobs`."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse

from sentiloc.app.access.caller import current_caller
from sentiloc.app.cuts.sequence import SequenceOptions
from sentiloc.app.http.address import address
from sentiloc.app.http.answers import BAD_RANGES
from sentiloc.app.http.body import parse_body, read_body
from sentiloc.app.http.cursors import InvalidCursor
from sentiloc.app.http.file_names import sent_disposition
from sentiloc.app.http.problems import (
    BodyTooLarge,
    ProblemCode,
    ProblemError,
    RedisUnavailable,
    TypedProblem,
    documented,
)
from sentiloc.app.jobs.checks import require_possible
from sentiloc.app.jobs.idempotency import make_key
from sentiloc.app.jobs.options import JobOptions
from sentiloc.app.jobs.record import JobKind, JobRecord, JobState, NewJob, new_job_id
from sentiloc.app.jobs.submit import IdempotencyConflict
from sentiloc.app.listing.filters import JobFilter
from sentiloc.app.listing.jobs import list_jobs
from sentiloc.app.reels.plan import ReelLook, ReelPlan, make_plan, parse_plan
from sentiloc.app.routes.deps import BAD_ID, NO_STORE, JobDep, JobNotFound, json_body
from sentiloc.app.routes.jobs.localize import IdempotencyHeader
from sentiloc.app.routes.reels.clips import make_sequence
from sentiloc.app.routes.results.problems import STORE_DOWN, IsReel, ResultExpired, ResultNotReady
from sentiloc.app.routes.results.stored import require_stored
from sentiloc.app.routes.results.videos import VIDEO_HEADERS, send_video, video_answers
from sentiloc.app.schemas.base import moment, optional_moment
from sentiloc.app.schemas.jobs import Failure
from sentiloc.app.schemas.reels import ReelBody, ReelListBody, ReelRequest
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.storage.keys import source_key
from sentiloc.model.errors import ErrorCode

router = APIRouter(tags=["reels"])

MAX_BODY_BYTES = 256 * 1024
MODEL = "reel"
"""The model name of a reel's job."""
_MP4 = "video/mp4"


class ReelNotFound(TypedProblem):
    """The id is unknown, belongs to another API key, or is not that of a reel."""

    of_status = 404
    of_code = ProblemCode.JOB_NOT_FOUND
    example = "There is no reel with this id."


class ReelTooLong(TypedProblem):
    """The reel has more clips, or is longer, than this server allows."""

    of_status = 422
    of_code = ProblemCode.INVALID_REQUEST
    example = "The reel lasts 2000 s; this server renders at most 1800 s."


def find_reel(record: JobDep) -> JobRecord:
    """The job of the path, if it renders a reel; raises `ReelNotFound`."""
    if record.reel is None:
        raise ReelNotFound
    return record


ReelDep = Annotated[JobRecord, Depends(find_reel)]


@router.post(
    "/reels",
    status_code=202,
    summary="Render a reel",
    operation_id="createReel",
    openapi_extra=json_body(ReelRequest),
    responses={
        202: {
            "description": "The reel is queued and survives a restart of the server.",
            "headers": {"Location": {"description": "The reel's path", "schema": {"type": "string"}}},
        },
        **documented(
            JobNotFound,
            IsReel,
            ResultNotReady,
            (409, ErrorCode.CANCELLED, "The job was cancelled."),
            ResultExpired,
            (410, ErrorCode.SOURCE_MISSING, "The video holiday.mp4 is no longer stored."),
            BodyTooLarge,
            ReelTooLong,
            IdempotencyConflict,
            (
                422,
                ErrorCode.URL_FORBIDDEN,
                "The URL leads to an address that this server does not connect to.",
            ),
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
async def create(
    request: Request, response: Response, services: ServicesDep, idempotency_key: IdempotencyHeader = None
) -> ReelBody:
    """Renders the clips with cross-fades as an MP4 (H.264, AAC). The answer has its exact length in frames."""
    body = await read_body(request, MAX_BODY_BYTES, services.settings.upload_idle_seconds)
    asked = parse_body(ReelRequest, body)
    record = await services.combining.run(_submit, services, asked, idempotency_key)
    response.headers["Location"] = address(f"/reels/{record.id}")
    response.headers.update(NO_STORE)
    return reel_body(record)


def _submit(services: Services, asked: ReelRequest, key: str | None) -> JobRecord:
    digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
    idempotency = make_key(key, digest, services.settings.idempotency_seconds)
    seen = services.submitter.seen(idempotency, current_caller().key_id)
    if seen is not None:
        return seen
    options = JobOptions(priority=asked.priority, webhook=asked.webhook, metadata=asked.metadata)
    require_possible(options, services.settings)
    plan = _plan(services, asked)
    job_id = new_job_id()
    return services.submitter.submit(
        NewJob(
            id=job_id,
            source_key=source_key(job_id),
            source_name=f"{plan.title}.mp4",
            # A reel has no upload; its file is counted when it is made.
            source_bytes=0,
            model=MODEL,
            options=options,
            reel=plan.to_json(),
            media_seconds=plan.seconds,
            idempotency=idempotency,
        )
    )


def _plan(services: Services, asked: ReelRequest) -> ReelPlan:
    settings = services.settings
    if len(asked.clips) > settings.max_reel_clips:
        detail = (
            f"The reel has {len(asked.clips)} clips; this server renders at most {settings.max_reel_clips}."
        )
        raise ReelTooLong(detail)
    sequence, records = make_sequence(
        services, asked.clips, SequenceOptions(title=asked.title, fps=asked.fps)
    )
    for record in records.values():
        # Refused now, because the job would fail only when a worker opens the video.
        if services.storage.size(record.source_key) is None:
            detail = f"The video {record.source_name} is no longer stored."
            raise ProblemError(410, ErrorCode.SOURCE_MISSING, detail)
    look = ReelLook(
        crossfade_seconds=asked.crossfade,
        captions=asked.captions,
        max_side=min(asked.max_side, settings.reel_side_pixels),
    )
    plan = make_plan(sequence, {name: record.source_key for name, record in records.items()}, look)
    if plan.seconds > settings.max_reel_seconds:
        detail = (
            f"The reel lasts {plan.seconds:g} s; this server renders at most {settings.max_reel_seconds:g} s."
        )
        raise ReelTooLong(detail)
    return plan


@router.get(
    "/reels",
    summary="List reels",
    operation_id="listReels",
    responses=documented(InvalidCursor, RedisUnavailable),
)
def reels(
    response: Response,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> ReelListBody:
    """Newest first. Continue with `next_cursor` until it is null. A page may be short or empty before the end."""
    response.headers.update(NO_STORE)
    page = list_jobs(services.store, JobFilter(kind=JobKind.REEL), limit, cursor)
    return ReelListBody(reels=[reel_body(record) for record in page.records], next_cursor=page.next_cursor)


@router.get(
    "/reels/{job_id}",
    summary="Get a reel",
    operation_id="getReel",
    responses=documented(ReelNotFound, BAD_ID, RedisUnavailable),
)
def reel(record: ReelDep, response: Response) -> ReelBody:
    """The state of the reel, its exact length, and the path of its video."""
    response.headers.update(NO_STORE)
    return reel_body(record)


@router.get(
    "/reels/{job_id}/video",
    summary="Get a reel's video",
    operation_id="getReelVideo",
    response_class=FileResponse,
    responses={
        **video_answers(_MP4, "The MP4"),
        **documented(
            ReelNotFound,
            ResultNotReady,
            (409, ErrorCode.CANCELLED, "The job was cancelled."),
            ResultExpired,
            (410, ErrorCode.SOURCE_MISSING, "The reel is no longer stored."),
            *BAD_RANGES,
            BAD_ID,
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
def video(record: ReelDep, services: ServicesDep) -> Response:
    """The rendered reel, with byte ranges, for a player."""
    return send_reel(services, record)


def send_reel(services: Services, record: JobRecord) -> Response:
    """Send the file of a reel; raises the problem that says why there is none."""
    key = require_stored(record)
    headers = {**VIDEO_HEADERS, "Content-Disposition": sent_disposition("inline", record.source_name)}
    return send_video(services, key, _MP4, "The reel is no longer stored.", headers)


def reel_body(record: JobRecord) -> ReelBody:
    """The public part of a reel's record."""
    plan = parse_plan(record.reel or "")
    is_there = record.state is JobState.SUCCEEDED
    until = record.result_expires_at or record.record_expires_at
    return ReelBody(
        id=record.id,
        state=record.state,
        progress=1.0 if is_there else record.progress,
        title=plan.title,
        seconds=round(plan.seconds, 6),
        frames=plan.frames,
        rate=plan.rate,
        width=plan.width,
        height=plan.height,
        clips=len(plan.clips),
        created_at=moment(record.created_at),
        expires_at=optional_moment(until),
        error=Failure(code=record.error.code, detail=record.error.detail) if record.error else None,
        job=address(f"/jobs/{record.id}"),
        video=address(f"/reels/{record.id}/video") if is_there else None,
    )
