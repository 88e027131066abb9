"""Results as frozen dataclasses with the names of `/openapi.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Label = Literal["negative", "positive"]
Stream = Literal["visual", "audio", "face"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """The sound track of the file that was used, counted from 1; several are mixed."""

    numbers: tuple[int, ...]
    count: int
    chosen: str
    codec: str
    layout: str
    language: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultWarning:
    """Something that could not be read or was repaired; with seconds if it concerns a part of the video."""

    code: str
    detail: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """The video as decoded: seconds, frames per second, pixels as displayed, snippets with a face.

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
    first_picture: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The contribution of each stream to a segment. The shares add up to 1."""

    visual: float
    audio: float
    face: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the video that conveys one sentiment: seconds, and the probability that it is right.

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
    """The label curves with one stream masked."""

    negative: tuple[float, ...]
    positive: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Scores over time: value i covers [i * step, (i + 1) * step) seconds.

    `faces` counts faces; `face_boxes` has the one that was used: x1, y1, x2, y2 as shares of the picture.
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
    """The model that computed the result."""

    name: str
    version: str
    spec_hash: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutWith:
    """The options with which the segments were cut."""

    threshold: float
    min_length: float
    merge_gap: float
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a score was converted to a confidence; `calibrated`: whether that is a probability (None: unknown).

    `without_face` was added to the log-odds of a segment in the share of its time without a face.
    """

    method: Literal["identity", "isotonic", "platt"]
    knots: tuple[tuple[float, float], ...]
    slope: float
    intercept: float
    calibrated: bool | None = None
    without_face: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Loudness over time: value i covers [i * step, (i + 1) * step) seconds; 1 is the loudest moment."""

    step: float
    loudness: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The sentiment of a video over time. Segments are sorted by start; timings are seconds by stage."""

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
    task: str = "sentiment"
