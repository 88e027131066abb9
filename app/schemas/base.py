"""The base of the models of the public contract."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """An answer with exactly its declared fields."""

    # A field that no model declares would be missing in the OpenAPI document, and in generated clients.
    model_config = ConfigDict(extra="forbid")


def moment(seconds: float) -> datetime:
    """Unix seconds as a date and time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def optional_moment(seconds: float | None) -> datetime | None:
    """Unix seconds as a date and time in UTC; None stays None."""
    return None if seconds is None else moment(seconds)
