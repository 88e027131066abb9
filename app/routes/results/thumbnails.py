"""`/jobs/{id}/thumbnails/{n}`: the picture at the peak of a result's segment."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from sentiloc.app.http.etags import ETAG_HEADER, NOT_MODIFIED, tagged
from sentiloc.app.http.problems import ProblemCode, RedisUnavailable, TypedProblem, documented, problem_of
from sentiloc.app.routes.deps import BAD_ID, JobDep, JobNotFound
from sentiloc.app.routes.results.problems import STORE_DOWN, IsReel, ResultExpired, ResultNotReady
from sentiloc.app.routes.results.stored import require_result
from sentiloc.app.services import ServicesDep
from sentiloc.app.storage.keys import thumbnail_key
from sentiloc.model.errors import ErrorCode, SentilocError

router = APIRouter(tags=["results"])

JPEG = "image/jpeg"
_HEADERS = {"Cache-Control": "private, max-age=86400"}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The frame at the segment's peak",
        "headers": ETAG_HEADER,
        "content": {JPEG: {"schema": {"type": "string", "format": "binary"}}},
    }
}


class ThumbnailNotFound(TypedProblem):
    """There is no picture of this segment, or it was deleted."""

    of_status = 404
    of_code = ProblemCode.THUMBNAIL_NOT_FOUND
    example = "The result has no picture with this number."


@router.get(
    "/jobs/{job_id}/thumbnails/{n}",
    summary="Get the picture of a segment",
    operation_id="getThumbnail",
    response_class=Response,
    responses={
        **_ANSWER,
        **NOT_MODIFIED,
        **documented(
            JobNotFound,
            ThumbnailNotFound,
            IsReel,
            ResultNotReady,
            (409, ErrorCode.CORRUPT_MEDIA, "The file ends in the middle of the video."),
            (409, ErrorCode.CANCELLED, "The job was cancelled."),
            ResultExpired,
            BAD_ID,
            STORE_DOWN,
            RedisUnavailable,
        ),
    },
)
def thumbnail(
    record: JobDep,
    n: Annotated[
        int, Path(ge=0, le=9999, description="Index of the segment in the result as the job cut it, from 0")
    ],
    request: Request,
    services: ServicesDep,
) -> Response:
    """A JPEG. The field `thumbnails` of the result lists the pictures that exist."""
    require_result(record)
    if n >= record.thumbnails:
        raise ThumbnailNotFound
    try:
        picture = services.storage.read(thumbnail_key(record.id, record.attempt, n))
    except SentilocError as error:
        if error.code is not ErrorCode.SOURCE_MISSING:
            raise problem_of(error) from error
        raise ThumbnailNotFound from error
    return tagged(request, picture, JPEG, _HEADERS)
