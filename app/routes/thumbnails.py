"""`/jobs/{id}/thumbnails/{n}`: the picture at the peak of a result's segment."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from sentiloc.app.http.etags import ETAG_HEADER, NOT_MODIFIED, tagged
from sentiloc.app.http.problems import ProblemCode, ProblemError, documented
from sentiloc.app.routes.jobs import BAD_ID, NO_REDIS, UNKNOWN, JobId, find_job
from sentiloc.app.routes.results import EXPIRED, require_result
from sentiloc.app.services import ServicesDep
from sentiloc.app.storage.local import thumbnail_key
from sentiloc.model.errors import ErrorCode, SentilocError

router = APIRouter(tags=["results"])

JPEG = "image/jpeg"
_HEADERS = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The frame at the segment's peak",
        "headers": ETAG_HEADER,
        "content": {JPEG: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_NONE = (404, ProblemCode.THUMBNAIL_NOT_FOUND, "The result has no picture of this number.")


@router.get(
    "/jobs/{job_id}/thumbnails/{n}",
    summary="See a segment",
    response_class=Response,
    responses={
        **_ANSWER,
        **NOT_MODIFIED,
        **documented(
            UNKNOWN,
            _NONE,
            (409, ProblemCode.RESULT_NOT_READY, "The job is extracting; there is no result yet."),
            (409, ErrorCode.CORRUPT_MEDIA, "The file ends in the middle of the video."),
            (409, ErrorCode.CANCELLED, "The job was cancelled."),
            EXPIRED,
            BAD_ID,
            NO_REDIS,
        ),
    },
)
def thumbnail(
    job_id: JobId,
    n: Annotated[
        int, Path(ge=0, le=9999, description="Of the result's segments, as the job cut them; from 0")
    ],
    request: Request,
    services: ServicesDep,
) -> Response:
    """A JPEG. The result's `thumbnails` name those that there are."""
    record = find_job(services, job_id)
    require_result(record)
    if n >= record.thumbnails:
        raise ProblemError(*_NONE)
    try:
        picture = services.storage.read(thumbnail_key(record.id, record.attempt, n))
    except SentilocError as error:
        raise ProblemError(*_NONE) from error
    return tagged(request, picture, JPEG, _HEADERS)
