"""The base of the models of the public contract."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

_FIRST = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()


class Body(BaseModel):
    """An answer with exactly its declared fields."""

    # A field that no model declares would be missing in the OpenAPI document, and in generated clients.
    model_config = ConfigDict(extra="forbid")


def _showable(value: datetime) -> datetime:
    if not _FIRST <= value.timestamp() <= _LAST:
        raise ValueError("is not within the years 1 to 9999 in UTC")
    return value


ShowableMoment = Annotated[AwareDatetime, AfterValidator(_showable)]
"""A date and time that `moment` can show: near the ends of the calendar, an offset may lead out of it."""


def moment(seconds: float) -> datetime:
    """Unix seconds as a date and time in UTC. Times outside the calendar become its first or last second."""
    return datetime.fromtimestamp(max(_FIRST, min(seconds, _LAST)), UTC)


def optional_moment(seconds: float | None) -> datetime | None:
    """Unix seconds as a date and time in UTC; None stays None."""
    return None if seconds is None else moment(seconds)
