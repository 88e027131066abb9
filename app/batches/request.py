"""The JSON body of `POST /batches`."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, JsonValue, model_validator

from sentiloc.app.jobs.options import JobOptions, Priority, Tag, WebhookTarget, check_metadata, check_tags
from sentiloc.app.outbound.client import MAX_URL

# Far more than a request needs. The body is large, and every part of it that is wrong costs memory and time.
_MOST_ENTRIES, _MOST_FIELDS = 10_000, 100

EXAMPLE_BATCH: dict[str, Any] = {
    "name": "Week 12",
    "items": [
        {"url": "https://media.example/holiday.mp4", "metadata": {"reel": 3}},
        {"url": "s3://footage/week12/interview.mov", "name": "Interview", "tags": ["draft"]},
        {"upload": "b1kT0Vt8Qm2c9sZr5yXw4A"},
    ],
    "options": {"labels": ["positive"], "metadata": {"project": "holiday"}},
    "webhook": {"url": "https://edit.example/hooks"},
}


class BatchItem(BaseModel):
    """One video: `url` or `upload`, and what differs from the shared options."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"minProperties": 1})

    url: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_URL,
        description="http or https at a public address, or `s3://bucket/key` within the places of the API key",
    )
    upload: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The id of a complete upload under `/v1/uploads`"
    )
    name: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="Default: the upload's, or the last part of the URL's path",
    )
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict, description="Merged into the metadata of the options; these values win"
    )
    tags: list[Tag] = Field(default_factory=list, description="Added to the tags of the options")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url is None) == (self.upload is None):
            raise ValueError("send either `url` or `upload`")
        return self

    def options(self, shared: JobOptions) -> JobOptions:
        """The options of this item's job; raises ValueError if metadata or tags are too many."""
        # The same object, by which `_Rows` recognizes that nothing differs.
        if not self.metadata and not self.tags:
            return shared
        metadata = check_metadata({**shared.metadata, **self.metadata})
        return shared.model_copy(
            update={"metadata": metadata, "tags": check_tags([*shared.tags, *self.tags])}
        )


class BatchWebhook(WebhookTarget):
    """A POST request to `url` when the whole batch has ended, with the event `batch.finished`."""


class BatchRequest(BaseModel):
    """Many videos with the same options. All of them become jobs, or none."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_BATCH]})

    # Only the first wrong item is named.
    items: Annotated[list[BatchItem], FailFast()] = Field(
        min_length=1, description="At most `max_batch_items` of `GET /v1/limits`"
    )
    name: str | None = Field(None, min_length=1, max_length=255, description="Your name for the batch")
    options: JobOptions = Field(
        default_factory=JobOptions,
        description="The options of every job; here `priority` is `batch` unless you say otherwise",
    )
    webhook: BatchWebhook | None = None

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, value: object) -> object:
        _require_bounded(value)
        return value

    def shared_options(self) -> JobOptions:
        """The options of every job."""
        # Only if it was sent: the default of a single job is another one.
        if "priority" in self.options.model_fields_set:
            return self.options
        return self.options.model_copy(update={"priority": Priority.BATCH})

    def digest(self) -> str:
        """SHA-256 of the request; equal requests have equal digests."""
        # Of the parsed request, so that spaces and the order of names do not matter.
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _require_bounded(value: object) -> None:
    """Raise ValueError for a list or an object with far too many parts. Metadata may have any number of them."""
    if isinstance(value, list):
        if len(value) > _MOST_ENTRIES:
            raise ValueError(f"must not have a list of more than {_MOST_ENTRIES} entries")
        for one in value:
            _require_bounded(one)
    elif isinstance(value, dict):
        if len(value) > _MOST_FIELDS:
            raise ValueError(f"must not have an object with more than {_MOST_FIELDS} fields")
        for name, one in value.items():
            if name != "metadata":
                _require_bounded(one)
