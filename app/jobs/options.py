"""A job's options: parsed and checked when a request comes in, kept in the record, read by the worker."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from sentiloc.app.signing import SigningSecret
from sentiloc.model.results.result import SegmentOptions

# Metadata is part of every record and of every list, so it must stay small.
MAX_METADATA_BYTES = 4096
Label = Literal["negative", "positive"]
AnyLabel = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,39}$")]
"""The name of a class; `GET /v1/models` lists the classes of each model."""
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
MAX_TAGS = 20
WebhookEvent = Literal["job.succeeded", "job.failed", "job.cancelled"]

EXAMPLE_OPTIONS: dict[str, Any] = {
    "threshold": 0.6,
    "min_length": None,
    "merge_gap": None,
    "labels": ["positive"],
    "model": None,
    "time_range": None,
    "audio_track": None,
    "quality": "full",
    "priority": "batch",
    "webhook": None,
    "metadata": {"project": "holiday", "reel": 3},
    "tags": ["reviewed"],
}


class Priority(StrEnum):
    """`batch` jobs start when no `interactive` job waits."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class Quality(StrEnum):
    """`draft` decodes keyframes only: quick and approximate, for a preview."""

    FULL = "full"
    DRAFT = "draft"


class CutOptions(BaseModel):
    """How segments are cut from the curve. Fields that are left out have their defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float | None = Field(None, ge=0, le=1, description="Minimum confidence of a segment")
    min_length: float | None = Field(None, ge=0, le=3600, description="Minimum length in seconds")
    merge_gap: float | None = Field(
        None, ge=0, le=3600, description="Join segments of one label that are at most this many seconds apart"
    )
    labels: list[AnyLabel] | None = Field(
        None, description="Only segments of these classes of the model; may be repeated"
    )

    def cut(self, default: SegmentOptions) -> SegmentOptions:
        """`default` with the fields that are set here."""
        cut_fields = set(CutOptions.model_fields)
        changes = self.model_dump(include=cut_fields, exclude_none=True)
        if "labels" in changes:
            # Sorted, so that equivalent requests give equal results and cache keys.
            changes["labels"] = tuple(sorted(set(changes["labels"])))
        return replace(default, **changes)


class WebhookTarget(BaseModel):
    """The receiver of events, and the secret that signs them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(max_length=2048, description="http or https, at a public address")
    secret: SigningSecret | None = Field(
        None,
        description=(
            "Signs the event: `whsec_` and 24 to 64 bytes in base64; default: the API key's, else the server's. Never "
            "shown again"
        ),
    )


class Webhook(WebhookTarget):
    """A POST request to `url` when the job ends, as the Standard Webhooks specification defines it."""

    events: list[WebhookEvent] | None = Field(None, description="The events to send; null: all")

    def wants(self, event: str) -> bool:
        """True if this event is to be sent."""
        return self.events is None or event in self.events


class TimeRange(BaseModel):
    """A part of the video, in seconds from its start. Results keep to it within one snippet (0.64 s)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    start: float = Field(0.0, ge=0, description="Seconds from the start of the video")
    end: float | None = Field(None, gt=0, description="Seconds from the start of the video; null: its end")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError("end must be after start")
        return self

    def seconds(self, duration: float) -> float:
        """The length in seconds of this part in a video of `duration` seconds."""
        return max(0.0, min(duration, self.end or duration) - self.start)


def webhook_host(url: str) -> str:
    """Host and port of a webhook's receiver."""
    # Credentials in the address must not reach the record or the log.
    return urlsplit(url).netloc.rpartition("@")[2].lower()


class JobOptions(CutOptions):
    """The options of a job. Every field is optional."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_extra={"examples": [EXAMPLE_OPTIONS]}
    )

    model: str | None = Field(
        None,
        max_length=128,
        description="A name of `GET /v1/models`, or `name@version` to accept no other version; null: the default model",
    )
    time_range: TimeRange | None = Field(
        None,
        description="Find segments in this part of the video only, and decode little else; null: the whole video",
    )
    audio_track: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Listen to this sound track, counted from 1; null: the default one, or the one with a voice",
    )
    quality: Quality = Field(
        Quality.FULL,
        description="`draft` decodes keyframes only, for a quick preview: times are exact, segments approximate, and "
        "the result has the warning `draft`. Models that need every picture refuse it",
    )
    priority: Priority = Priority.INTERACTIVE
    webhook: Webhook | None = None
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict, description="Your own data, returned with the job; at most 4096 bytes of JSON"
    )
    tags: list[Tag] = Field(
        default_factory=list, description="Your own tags; at most 20, duplicates count once"
    )

    @property
    def model_name(self) -> str | None:
        """The name of the requested model, without its version."""
        return None if self.model is None else self.model.partition("@")[0]

    @property
    def model_version(self) -> str | None:
        """The version that the model must have; None for any."""
        return None if self.model is None else self.model.partition("@")[2] or None

    @property
    def webhook_host(self) -> str:
        """Host and port of the webhook's receiver; empty without a webhook."""
        return "" if self.webhook is None else webhook_host(self.webhook.url)

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return check_metadata(value)

    @field_validator("tags")
    @classmethod
    def _few(cls, value: list[str]) -> list[str]:
        return check_tags(value)

    def shown(self) -> JobOptions:
        """The options without secrets, for answers."""
        if self.webhook is None or self.webhook.secret is None:
            return self
        return self.model_copy(update={"webhook": self.webhook.model_copy(update={"secret": None})})

    def canonical(self) -> str:
        """Canonical JSON: equal options give equal texts. Used as a cache and idempotency key."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def check_metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The metadata; raises ValueError if it is too large."""
    try:
        # JSON has no NaN; with allow_nan other clients could not read it.
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise ValueError("must have finite numbers only") from error
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"is larger than {MAX_METADATA_BYTES} bytes of JSON")
    return value


def check_tags(value: list[str]) -> list[str]:
    """The tags, each once, in their order; raises ValueError if there are too many."""
    # A dict keeps the order of the first occurrences; a set would not.
    once = list(dict.fromkeys(value))
    if len(once) > MAX_TAGS:
        raise ValueError(f"has more than {MAX_TAGS} tags")
    return once


def parse_options(text: str | bytes) -> JobOptions:
    """Options from JSON; an empty text means the defaults. Raises `pydantic.ValidationError`."""
    # Some form libraries send the field although it is empty.
    return JobOptions.model_validate_json(text) if text else JobOptions()


def read_options(text: str) -> tuple[JobOptions, bool]:
    """Stored options, and whether this release knows all of them.

    During an upgrade, a newer API may record options that older processes do not have; these are left out.
    Raises `pydantic.ValidationError` for anything else that is wrong.
    """
    try:
        return parse_options(text), True
    except ValidationError as error:
        if any(one["type"] != "extra_forbidden" for one in error.errors()):
            raise
        return JobOptions.model_validate(_without(json.loads(text), error)), False


def _without(raw: dict[str, Any], error: ValidationError) -> dict[str, Any]:
    """`raw` without the fields that the error names."""
    try:
        for one in error.errors():
            *way, name = one["loc"]
            place: Any = raw
            for step in way:
                place = place[step]
            del place[name]
    except (KeyError, TypeError):
        raise error from None
    return raw
