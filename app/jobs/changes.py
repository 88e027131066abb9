"""Changes to a job's name, metadata and tags, as a JSON merge patch (RFC 7396). They do not affect the work."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from sentiloc.app.http.file_names import display_name
from sentiloc.app.http.problems import InvalidRequest
from sentiloc.app.jobs.options import Tag, check_metadata, check_tags
from sentiloc.app.jobs.record import CHANGEABLE, parse_record
from sentiloc.app.jobs.store import JobStore

EXAMPLE_CHANGES: dict[str, Any] = {
    "name": "Interview.mov",
    "metadata": {"reel": 4, "draft": None},
    "tags": ["reviewed"],
}
# Only these fields are compared before the write, so a change does not conflict with the worker's progress.
_FIELDS = ("source_name", *CHANGEABLE)


class JobChanges(BaseModel):
    """The changes. Fields that are left out keep their values."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_CHANGES]})

    name: str | None = Field(None, min_length=1, max_length=255, description="Also names exported files")
    metadata: dict[str, JsonValue] | None = Field(
        None,
        description="Merged into the metadata: null as a value removes its key; null instead of an object removes all",
    )
    tags: list[Tag] | None = Field(None, description="Replaces the tags; null removes all")

    @field_validator("name")
    @classmethod
    def _named(cls, value: str | None) -> str:
        if value is None:
            raise ValueError("must not be null")
        return value

    @field_validator("tags")
    @classmethod
    def _few(cls, value: list[str] | None) -> list[str] | None:
        # The default None means: leave them as they are.
        return None if value is None else check_tags(value)


def apply_changes(store: JobStore, job_id: str, changes: JobChanges) -> bool:
    """Change a job; False if it is gone. Raises `InvalidRequest` if the merged metadata are too large."""
    while True:
        fields = store.hash(job_id)
        if not fields:
            return False
        seen = {name: fields.get(name, "") for name in _FIELDS}
        done = store.change(job_id, seen, _new_fields(fields, changes))
        # Another client has changed the job in the meantime: keep its change, and apply this one on top of it.
        if done is not False:
            return bool(done)


def _new_fields(fields: dict[str, str], changes: JobChanges) -> dict[str, str]:
    options, sent = parse_record(fields).options, changes.model_fields_set
    new: dict[str, str] = {}
    if "name" in sent and changes.name is not None:
        new["source_name"] = display_name(changes.name)
    if "tags" in sent:
        new["tags"] = json.dumps(changes.tags or [])
    if "metadata" in sent:
        merged = {} if changes.metadata is None else merge(options.metadata, changes.metadata)
        try:
            new["metadata"] = json.dumps(check_metadata(merged))
        except ValueError as error:
            raise InvalidRequest(f"metadata: {error}") from error
    return new


def merge(old: JsonValue, patch: JsonValue) -> Any:
    """A JSON merge patch (RFC 7396) applied to a value."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            # RFC 7396: null removes a member, and it is no error if the member is absent.
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged
