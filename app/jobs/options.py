"""A job's options: parsed and checked when a request comes in, kept in the record, read by the worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.settings import Settings
from sentiloc.app.signing import check_webhook_secret
from sentiloc.model.errors import SentilocError
from sentiloc.model.package import list_packages, shipped_models_dir
from sentiloc.model.results.result import SegmentOptions
from sentiloc.model.spec import CLASSES, load_spec

MAX_METADATA_BYTES = 4096
Label = Literal["negative", "positive"]
AnyLabel = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,39}$")]
"""A class of any model's; which ones a model has, `GET /models` says."""
WebhookEvent = Literal["job.succeeded", "job.failed", "job.cancelled"]

EXAMPLE_OPTIONS: dict[str, Any] = {
    "threshold": 0.6,
    "min_length": None,
    "merge_gap": None,
    "labels": ["positive"],
    "model": None,
    "time_range": None,
    "priority": "batch",
    "webhook": None,
    "metadata": {"project": "holiday", "reel": 3},
}


class Priority(StrEnum):
    """`batch` jobs start when no `interactive` one waits."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class CutOptions(BaseModel):
    """How segments are cut from the curve; what is left out stays as it is by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float | None = Field(None, ge=0, le=1, description="Least confidence of a segment")
    min_length: float | None = Field(None, ge=0, le=3600, description="Seconds")
    merge_gap: float | None = Field(None, ge=0, le=3600, description="Join neighbours at most so far apart")
    labels: list[AnyLabel] | None = Field(
        None, description="Show only these of the model's classes; may be repeated"
    )

    def cut(self, default: SegmentOptions) -> SegmentOptions:
        """`default` with what is asked for."""
        cut_fields = set(CutOptions.model_fields)
        changes = self.model_dump(include=cut_fields, exclude_none=True)
        if "labels" in changes:
            changes["labels"] = tuple(sorted(set(changes["labels"])))
        return replace(default, **changes)


class Webhook(BaseModel):
    """A POST to `url` at the job's end, after the Standard Webhooks specification."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(max_length=2048, description="http or https, at a public address")
    secret: str | None = Field(
        None,
        max_length=200,
        description="`whsec_` and 24 to 64 bytes in base64, to sign with; default: the API key's. Never shown again",
    )
    events: list[WebhookEvent] | None = Field(None, description="Which ends to tell; null: all")

    @field_validator("secret")
    @classmethod
    def _signs(cls, value: str | None) -> str | None:
        if value is not None:
            check_webhook_secret(value)
        return value

    def wants(self, event: str) -> bool:
        """True when this event is to be sent."""
        return self.events is None or event in self.events


class TimeRange(BaseModel):
    """A part of the video, in its own seconds; results keep to it as exactly as snippets (0.64 s) do."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    start: float = Field(0.0, ge=0, description="Seconds")
    end: float | None = Field(None, gt=0, description="Seconds; null: the video's end")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError("end must be after start")
        return self

    def seconds(self, duration: float) -> float:
        """How much of a video of `duration` seconds this is."""
        return max(0.0, min(duration, self.end or duration) - self.start)


