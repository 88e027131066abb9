"""`/jobs/{id}/share` creates links, `/shared/{token}` answers them, `/embed/{token}` is a player for other pages."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import ConfigDict, Field

from sentiloc.app.access.caller import Scope, current_caller
from sentiloc.app.access.problems import Forbidden
from sentiloc.app.http.address import address, current_base
from sentiloc.app.http.answers import BAD_RANGES
from sentiloc.app.http.problems import ProblemCode, RedisUnavailable, TypedProblem, documented
from sentiloc.app.jobs.record import JobKind, JobRecord
from sentiloc.app.jobs.sharing import find_shared, share, withdraw
from sentiloc.app.routes.deps import BAD_ID, NO_STORE, JobDep, JobNotFound, video_sources
from sentiloc.app.routes.reels.reels import send_reel
from sentiloc.app.routes.results.problems import STORE_DOWN, ResultExpired, ResultNotReady
from sentiloc.app.routes.results.result import video
from sentiloc.app.routes.results.stored import read_corrected, require_stored
from sentiloc.app.routes.results.videos import video_answers
from sentiloc.app.schemas.base import Body, moment
from sentiloc.app.services import ServicesDep
from sentiloc.model.errors import ErrorCode

router = APIRouter(tags=["reels"])

_WEB = Path(__file__).resolve().parents[2] / "web"
_WEEK, _YEAR = 7 * 86_400, 366 * 86_400
_WRITTEN = r"^[A-Za-z0-9_-]{1,300}$"
Token = Annotated[str, PathParameter(pattern=_WRITTEN)]


class LinkNotFound(TypedProblem):
    """The link is wrong, has expired or was withdrawn: the three are indistinguishable."""

    of_status = 404
    of_code = ProblemCode.NOT_FOUND
    example = "This link is not valid, or no longer valid."


_SHOWN_LINK = "xJ3k0cQ2Yw1uH8m5VtB7Nw_1798761600_Zb1c9sQ2"
_SHARED_RESULT: dict[str, Any] = {
    "kind": "localize",
    "name": "holiday.mp4",
    "duration": 9.6,
    "segments": [{"start": 3.2, "end": 6.4, "label": "positive", "confidence": 0.83, "source": "model"}],
    "video": f"/v1/shared/{_SHOWN_LINK}/video",
    "expires_at": "2026-12-31T12:00:00Z",
}
_SHARED_LINK: dict[str, Any] = {
    "token": _SHOWN_LINK,
    "path": f"/v1/shared/{_SHOWN_LINK}",
    "embed": f"/embed/{_SHOWN_LINK}",
    "expires_at": "2026-12-31T12:00:00Z",
}


class ShareBody(Body):
    """A link."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_SHARED_LINK]})

    token: str
    path: str = Field(description="Path of the shared content as JSON")
    embed: str = Field(description="Path of a player that other pages can frame")
    expires_at: datetime


class SharedSegment(Body):
    """A segment of a shared result."""

    start: float
    end: float
    label: str
    confidence: float
    source: str


class SharedBody(Body):
    """What a link shows: the name, the segments, and the path of the video. Nothing else of the job is revealed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_SHARED_RESULT]})

    kind: JobKind
    name: str
    duration: float | None = Field(description="Seconds; null for a reel")
    segments: list[SharedSegment]
    video: str
    expires_at: datetime


def find_link(token: Token, request: Request, services: ServicesDep) -> tuple[JobRecord, int]:
    """The job of a link; raises `LinkNotFound`."""
    found = find_shared(services.store, token)
    if found is None:
        raise LinkNotFound
    # The audit log names the job by it.
    request.path_params["job_id"] = found[0].id
    return found


LinkDep = Annotated[tuple[JobRecord, int], Depends(find_link)]


async def take_turn(link: LinkDep, services: ServicesDep) -> AsyncIterator[None]:
    """Wait for a turn of the job's owner. Links need no key, so nothing else limits who asks."""
    async with services.link_turns.hold(link[0].key_id or ""):
        yield


_GONE = (410, ErrorCode.SOURCE_MISSING, "The video is no longer stored.")
_SHARED = documented(
    LinkNotFound,
    ResultNotReady,
    ResultExpired,
    _GONE,
    (422, ProblemCode.INVALID_REQUEST, "path.token: must be an id: at most 300 letters, digits, - or _"),
    STORE_DOWN,
    RedisUnavailable,
)


@router.post(
    "/jobs/{job_id}/share",
    status_code=201,
    summary="Share a result or a reel",
    operation_id="createShare",
    responses=documented(
        JobNotFound,
        ResultNotReady,
        (409, ErrorCode.CANCELLED, "The job was cancelled."),
        ResultExpired,
        BAD_ID,
        RedisUnavailable,
    ),
)
def create(
    record: JobDep,
    services: ServicesDep,
    response: Response,
    seconds: Annotated[
        int,
        Query(
            ge=60, le=_YEAR, description="How long the link is valid, at most as long as the result is kept"
        ),
    ] = _WEEK,
) -> ShareBody:
    """Creates a link that needs no API key.

    Anyone who has it can see the segments and the video, but change nothing.
    """
    # The link shows what a key without this scope may not see.
    if not current_caller().may(Scope.READ):
        raise Forbidden(Scope.READ)
    require_stored(record)
    until = int(time.time()) + seconds
    if record.result_expires_at is not None:
        until = min(until, int(record.result_expires_at))
    token = share(services.store, record.id, until)
    if token is None:
        raise JobNotFound
    response.headers.update(NO_STORE)
    return ShareBody(
        token=token,
        path=address(f"/shared/{token}"),
        embed=f"{current_base().root}/embed/{token}",
        expires_at=moment(until),
    )


@router.delete(
    "/jobs/{job_id}/share",
    status_code=204,
    summary="Withdraw all links",
    operation_id="deleteShares",
    responses=documented(JobNotFound, BAD_ID, RedisUnavailable),
)
def remove(record: JobDep, services: ServicesDep) -> None:
    """Invalidates every link of the job at once."""
    withdraw(services.store, record.id)


@router.get(
    "/shared/{token}",
    summary="Get what a link shows",
    operation_id="getShared",
    dependencies=[Depends(take_turn)],
    responses=_SHARED,
)
def shared(link: LinkDep, token: Token, services: ServicesDep, response: Response) -> SharedBody:
    """Open to anyone who has the link."""
    record, until = link
    require_stored(record)
    result = None if record.reel is not None else read_corrected(services, record)
    segments = [
        SharedSegment(
            start=one.start,
            end=one.end,
            label=one.label,
            confidence=one.confidence,
            # Segments of emotions and expressions have no source.
            source=getattr(one, "source", "model"),
        )
        for one in (result.segments if result else ())
    ]
    response.headers.update(NO_STORE)
    return SharedBody(
        kind=record.kind,
        name=record.source_name,
        duration=result.video.duration if result else None,
        segments=segments,
        video=address(f"/shared/{token}/video"),
        expires_at=moment(until),
    )


@router.get(
    "/shared/{token}/video",
    summary="Get the video of a link",
    operation_id="getSharedVideo",
    response_class=FileResponse,
    responses={
        **video_answers("video/*", "The video"),
        **_SHARED,
        **documented(LinkNotFound, ResultNotReady, ResultExpired, _GONE, *BAD_RANGES, STORE_DOWN),
    },
)
def shared_video(link: LinkDep, services: ServicesDep) -> Response:
    """The uploaded video, or the rendered reel, with byte ranges."""
    record, _ = link
    require_stored(record)
    return send_reel(services, record) if record.reel is not None else video(record, services)


@router.get("/embed/{token}", include_in_schema=False)
def embed(token: str, request: Request, services: ServicesDep) -> Response:
    """A page with a player, for frames on the sites in `SENTILOC_EMBED_ANCESTORS`.

    People open it, so a link that is not valid gets the page, too, which says so.
    """
    found = find_shared(services.store, token) if re.fullmatch(_WRITTEN, token) else None
    if found is not None:
        request.path_params["job_id"] = found[0].id
    ancestors = " ".join(("'self'", *services.settings.embed_ancestors))
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"media-src {video_sources(services.storage)}; connect-src 'self'; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    )
    # Browsers that support frame-ancestors ignore X-Frame-Options; the others allow only this server's own pages.
    headers = {**NO_STORE, "Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"}
    return FileResponse(_WEB / "embed.html", 404 if found is None else 200, headers=headers)
