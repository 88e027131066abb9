"""What a client may ask of a job beside the video: checked at the door, kept in the record, read by the worker."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from model.result import SegmentOptions

MAX_METADATA_BYTES = 4096
Label = Literal["negative", "positive"]

EXAMPLE_OPTIONS: dict[str, Any] = {
    "threshold": 0.6,
    "min_length": None,
    "merge_gap": None,
    "labels": ["positive"],
    "model": None,
    "priority": "batch",
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
    labels: list[Label] | None = Field(None, description="Show only these; may be repeated")

    def cut(self, default: SegmentOptions) -> SegmentOptions:
        """`default` with what is asked for."""
        cut_fields = set(CutOptions.model_fields)
        changes = self.model_dump(include=cut_fields, exclude_none=True)
        if "labels" in changes:
            changes["labels"] = tuple(sorted(set(changes["labels"])))
        return replace(default, **changes)


class JobOptions(CutOptions):
    """The form's field `options`: one JSON object. Everything may be left out."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_extra={"examples": [EXAMPLE_OPTIONS]}
    )

    model: str | None = Field(None, max_length=128, description="A name of `GET /models`; null: the default")
    priority: Priority = Priority.INTERACTIVE
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict, description="Yours, passed through; at most 4096 bytes of JSON"
    )

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

    def canonical(self) -> str:
        """The same text for the same wishes."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def parse_options(text: str | bytes) -> JobOptions:
    """Read the form's field or the record's; empty is no wishes. Raises pydantic's `ValidationError`."""
    return JobOptions.model_validate_json(text) if text else JobOptions()
