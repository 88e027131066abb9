"""Cues over the video: WebVTT and SubRip, in milliseconds."""

from __future__ import annotations

from sentiloc.app.formats.timeline import Timeline, sureness, title_of
from sentiloc.model.segments import Segment

_EMPTY_SRT = "1\n00:00:00,000 --> 00:00:00,001\n \n\n"
"""One blank cue of a millisecond, because players and ffmpeg reject an empty SubRip file."""


def webvtt(timeline: Timeline) -> str:
    """WebVTT with one cue per segment. The label is also a class, so that players can colour it."""
    cues = (
        f"{number}\n{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n"
        f"<c.{segment.label}>{_title(segment)}</c>\n\n"
        for number, segment in enumerate(timeline.segments, 1)
    )
    return "WEBVTT\n\n" + "".join(cues)


def srt(timeline: Timeline) -> str:
    """SubRip with one cue per segment, or one blank cue if there are none."""
    cues = (
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{_title(segment)}\n\n"
        for number, segment in enumerate(timeline.segments, 1)
    )
    return "".join(cues) or _EMPTY_SRT


def _title(segment: Segment) -> str:
    return title_of(segment.label, sureness(segment.confidence, by_hand=segment.source == "person"))


def _clock(seconds: float, decimal: str) -> str:
    """`HH:MM:SS.mmm` with the format's decimal sign. Hours may exceed 99; they do not wrap."""
    total, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(total, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{decimal}{milliseconds:03}"
