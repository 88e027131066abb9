"""The data from the localizer to a result: scores per snippet, proposals, segments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.timebase import legal_rate

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


class Proposal(NamedTuple):
    """A candidate segment before calibration: times in seconds, `score` as its rule defines it."""

    label: str
    score: float
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The share of each stream in a segment's score, measured by leaving it out; each >= 0, with sum 1."""

    visual: float
    audio: float
    face: float


SegmentSource = Literal["model", "person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the video that conveys one sentiment. Times in seconds.

    `source` is "model", or "person" for a segment that somebody drew or changed. `confidence` is the model's
    probability that the segment is right; it is 1 for a person's segment, where it says nothing.
    """

    start: float
    end: float
    label: str
    confidence: float
    peak: float
    evidence: Evidence | None = None
    source: SegmentSource = "model"

    def __post_init__(self) -> None:
        # Comparisons with NaN are false, so this refuses it, too.
        if not 0 <= self.start <= self.peak <= self.end:
            raise ValueError(f"segment times out of order: {self.start} <= {self.peak} <= {self.end}")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence {self.confidence} is not a probability")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """The sound that was used: `numbers` of the file's sound tracks, counted from 1; several are mixed.

    `count` is the number of tracks in the file; `chosen` is the reason: only, default, voice, mixed or asked. `title`,
    `language` (as the file tags it), `codec` and `layout` are the first one's.
    """

    numbers: tuple[int, ...]
    count: int
    chosen: str
    codec: str
    layout: str
    language: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """Properties of a video from the decoder: seconds, frames per second, display size in pixels.

    `fps` is the typical frame rate by the time stamps. `timebase` is the legal rate at which editing
    formats count frames and timecode ("30000/1001"); None in results before 1.1. `variable_rate` says whether the frame
    rate varies. `start_timecode` is the container's; `drop_frame` says whether it is drop-frame. `first_picture` is the
    time of the first picture, before which there is only sound.
    """

    duration: float
    fps: float
    width: int
    height: int
    has_audio: bool
    start_timecode: str | None = None
    timebase: str | None = None
    variable_rate: bool = False
    drop_frame: bool | None = None
    audio_track: AudioTrack | None = None
    first_picture: float = 0.0

    @property
    def rate(self) -> Fraction:
        """The exact legal rate at which frames and timecode are counted."""
        return Fraction(self.timebase) if self.timebase else legal_rate(self.fps)


def known_fields(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a stored object that this version of a dataclass has.

    During an upgrade, an older API reads results of newer workers, which may have more fields. Raises TypeError for
    anything but an object.
    """
    if not isinstance(raw, Mapping):
        raise TypeError(f"{kind.__name__} is not an object")
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in raw.items() if name in names}


def parse_video(raw: Mapping[str, Any]) -> VideoInfo:
    """Read `asdict` of a `VideoInfo` of any version; raises KeyError, TypeError, ValueError or
    ArithmeticError for anything else.
    """
    track = raw.get("audio_track")
    parsed = AudioTrack(**{**track, "numbers": tuple(track["numbers"])}) if track else None
    info = VideoInfo(**{**raw, "audio_track": parsed})
    if info.rate <= 0:
        raise ValueError(f"timebase {info.timebase} is not a rate")
    return info


def parse_stored_video(raw: Mapping[str, Any]) -> VideoInfo:
    """`parse_video` of a stored result, which may be of a later version. A decoder may not send unknown fields."""
    track = raw.get("audio_track")
    known = {**known_fields(VideoInfo, raw), "audio_track": track and known_fields(AudioTrack, track)}
    return parse_video(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetFeatures:
    """One video's features, T snippets in each. A stream that the spec does not have is None.

    visual (T, dim); audio (T, frames, mels); face (T, dim); *_present (T,) say where a stream is present.
    """

    visual: FloatArray | None
    audio: FloatArray | None
    face: FloatArray | None
    visual_present: BoolArray
    audio_present: BoolArray
    face_present: BoolArray

    def __post_init__(self) -> None:
        for stream in (self.visual, self.audio, self.face, self.audio_present, self.face_present):
            if stream is not None and len(stream) != len(self.visual_present):
                raise ValueError(f"streams disagree on time: {len(stream)} and {len(self.visual_present)}")

    def __len__(self) -> int:
        return len(self.visual_present)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScores:
    """FSENet's output for one video: scores (T, C + 1) and saliency (T,), all in [0, 1]."""

    scores: FloatArray
    saliency: FloatArray

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.saliency.shape != self.scores.shape[:1]:
            raise ValueError(f"scores {self.scores.shape} and saliency {self.saliency.shape} do not agree")


def snippet_span(start: float, end: float | None, step: float) -> tuple[int, int | None]:
    """The snippets of `step` seconds that [start, end) seconds touch: the first one, and the one after the last.

    Computed with fractions: 4.48 s are seven snippets of 0.64 s, not eight. A time within half a millisecond of the
    grid counts as on it, because people and formats write three decimals. An end of None stays None. Times that no
    video reaches, up to the largest number, count as thirty years.
    """
    exact = Fraction(step).limit_denominator(_FINEST_STEP)
    first = math.floor((_exactly(start) + _WRITTEN) / exact)
    if end is None:
        return first, None
    return first, max(first + 1, math.ceil((_exactly(end) - _WRITTEN) / exact))


def _exactly(seconds: float) -> Fraction:
    return Fraction(round(min(seconds, _LONGEST) * 1_000_000), 1_000_000)


# Recovers the exact fraction of a step that is stored as a float, such as 16/25.
_FINEST_STEP = 100_000
_WRITTEN = Fraction(1, 2000)
# Thirty years, longer than any video: libav counts time in 64 bits, also in millionths and billionths of a second.
_LONGEST = 1e9
