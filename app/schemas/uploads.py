"""The public contract of resumable uploads, with an example."""

from __future__ import annotations

from datetime import datetime

from pydantic import ConfigDict, Field

from sentiloc.app.schemas.base import Body
from sentiloc.app.uploads.record import UploadState

EXAMPLE_UPLOAD_ID = "b1kT0Vt8Qm2c9sZr5yXw4A"


class UploadBody(Body):
    """An upload as a client sees it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE_UPLOAD_ID,
                    "state": "open",
                    "offset": 1048576,
                    "length": 209715200,
                    "name": "holiday.mp4",
                    "expires_at": "2026-02-01T12:00:00Z",
                    "job": None,
                }
            ]
        },
    )

    id: str
    state: UploadState = Field(
        description="`open` takes bytes, `complete` waits for its job, `used` has a job"
    )
    offset: int = Field(ge=0, description="Bytes that the server has stored")
    length: int | None = Field(description="Bytes of the video; null until the client states it")
    name: str
    expires_at: datetime = Field(description="When the upload is removed unless more bytes arrive")
    job: str | None = Field(description="The path of the upload's job, once it has one")
