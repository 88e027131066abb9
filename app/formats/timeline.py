"""A result on the frame grid of its source: what every editing format is written from.

Seconds become frames once, here, by rounding to the nearest frame, so that no boundary is off by more than
half a frame. Timecode follows SMPTE ST 12-1: drop-frame at 29.97 and 59.94, counting at the nominal rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from sentiloc.model.segments import Segment, VideoInfo

_NTSC = tuple(Fraction(nominal * 1000, 1001) for nominal in (24, 30, 48, 60, 120))
_TIMECODE = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;])(\d{2,3})")
FALLBACK_RATE = Fraction(25)
_SNAP = Fraction(1, 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timebase:
    """Frames per second as a fraction, and whether timecode drops frame numbers."""

    rate: Fraction
    drop_frame: bool

    @property
    def nominal(self) -> int:
        """Frames that timecode counts per second: 30 for 29.97."""
        return max(1, round(self.rate))

    @property
    def ntsc(self) -> bool:
        """Whether the rate is a multiple of 1000/1001."""
        return self.rate.denominator == 1001

    def frame(self, seconds: float) -> int:
        """The frame boundary nearest to a time."""
        return round(seconds * self.rate)

    def timecode(self, frame: int) -> str:
        """SMPTE timecode `HH:MM:SS:FF`, with `;` before the frames when frame numbers are dropped."""
        number = _with_dropped(frame, self.nominal) if self.drop_frame else frame
        seconds, frames = divmod(number, self.nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        separator = ";" if self.drop_frame else ":"
        return f"{hours % 24:02}:{minutes:02}:{seconds:02}{separator}{frames:02}"

    def parse(self, timecode: str) -> int:
        """Frame number of a timecode; raises ValueError when it is not one."""
        match = _TIMECODE.fullmatch(timecode)
        if not match:
            raise ValueError(f"{timecode!r} is not a timecode")
        hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
        total_minutes = hours * 60 + minutes
        number = (total_minutes * 60 + seconds) * self.nominal + frames
        if not self.drop_frame:
            return number
        return number - _dropped_per_minute(self.nominal) * (total_minutes - total_minutes // 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A segment in frames from the start of the video; `end` is exclusive and greater than `start`."""

    start: int
    end: int
    label: str
    confidence: float

    @property
    def name(self) -> str:
        """What an editor reads: `Positive 92%`."""
        return f"{self.label.capitalize()} {self.confidence:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A titled video with its segments, in seconds and in frames; `start` is its first frame's number.

    `kind` is what the labels are of: sentiment, emotion or expression.
    """

    title: str
    base: Timebase
    start: int
    video: VideoInfo
    segments: tuple[Segment, ...]
    kind: str = "sentiment"

    @property
    def frames(self) -> int:
        """Length of the video in frames, at least one."""
        return max(1, self.base.frame(self.video.duration))

    @property
    def markers(self) -> tuple[Marker, ...]:
        """The segments on the frame grid, in order, each at least one frame long and inside the video."""
        return tuple(self._marker(segment) for segment in self.segments)

    def _marker(self, segment: Segment) -> Marker:
        start = min(self.base.frame(segment.start), self.frames - 1)
        end = max(start + 1, min(self.base.frame(segment.end), self.frames))
        return Marker(start=start, end=end, label=segment.label, confidence=segment.confidence)


def timebase(fps: float, start_timecode: str | None = None) -> Timebase:
    """The exact rate behind a measured one; the `;` of the start timecode, if any, decides drop-frame."""
    if fps <= 0:
        rate = FALLBACK_RATE
    else:
        measured = Fraction(fps)
        exact = min((*_NTSC, Fraction(max(1, round(fps)))), key=lambda rate: abs(rate - measured))
        rate = exact if abs(exact - measured) < _SNAP else measured.limit_denominator(1000)
    can_drop = rate in (Fraction(30000, 1001), Fraction(60000, 1001))
    return Timebase(rate=rate, drop_frame=can_drop and (start_timecode is None or ";" in start_timecode))


def make_timeline(
    title: str,
    video: VideoInfo,
    segments: Iterable[Segment],
    default_start: str = "00:00:00:00",
    kind: str = "sentiment",
) -> Timeline:
    """Put segments on the source's frame grid; the source's own start timecode wins over `default_start`."""
    base = timebase(video.fps, video.start_timecode)
    start = base.parse(video.start_timecode or default_start)
    return Timeline(title=title, base=base, start=start, video=video, segments=tuple(segments), kind=kind)


def without_overlap(markers: Iterable[Marker]) -> list[Marker]:
    """Markers for formats that allow one per frame: starts made distinct, ends cut at the next start."""
    apart: list[Marker] = []
    for marker in sorted(markers, key=lambda marker: (marker.start, marker.end)):
        start = marker.start
        if apart:
            start = max(start, apart[-1].start + 1)
            apart[-1] = replace(apart[-1], end=min(apart[-1].end, start))
        apart.append(replace(marker, start=start, end=max(marker.end, start + 1)))
    return apart


def _dropped_per_minute(nominal: int) -> int:
    return 2 * nominal // 30


def _with_dropped(frame: int, nominal: int) -> int:
    """What drop-frame timecode shows for a frame: at 30, two numbers skipped a minute but for each tenth."""
    dropped = _dropped_per_minute(nominal)
    per_minute = nominal * 60 - dropped
    tens, rest = divmod(frame, per_minute * 10 + dropped)
    minutes = max(0, rest - dropped) // per_minute
    return frame + dropped * (9 * tens + minutes)
