"""A result as the server answers it: frozen dataclasses with the names of `/openapi.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Label = Literal["negative", "positive"]
Stream = Literal["visual", "audio", "face"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """Which of the file's sound tracks was listened to, by number from 1 on; several are mixed."""

    numbers: tuple[int, ...]
    count: int
    chosen: str
    codec: str
    layout: str
    language: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultWarning:
    """Something that could not be read, or had to be mended; seconds where it is about a part."""

    code: str
    detail: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """What the decoder found: seconds, frames per second, pixels as displayed, snippets with a face.

    `timebase` is the legal rate at which exports count frames, as a fraction ("30000/1001").
    """

    duration: float
    fps: float
    width: int
    height: int
    has_audio: bool
    faces_seen: int
    start_timecode: str | None = None
    timebase: str | None = None
    variable_rate: bool = False
    drop_frame: bool | None = None
    audio_track: AudioTrack | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How much each stream contributed to a segment; the shares add up to 1."""

    visual: float
    audio: float
    face: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of video that conveys one sentiment: seconds, and the probability that it is right.

    `source` is `model`, or `person` for a segment that somebody drew or changed.
    """

    start: float
    end: float
    label: Label
    confidence: float
    peak: float
    evidence: Evidence | None = None
    source: str = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """The label curves when the network is told that one stream is absent."""

    negative: tuple[float, ...]
    positive: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Scores over time: value i covers [i * step, (i + 1) * step) seconds.

    `faces` counts faces, `face_boxes` holds the one that was read: x1, y1, x2, y2 as shares of the picture.
    """

    step: float
    negative: tuple[float, ...]
    positive: tuple[float, ...]
    non_sentiment: tuple[float, ...]
    saliency: tuple[float, ...]
    face_present: tuple[bool, ...]
    without: Mapping[Stream, Without]
    faces: tuple[int, ...] = ()
    face_boxes: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultModel:
    """What computed the result."""

    name: str
    version: str
    spec_hash: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutWith:
    """What the segments were cut with."""

    threshold: float
    min_length: float
    merge_gap: float
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a segment's score became its confidence; `calibrated`: whether that is a probability (None: unknown)."""

    method: Literal["identity", "isotonic", "platt"]
    knots: tuple[tuple[float, float], ...]
    slope: float
    intercept: float
    calibrated: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Loudness over time: value i covers [i * step, (i + 1) * step) seconds; 1 is the loudest moment."""

    step: float
    loudness: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """When the video conveys which sentiment; segments are sorted by start, timings are seconds by stage."""

    schema_version: str
    video: Video
    segments: tuple[Segment, ...]
    curve: Curve
    model: ResultModel
    timings: Mapping[str, float]
    options: CutWith
    calibration: Calibration
    sound: Sound | None = None
    warnings: tuple[ResultWarning, ...] = ()
    shots: tuple[float, ...] = ()
    thumbnails: tuple[str | None, ...] = ()
    provisional: bool = False
    scored_until: float | None = None
