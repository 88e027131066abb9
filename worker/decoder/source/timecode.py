"""The start timecode in a file's tags, in one notation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# libav writes frames with one digit up to 10 frames per second, and with three above 100.
_TIMECODE = re.compile(r"(\d{1,3}):([0-5]?\d):([0-5]?\d)([:;]\d{1,3}|\.\d{2})", re.ASCII)
_DAY_HOURS = 24


def find_timecode(tags: Iterable[Mapping[str, str]]) -> str | None:
    """The first tag `timecode`, in upper or lower case, that can be read: `HH:MM:SS:FF`, or `HH:MM:SS;FF` for drop
    frame.
    """
    texts = (text for known in tags for name, text in known.items() if name.lower() == "timecode")
    return next(filter(None, map(_normal, texts)), None)


def _normal(text: str) -> str | None:
    """A timecode as SMPTE writes it, with at least two digits in each field; None for any other text."""
    match = _TIMECODE.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds = (int(match[number]) for number in (1, 2, 3))
    mark = ":" if match[4][0] == ":" else ";"
    return f"{hours % _DAY_HOURS:02}:{minutes:02}:{seconds:02}{mark}{match[4][1:]:0>2}"
