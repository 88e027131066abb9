"""JSON bodies that name a video by its URL or by a complete upload."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Self
from urllib.parse import unquote

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sentiloc.app.http.file_names import display_name
from sentiloc.app.jobs.idempotency import IdempotencyKey
from sentiloc.app.jobs.options import EXAMPLE_OPTIONS, JobOptions
from sentiloc.app.jobs.record import NewJob, new_job_id
from sentiloc.app.outbound.client import MAX_URL
from sentiloc.app.storage.keys import source_key

MAX_REQUEST_BYTES = 64 * 1024
_BY_URL: dict[str, Any] = {"url": "https://media.example/holiday.mp4", "options": EXAMPLE_OPTIONS}
_BY_UPLOAD: dict[str, Any] = {"upload": "b1kT0Vt8Qm2c9sZr5yXw4A"}


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="http or https, at a public address. A worker fetches it; redirects are not followed.",
    ),
]
UploadRef = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The id of a complete upload under `/v1/uploads`"),
]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description="The name of the video at `url`; default: the last part of its path",
    ),
]


class UrlRequest(BaseModel):
    """A video at a URL, and the job's options."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_BY_URL]})

    url: Url
    name: Name | None = None
    options: JobOptions = Field(default_factory=JobOptions)

    def source(self) -> LocalizeRequest:
        """The request in its common form."""
        return LocalizeRequest(url=self.url, name=self.name, options=self.options)


class UploadRequest(BaseModel):
    """A complete upload, and the job's options."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_BY_UPLOAD]})

    upload: UploadRef
    options: JobOptions = Field(default_factory=JobOptions)

    def source(self) -> LocalizeRequest:
        """The request in its common form."""
        return LocalizeRequest(upload=self.upload, options=self.options)


class LocalizeRequest(BaseModel):
    """Either `url` or `upload`, and the job's options: the JSON body of `POST /v1/localize` in release 1.0."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    upload: UploadRef | None = None
    name: Name | None = None
    options: JobOptions = Field(default_factory=JobOptions)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url is None) == (self.upload is None):
            raise ValueError("send either `url` or `upload`")
        if self.name is not None and self.url is None:
            raise ValueError("`name` belongs to `url`")
        return self

    def source(self) -> LocalizeRequest:
        """The request itself."""
        return self

    def digest(self) -> str:
        """SHA-256 of the request; equal requests have equal digests."""
        parts = [self.url, self.upload, self.name, self.options.canonical()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def new_job(self, url: httpx.URL, default_model: str, key: IdempotencyKey | None) -> NewJob:
        """The job for the video at the checked `url`.

        A worker fetches the video later, so its size is not known yet.
        """
        job_id = new_job_id()
        return NewJob(
            id=job_id,
            source_key=source_key(job_id),
            source_name=display_name(self.name or unquote(url.path.rpartition("/")[2])),
            source_bytes=0,
            source_url=str(url),
            model=self.options.model_name or default_model,
            options=self.options,
            idempotency=key,
        )
