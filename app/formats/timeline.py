"""A result on the frame grid of a timeline. Every editing format is written from it.

Seconds are rounded to the nearest frame in this module only, so no boundary is off by more than half a frame. Frames
and timecode are counted at a legal rate (`VideoInfo.rate`), never at an average. Timecode follows SMPTE ST 12-1, as
OpenTimelineIO implements it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from sentiloc.app.formats.details import Details
from sentiloc.model.names import link_to, shown_name
from sentiloc.model.segments import Segment, VideoInfo
from sentiloc.model.timebase import LEGAL_RATES, nearest_legal

# Files of more than 100 frames per second count with three digits.
_TIMECODE = re.compile(r"(\d{2}):([0-5]\d):([0-5]\d)[:;](\d{2,3})")
_DROP_FRAME = (Fraction(30000, 1001), Fraction(60000, 1001))
FASTEST_TIMECODE = Fraction(60)
"""The highest rate of SMPTE timecode. Timecode of faster videos counts every second frame."""
_DAY_HOURS = 24


class TimelineError(ValueError):
    """The requested timeline cannot be written. The message says why, and what would work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineOptions:
    """How a timeline counts frames. None means: as the video does.

    `start_timecode` is `HH:MM:SS:FF`, or `HH:MM:SS;FF` for drop frame. `fps` is one of the legal rates, in frames
    per second; 23.98 is read as 24000/1001.
    """

    start_timecode: str | None = None
    drop_frame: bool | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timebase:
    """Frames per second as a fraction, and whether timecode drops frame numbers."""

    rate: Fraction
    drop_frame: bool = False

    @property
    def nominal(self) -> int:
        """Frames that timecode counts per second: 30 for 29.97."""
        return round(self.rate)

    @property
    def ntsc(self) -> bool:
        """Whether the rate is a multiple of 1000/1001."""
        return self.rate.denominator == 1001

    @property
    def may_drop(self) -> bool:
        """Whether there is drop frame at the rate."""
        return self.rate in _DROP_FRAME

    @property
    def mode(self) -> str:
        """How timecode counts, as editing formats name it: `DF` or `NDF`."""
        return "DF" if self.drop_frame else "NDF"

    def as_seconds(self, frames: int) -> str:
        """A frame count as rational seconds in FCPXML's notation: `1001/30000s` or `0s`."""
        seconds = Fraction(frames) / self.rate
        if seconds.denominator == 1:
            return f"{seconds.numerator}s"
        # Not reduced: Final Cut wants the frame rate's own denominator.
        return f"{frames * self.rate.denominator}/{self.rate.numerator}s"

    def frame(self, seconds: float) -> int:
        """The frame boundary nearest to a time; in a tie the later one, as on the page."""
        # `round` prefers even numbers, which would change the length of a cut between two halves of a frame.
        return floor(seconds * self.rate + 0.5)

    def timecode(self, frame: int) -> str:
        """SMPTE timecode `HH:MM:SS:FF`, with `;` before the frames in drop frame; it wraps after 24 hours of
        timecode.
        """
        if not self.drop_frame:
            # OpenTimelineIO wraps after 24 hours of real time, which are fewer frames at NTSC rates.
            seconds, frames = divmod(frame % (_DAY_HOURS * 3600 * self.nominal), self.nominal)
            return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{frames:02}"
        # OpenTimelineIO takes a while to import, and most results are read as JSON.
        import opentimelineio as oti

        rate = float(self.rate)
        return str(oti.opentime.RationalTime(frame, rate).to_timecode(rate, drop_frame=True))

    def parse(self, timecode: str) -> int:
        """The frame number of a timecode; raises TimelineError if there is no such frame."""
        import opentimelineio as oti

        hours, minutes, seconds, frames = _require_timecode(timecode)
        counted = f"{hours:02}:{minutes:02}:{seconds:02}{';' if self.drop_frame else ':'}{frames:02}"
        if frames < self.nominal:
            found = round(oti.opentime.from_timecode(counted, float(self.rate)).value)
            # Dropped numbers, such as 00:01:00;00, parse to a neighbour; only a round trip detects them.
            if self.timecode(found) == counted:
                return int(found)
        raise TimelineError(f"{timecode} does not exist at {describe(self)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A segment in frames from the start of the video; `end` is exclusive and greater than `start`."""

    start: int
    end: int
    label: str
    confidence: float
    by_hand: bool = False

    @property
    def name(self) -> str:
        """The title shown to editors: `Positive 92%`, or `Positive by hand` for a person's segment."""
        return title_of(self.label, confidence_text(self.confidence, by_hand=self.by_hand))

    @property
    def note(self) -> str:
        """`confidence 0.92`, or `by hand`."""
        return "by hand" if self.by_hand else f"confidence {two_digits(self.confidence)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A video with its title and its segments, in seconds and in frames.

    `start` is the number of the first frame, `source_start` that of the first frame in the video file's own timecode.
    `link` is the video file as a relative URL. `kind` is the kind of label: sentiment, emotion or expression. `labels`
    are all possible labels. `details` are for the report.
    """

    title: str
    link: str
    base: Timebase
    start: int
    source_start: int
    video: VideoInfo
    segments: tuple[Segment, ...]
    kind: str = "sentiment"
    labels: tuple[str, ...] = ()
    details: Details | None = None

    @property
    def frames(self) -> int:
        """Length of the video in frames, at least one."""
        return max(1, self.base.frame(self.video.duration))

    @property
    def channels(self) -> int:
        """Sound channels to show: none, one or two."""
        track = self.video.audio_track
        if not self.video.has_audio:
            return 0
        # Several mono tracks are the channels of one recording.
        return 1 if track is not None and track.layout == "mono" and len(track.numbers) == 1 else 2

    @property
    def markers(self) -> tuple[Marker, ...]:
        """The segments on the frame grid, in order, each at least one frame long and inside the video."""
        return tuple(self._marker(segment) for segment in self.segments)

    def _marker(self, segment: Segment) -> Marker:
        # Rounding may put a late segment on the frame after the last.
        start = min(self.base.frame(segment.start), self.frames - 1)
        end = max(start + 1, min(self.base.frame(segment.end), self.frames))
        by_hand = segment.source == "person"
        return Marker(
            start=start, end=end, label=segment.label, confidence=segment.confidence, by_hand=by_hand
        )


def make_timeline(
    title: str,
    video: VideoInfo,
    segments: Iterable[Segment],
    *,
    kind: str = "sentiment",
    labels: Sequence[str] = (),
    options: TimelineOptions | None = None,
    details: Details | None = None,
) -> Timeline:
    """Put segments of the file `title` on a timeline of a legal rate; raises TimelineError for impossible options."""
    options = options or TimelineOptions()
    base = _timebase(video, options)
    source_start = _source_start(video, base)
    asked = options.start_timecode
    cut = tuple(segments)
    return Timeline(
        title=shown_name(title),
        link=link_to(title),
        base=base,
        start=source_start if asked is None else base.parse(asked),
        source_start=source_start,
        video=video,
        segments=cut,
        kind=kind,
        labels=tuple(dict.fromkeys((*labels, *(segment.label for segment in cut)))),
        details=details,
    )


def check_options(options: TimelineOptions) -> None:
    """Raise TimelineError for options that are wrong for every video. Others depend on the video's rate."""
    if options.start_timecode is not None:
        _require_timecode(options.start_timecode)
    if options.fps is not None:
        _require_drop(_legal(options.fps), options.drop_frame)


def milliseconds(segment: Segment) -> tuple[int, int]:
    """Start and end in milliseconds, for formats that do not allow segments of zero length."""
    start = round(segment.start * 1000)
    return start, max(start + 1, round(segment.end * 1000))


def confidence_text(confidence: float, *, by_hand: bool) -> str:
    """`92%`, or `by hand`. A probability below 1 is never shown as `100%`."""
    if by_hand:
        return "by hand"
    return f"{_rounded(confidence):.0%}"


def two_digits(confidence: float) -> str:
    """`0.92`. A probability below 1 is never shown as `1.00`."""
    return f"{_rounded(confidence):.2f}"


def _rounded(confidence: float) -> float:
    return min(0.99, confidence) if confidence < 1 else 1.0


def title_of(label: str, sure: str) -> str:
    """The title of a segment: `Positive 92%`."""
    return f"{label.capitalize()} {sure}"


def describe(base: Timebase) -> str:
    """A timebase in words: `29.97 frames per second, drop frame`."""
    rate = f"{float(base.rate):.3f}".rstrip("0").rstrip(".")
    return f"{rate} frames per second{', drop frame' if base.drop_frame else ''}"


def without_overlap(timeline: Timeline) -> list[Marker]:
    """Markers for formats that allow one per frame: starts are made distinct, and ends are cut at the next start.

    If a video has fewer frames than markers, the last markers are left out.
    """
    markers = sorted(timeline.markers, key=lambda marker: (marker.start, marker.end))[: timeline.frames]
    starts: list[int] = []
    for number, marker in enumerate(markers, 1):
        # Each later marker needs a frame, too.
        latest = timeline.frames - 1 - (len(markers) - number)
        starts.append(max(min(marker.start, latest), starts[-1] + 1 if starts else 0))
    return [
        replace(marker, start=start, end=max(start + 1, min(marker.end, after)))
        for marker, start, after in zip(markers, starts, [*starts[1:], timeline.frames], strict=False)
    ]


def _timebase(video: VideoInfo, options: TimelineOptions) -> Timebase:
    rate = _rate(video, options.fps)
    _require_drop(rate, options.drop_frame)
    return Timebase(rate=rate, drop_frame=rate in _DROP_FRAME and _drops(video, options))


def _require_drop(rate: Fraction, drop_frame: bool | None) -> None:
    if drop_frame and rate not in _DROP_FRAME:
        raise TimelineError(
            f"There is no drop frame at {describe(Timebase(rate=rate))}; it exists at 29.97 and 59.94."
        )


def _rate(video: VideoInfo, fps: float | None) -> Fraction:
    if fps is None:
        return video.rate if video.rate <= FASTEST_TIMECODE else video.rate / 2
    return _legal(fps)


def _legal(fps: float) -> Fraction:
    rate = nearest_legal(fps) if fps > 0 else None
    if rate is None or rate > FASTEST_TIMECODE:
        known = ", ".join(f"{float(legal):.6g}" for legal in LEGAL_RATES if legal <= FASTEST_TIMECODE)
        raise TimelineError(f"fps is {fps:g}; a timeline counts at one of {known}.")
    return rate


def _drops(video: VideoInfo, options: TimelineOptions) -> bool:
    """Whether timecode is drop-frame, if the rate allows it: by the option, else the start timecode, else the file."""
    if options.drop_frame is not None:
        return options.drop_frame
    if options.start_timecode is not None:
        return ";" in options.start_timecode
    if video.drop_frame is not None:
        return video.drop_frame
    return video.start_timecode is None or ";" in video.start_timecode


def _source_start(video: VideoInfo, base: Timebase) -> int:
    """The number of the file's first frame: its own timecode, with its frames field counted at the timeline's rate."""
    fields = _fields(video.start_timecode or "")
    if fields is None:
        return 0
    hours, minutes, seconds, frames = fields
    # The frames field shows that the file counts at least this many per second.
    own = max(1, round(video.fps), frames + 1)
    scaled = frames * base.nominal // own if own != base.nominal else frames
    if base.drop_frame and minutes % 10 and seconds == 0:
        # The first frame numbers of such a minute do not exist.
        scaled = max(scaled, 2 * base.nominal // 30)
    return base.parse(f"{hours % _DAY_HOURS:02}:{minutes:02}:{seconds:02}:{scaled:02}")


def _require_timecode(timecode: str) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds and frames."""
    fields = _fields(timecode)
    if fields is None or fields[0] >= _DAY_HOURS:
        raise TimelineError(
            f"{timecode!r} is not a timecode; write HH:MM:SS:FF, or HH:MM:SS;FF for drop frame."
        )
    return fields


def _fields(timecode: str) -> tuple[int, int, int, int] | None:
    """Hours, minutes, seconds and frames; None for a text that is no timecode."""
    match = _TIMECODE.fullmatch(timecode)
    return (int(match[1]), int(match[2]), int(match[3]), int(match[4])) if match else None
