"""Warnings about what could not be read or was repaired, so that no loss is silent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sentiloc.model.segments import known_fields


class WarningCode(StrEnum):
    """What a warning is about. Values are part of the public contract; more may be added."""

    TRUNCATED = "truncated"
    """The file breaks off before its declared end."""
    UNDECODABLE = "undecodable"
    """A range whose pictures could not be decoded, or are missing."""
    MENDED_TIMESTAMPS = "mended_timestamps"
    """Time stamps that restart, jump or contain a bad value were repaired."""
    VARIABLE_RATE = "variable_rate"
    """The frame rate varies: count time in seconds, or by `video.timebase`."""
    NONSTANDARD_RATE = "nonstandard_rate"
    """The frame rate is not a standard one, or not the one in the file's header."""
    DRAFT = "draft"
    """Only keyframes were decoded, as a job of quality `draft` asks: segments are approximate."""
    NO_FACE = "no_face"
    """The model uses faces, and no face that is large enough was found."""
    NO_SOUND = "no_sound"
    """The model uses sound, and there is no usable sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultWarning:
    """One warning: a stable `code`, one sentence, and where in the video (seconds), if it is about a part of it."""

    code: str
    detail: str
    start: float | None = None
    end: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The warning as JSON; times only if there are any."""
        times = {"start": self.start, "end": self.end}
        return {
            "code": str(self.code),
            "detail": self.detail,
            **{name: round(value, 3) for name, value in times.items() if value is not None},
        }


def parse_warnings(raw: Iterable[Mapping[str, Any]] | None) -> tuple[ResultWarning, ...]:
    """Read a list of `ResultWarning.to_dict`; results before 1.1 have none."""
    return tuple(ResultWarning(**known_fields(ResultWarning, one)) for one in raw or ())