class JobOptions(CutOptions):
    """The form's field `options`: one JSON object. Everything may be left out."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_extra={"examples": [EXAMPLE_OPTIONS]}
    )

    model: str | None = Field(
        None,
        max_length=128,
        description="A name of `GET /models`, or `name@version` to be answered by no other version; null: the default",
    )
    time_range: TimeRange | None = Field(
        None, description="Find segments in this part only, and decode little else; null: everywhere"
    )
    priority: Priority = Priority.INTERACTIVE
    webhook: Webhook | None = None
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict, description="Yours, passed through; at most 4096 bytes of JSON"
    )

    @property
    def model_name(self) -> str | None:
        """The model asked for, without its version."""
        return None if self.model is None else self.model.partition("@")[0]

    @property
    def model_version(self) -> str | None:
        """The version that the model must have, if one is asked for."""
        return None if self.model is None else self.model.partition("@")[2] or None

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode()) > MAX_METADATA_BYTES:
            raise ValueError(f"is larger than {MAX_METADATA_BYTES} bytes of JSON")
        return value

    def has_metadata(self, key: str, value: str) -> bool:
        """True when the metadata's `key` is this text, or is this when written as JSON."""
        if key not in self.metadata:
            return False
        found = self.metadata[key]
        return value == (found if isinstance(found, str) else json.dumps(found))

    def shown(self) -> JobOptions:
        """Without what the client gave in confidence."""
        if self.webhook is None or self.webhook.secret is None:
            return self
        return self.model_copy(update={"webhook": self.webhook.model_copy(update={"secret": None})})

    def canonical(self) -> str:
        """The same text for the same wishes."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def parse_options(text: str | bytes) -> JobOptions:
    """Read the form's field or the record's; empty is no wishes. Raises pydantic's `ValidationError`."""
    return JobOptions.model_validate_json(text) if text else JobOptions()


def check_options(text: bytes | bytearray, settings: Settings) -> JobOptions:
    """The options; raises the 422 problems `invalid_request` and `unknown_model`."""
    try:
        options = parse_options(bytes(text))
    except ValidationError as error:
        places = [(".".join(map(str, ("options", *item["loc"]))), item["msg"]) for item in error.errors()]
        detail = "; ".join(f"{place}: {message}" for place, message in places)
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail) from error
    require_possible(options, settings)
    return options


def require_possible(options: JobOptions, settings: Settings) -> None:
    """Raises the 422 problem `unknown_model`, and those of labels and a webhook that could never be."""
    if options.webhook is not None:
        _check_webhook(options.webhook, settings)
    model = options.model_name or settings.model
    if options.model is not None and not _is_installed(options, settings):
        detail = f"There is no model {options.model!r}; `GET /models` lists those that there are."
        raise ProblemError(422, ProblemCode.UNKNOWN_MODEL, detail)
    if options.labels is not None:
        check_labels(options.labels, classes_of(model, settings), "options.labels")


def _is_installed(options: JobOptions, settings: Settings) -> bool:
    name, version = options.model_name, options.model_version
    if name not in known_models(settings):
        return False
    try:
        return version in (None, load_spec(_models_dir(settings) / name / "spec.json").version)
    except SentilocError:
        # The API need not hold the package: the worker compares the version then.
        return True


def check_labels(labels: Iterable[str], classes: Sequence[str], place: str) -> None:
    """Raise the 422 problem `invalid_request` for labels that are none of the model's classes."""
    unknown = sorted({*labels} - {*classes})
    if unknown:
        detail = f"{place}: this model has no {', '.join(unknown)}; its classes are {', '.join(classes)}"
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail)


def classes_of(model: str, settings: Settings) -> tuple[str, ...]:
    """Classes of an installed package; those of sentiment where the API cannot read it (only the worker can)."""
    try:
        return load_spec(_models_dir(settings) / model / "spec.json").classes
    except SentilocError:
        return CLASSES


def _check_webhook(webhook: Webhook, settings: Settings) -> None:
    """Refuse what could never be sent; addresses are checked again when it is."""
    try:
        Outbound(allow=settings.outbound_allow).check(webhook.url)
    except SentilocError as error:
        raise ProblemError(422, error.code, f"options.webhook.url: {error.detail}") from error
    has_secret = webhook.secret or settings.webhook_secret or current_caller().key_id
    if not has_secret:
        detail = "options.webhook.secret: give one; this server has none of its own to sign with."
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail)


def known_models(settings: Settings) -> list[str]:
    """Names that a job may ask for, sorted: the installed packages and the default."""
    return sorted({*list_packages(_models_dir(settings)), settings.model})


def _models_dir(settings: Settings) -> Path:
    return settings.models_dir or shipped_models_dir()
