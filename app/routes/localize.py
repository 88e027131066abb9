"""`POST /localize`: a video in, a job out."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response

from app.intake import KEY_REUSED, submit
from app.job_record import JobRecord
from app.once import Once
from app.problems import ProblemCode, ProblemError, documented
from app.schemas import JobBody, job_body
from app.services import Services, ServicesDep
from app.uploads import Upload, receive_video
from model.errors import ErrorCode

router = APIRouter(tags=["jobs"])

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["video"],
                    "additionalProperties": False,
                    "properties": {
                        "video": {
                            "type": "string",
                            "format": "binary",
                            "description": "mp4, mov, webm, mkv, avi or ts; the bytes decide, not the name",
                        },
                        "options": {
                            "allOf": [{"$ref": "#/components/schemas/JobOptions"}],
                            "description": "One JSON object, at most 16 KiB; may be left out",
                        },
                    },
                },
                "encoding": {"options": {"contentType": "application/json"}},
            }
        },
    }
}

_LOCATION = {
    "Location": {"description": "The job's path", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` when the Idempotency-Key was seen before: this is the job that it made",
        "schema": {"type": "string"},
    },
}
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The video is stored and the job is queued; it will not be lost.",
        "headers": _LOCATION,
    }
}
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Yours, e.g. a UUID: the same video and options sent again with it are the same job",
    ),
]
_PROBLEMS = documented(
    (400, ProblemCode.MALFORMED_MULTIPART, "The multipart body is malformed or cut off."),
    (408, ProblemCode.UPLOAD_TIMEOUT, "The upload sent nothing for 30 seconds."),
    (413, ProblemCode.UPLOAD_TOO_LARGE, "The video is larger than 2147483648 bytes, which is the most …"),
    (415, ProblemCode.NOT_MULTIPART, "Send the video as multipart/form-data, in a file field named `video`."),
    (422, ProblemCode.MISSING_FIELD, "The form has no field `video`."),
    (
        422,
        ProblemCode.UNEXPECTED_FIELD,
        "The form may only hold the fields `video` and `options`, not 'model'.",
    ),
    (422, ProblemCode.INVALID_REQUEST, "options.threshold: Input should be less than or equal to 1"),
    (422, ProblemCode.UNKNOWN_MODEL, "There is no model 'x'; `GET /models` lists those that there are."),
    KEY_REUSED,
    (422, ErrorCode.EMPTY_FILE, "The video is an empty file."),
    (
        503,
        ProblemCode.REDIS_UNAVAILABLE,
        "The service cannot reach its job store; try again in a few seconds.",
    ),
    (507, ErrorCode.STORAGE_FULL, "The server's storage is full."),
)


@router.post(
    "/localize",
    status_code=202,
    summary="Upload a video and queue it",
    responses={**_ACCEPTED, **_PROBLEMS},
    openapi_extra=_FORM,
)
async def localize(
    request: Request, response: Response, services: ServicesDep, idempotency_key: IdempotencyKey = None
) -> JobBody:
    """The video is streamed to disk, stored under a generated name and queued for localization."""
    await to_thread.run_sync(services.store.redis.ping)
    upload = await receive_video(request, services.storage, services.settings)
    once = idempotency_key and Once(idempotency_key, upload.digest, services.settings.idempotency_seconds)
    record, position = await to_thread.run_sync(_submit, services, upload, once or None)
    if record.id != upload.source.job_id:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/jobs/{record.id}"
    response.headers["Cache-Control"] = "no-store"
    return job_body(record, position)


def _submit(services: Services, upload: Upload, once: Once | None) -> tuple[JobRecord, int | None]:
    source = upload.source
    try:
        record = submit(services, source, upload.options, once)
    except ProblemError:
        services.storage.delete(source.key)
        raise
    if record.id != source.job_id:
        services.storage.delete(source.key)
    return record, services.store.queue_position(record.id)
