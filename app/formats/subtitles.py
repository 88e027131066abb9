"""Cues over the video: WebVTT and SubRip, in milliseconds."""

from __future__ import annotations

import re
from html import escape

from sentiloc.app.formats.timeline import Timeline, confidence_text, milliseconds, title_of
from sentiloc.model.segments import Segment

_NOT_IN_CLASSES = re.compile(r"[\s.<>&]+")
_EMPTY_SRT = "1\n00:00:00,000 --> 00:00:00,001\n \n\n"
"""One blank cue of a millisecond, because players and ffmpeg reject an empty SubRip file."""


def webvtt(timeline: Timeline) -> str:
    """WebVTT with one cue per segment. The label is also a class, so that players can colour it."""
    cues = (
        f"{number}\n{_span(segment, '.')}\n"
        f"<c.{_NOT_IN_CLASSES.sub('-', segment.label)}>{escape(_title(segment), quote=False)}</c>\n\n"
        for number, segment in enumerate(timeline.segments, 1)
    )
    return "WEBVTT\n\n" + "".join(cues)


def srt(timeline: Timeline) -> str:
    """SubRip with one cue per segment, or one blank cue if there are none."""
    cues = (
        f"{number}\n{_span(segment, ',')}\n{_title(segment)}\n\n"
        for number, segment in enumerate(timeline.segments, 1)
    )
    return "".join(cues) or _EMPTY_SRT


def _title(segment: Segment) -> str:
    return title_of(segment.label, confidence_text(segment.confidence, by_hand=segment.source == "person"))


def _span(segment: Segment, decimal: str) -> str:
    return " --> ".join(_clock(time, decimal) for time in milliseconds(segment))


def _clock(time: int, decimal: str) -> str:
    """Milliseconds as `HH:MM:SS.mmm` with the format's decimal sign. Hours may exceed 99; they do not wrap."""
    total, rest = divmod(time, 1000)
    minutes, second = divmod(total, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{decimal}{rest:03}"
