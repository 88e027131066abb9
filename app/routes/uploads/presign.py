"""`/uploads/presign`: a form with which a client sends its video directly to the object store."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.body import parse_body, read_body
from sentiloc.app.http.file_names import display_name
from sentiloc.app.http.problems import BodyTooLarge, ProblemCode, RedisUnavailable, documented
from sentiloc.app.jobs.record import new_job_id
from sentiloc.app.routes.deps import json_body
from sentiloc.app.routes.results.problems import STORE_DOWN
from sentiloc.app.routes.uploads.deps import new_upload
from sentiloc.app.schemas.base import Body, moment
from sentiloc.app.schemas.uploads import EXAMPLE_UPLOAD_ID as EXAMPLE_ID
from sentiloc.app.services import Services, ServicesDep
from sentiloc.app.uploads.problems import NotPresigned, TooManyUploads
from sentiloc.app.uploads.record import UploadRecord, UploadState

router = APIRouter(prefix="/uploads", tags=["uploads"])

MAX_BODY_BYTES = 4096
_VALID_SECONDS = 3600
_EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "url": "https://media.s3.example/",
    "fields": {"key": f"uploads/{EXAMPLE_ID}.src", "policy": "eyJleHBpcmF0aW9uIjog…"},
    "expires_at": "2026-01-31T13:00:00Z",
}


class PresignRequest(BaseModel):
    """The client's name for its video."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "holiday.mp4"}]})

    name: str = Field("video", min_length=1, max_length=255)


class PresignBody(Body):
    """A form: POST `fields`, then the video as `file`, to `url` as multipart/form-data."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    id: str = Field(description="The upload's id for `POST /v1/localize/upload`, once the video is sent")
    url: str
    fields: dict[str, str]
    expires_at: datetime = Field(description="When the form expires")


@router.post(
    "/presign",
    status_code=201,
    summary="Get a form to send a video directly to the object store",
    operation_id="presignUpload",
    openapi_extra=json_body(PresignRequest),
    responses=documented(
        NotPresigned,
        BodyTooLarge,
        (422, ProblemCode.INVALID_REQUEST, "name: …"),
        TooManyUploads,
        STORE_DOWN,
        RedisUnavailable,
    ),
)
async def presign(request: Request, services: ServicesDep) -> PresignBody:
    """The store refuses videos that are too large. `POST /v1/localize/upload` with the `id` then creates the job."""
    body = await read_body(request, MAX_BODY_BYTES, services.settings.upload_idle_seconds)
    return await to_thread.run_sync(_presign, services, parse_body(PresignRequest, body))


def _presign(services: Services, asked: PresignRequest) -> PresignBody:
    settings, upload_id, now = services.settings, new_job_id(), time.time()
    record = UploadRecord(
        id=upload_id,
        state=UploadState.OPEN,
        key_id=current_caller().key_id,
        name=display_name(asked.name),
        metadata="",
        length=None,
        options=None,
        created_at=now,
        expires_at=now + settings.upload_expiry_seconds,
        presigned=True,
    )
    seconds = int(min(_VALID_SECONDS, settings.upload_expiry_seconds))
    form = services.storage.presign(record.incoming_key, settings.max_upload_bytes, seconds)
    if form is None:
        raise NotPresigned
    # After the form, so that a store that cannot presign leaves no record.
    new_upload(services, record)
    return PresignBody(id=upload_id, url=form.url, fields=form.fields, expires_at=moment(now + seconds))
