"""The public contract of results, with an example."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from sentiloc.app.jobs.options import Label
from sentiloc.app.schemas.base import Body

Seconds = Annotated[float, Field(ge=0, description="Seconds from the video's start")]
Share = Annotated[float, Field(ge=0, le=1)]
SchemaVersion = Literal["1.0", "1.1"]

_EXAMPLE_SEGMENT: dict[str, Any] = {
    "start": 3.2,
    "end": 6.4,
    "label": "positive",
    "confidence": 0.83,
    "peak": 4.48,
    "evidence": {"visual": 0.0, "audio": 0.36, "face": 0.64},
    "source": "model",
}

EXAMPLE_RESULT: dict[str, Any] = {
    "schema_version": "1.1",
    "task": "sentiment",
    "video": {
        "duration": 9.6,
        "fps": 29.97,
        "width": 1280,
        "height": 720,
        "has_audio": True,
        "faces_seen": 14,
        "start_timecode": "01:00:00;00",
        "timebase": "30000/1001",
        "variable_rate": False,
        "drop_frame": True,
        "audio_track": {
            "numbers": [2],
            "count": 2,
            "chosen": "voice",
            "codec": "aac",
            "layout": "stereo",
            "language": "eng",
            "title": None,
        },
        "first_picture": 0.0,
    },
    "segments": [_EXAMPLE_SEGMENT],
    "curve": {
        "step": 0.64,
        "negative": [0.08, 0.05, 0.04],
        "positive": [0.21, 0.64, 0.88],
        "non_sentiment": [0.7, 0.31, 0.09],
        "saliency": [0.3, 0.71, 0.9],
        "face_present": [False, True, True],
        "faces": [0, 1, 2],
        "face_boxes": [[], [0.41, 0.2, 0.55, 0.46], [0.42, 0.2, 0.56, 0.46]],
        "without": {"face": {"negative": [0.09, 0.07, 0.06], "positive": [0.2, 0.33, 0.41]}},
    },
    "model": {"name": "fsenet-starter", "version": "1", "spec_hash": "9f2c4e81d07ab635", "device": "cpu"},
    "timings": {"decoding": 0.41, "face": 1.1, "audio": 0.2, "localizing": 0.02},
    "options": {"threshold": 0.5, "min_length": 1.0, "merge_gap": 0.64, "labels": ["negative", "positive"]},
    "calibration": {
        "method": "platt",
        "knots": [],
        "slope": 7.1,
        "intercept": -2.4,
        "calibrated": True,
        "without_face": -0.3,
    },
    "sound": {"step": 0.16, "loudness": [0.1, 0.12, 0.3, 0.44, 0.9, 1.0, 0.73, 0.5, 0.2, 0.2, 0.1, 0.1]},
    "warnings": [
        {
            "code": "truncated",
            "detail": "The file breaks off: 9.6 of 12.0 seconds could be read.",
            "start": 9.6,
            "end": 12.0,
        }
    ],
    "shots": [2.36],
    "provisional": False,
    "scored_until": None,
}


class AudioTrackBody(Body):
    """Which of the file's sound tracks was listened to."""

    numbers: list[int] = Field(description="Counted from 1 among the sound tracks; several are mixed")
    count: int = Field(ge=1, description="Sound tracks in the file")
    chosen: Literal["only", "default", "voice", "mixed", "asked"] = Field(
        description="Why this track was chosen: the only one, flagged default, with a voice, all mixed, or as requested"
    )
    codec: str
    layout: str = Field(description="Channels, such as `mono`, `stereo` or `5.1`")
    language: str | None = Field(None, description="The language tag in the file")
    title: str | None = None


class WarningBody(Body):
    """Something that could not be read, or was repaired."""

    code: str = Field(
        description="`truncated`, `undecodable`, `mended_timestamps`, `variable_rate`, `nonstandard_rate`, `no_face`, "
        "`no_sound`, `draft`; more may be added"
    )
    detail: str = Field(description="One sentence")
    start: Seconds | None = None
    end: Seconds | None = None


class VideoBody(Body):
    """The properties of the video that the decoder found."""

    duration: float = Field(ge=0, description="Length in seconds")
    fps: float = Field(gt=0, description="Typical frames per second of the source, from its time stamps")
    width: int = Field(gt=0, description="Pixels as displayed")
    height: int = Field(gt=0, description="Pixels as displayed")
    has_audio: bool
    faces_seen: int = Field(ge=0, description="Snippets in which a face was found")
    start_timecode: str | None = Field(
        None, description="HH:MM:SS:FF, if the file has one; `;` before the frames means drop frame"
    )
    timebase: str | None = Field(
        None,
        description="The legal rate at which exports count frames and timecode, as a fraction; null before 1.1",
        examples=["30000/1001", "25/1"],
    )
    variable_rate: bool = Field(False, description="Whether the frame rate varies")
    drop_frame: bool | None = Field(
        None, description="Whether the start timecode is drop-frame; null without one"
    )
    audio_track: AudioTrackBody | None = Field(None, description="null without sound, and before 1.1")
    first_picture: float = Field(
        0.0,
        ge=0,
        description="Seconds before the first picture, in which there is only sound, as in recordings of broadcasts",
    )


class EvidenceBody(Body):
    """The contribution of each stream to a segment. The shares add up to 1."""

    visual: Share
    audio: Share
    face: Share


class SegmentBody(Body):
    """A part of the video that conveys one sentiment."""

    start: Seconds
    end: Seconds
    label: Label
    confidence: float = Field(
        ge=0, le=1, description="The model's probability that the segment is right; 1 for a person's segment"
    )
    peak: Seconds
    evidence: EvidenceBody | None = None
    source: Literal["model", "person"] = Field(
        "model", description="`person` for a segment that somebody drew or changed"
    )


class WithoutBody(Body):
    """The fused label curves with one stream masked. The evidence is computed from them."""

    negative: list[Share]
    positive: list[Share]


class CurveBody(Body):
    """Scores over time: value i covers [i·step, (i+1)·step) seconds."""

    step: float = Field(gt=0, description="Seconds per value")
    negative: list[Share]
    positive: list[Share]
    non_sentiment: list[Share]
    saliency: list[Share] = Field(description="Sentiment of either kind")
    face_present: list[bool]
    faces: list[int] = Field([], description="How many faces are seen; empty in results before 1.1")
    face_boxes: list[list[Share]] = Field(
        [],
        description="The face that was used: x1, y1, x2, y2 as shares of the picture; empty without a face",
    )
    without: dict[Literal["visual", "audio", "face"], WithoutBody]


class ModelBody(Body):
    """The model that computed the result."""

    name: str
    version: str
    spec_hash: str
    device: str = Field(description="The device that ran the model")


class OptionsBody(Body):
    """The options with which the segments were cut."""

    threshold: Share = Field(description="Minimum confidence of a segment")
    min_length: float = Field(ge=0, description="Minimum length of a segment in seconds")
    merge_gap: Seconds = Field(description="Segments of one label at most this many seconds apart are joined")
    labels: list[Label]


class CalibrationBody(Body):
    """How a segment's score was converted to its confidence."""

    method: Literal["identity", "isotonic", "platt"]
    knots: list[tuple[float, float]]
    slope: float
    intercept: float
    calibrated: bool | None = Field(
        None, description="Whether confidences are probabilities, measured on held-out videos, or raw scores"
    )
    without_face: float = Field(
        0.0,
        description="Added to the log-odds of a segment's confidence in the share of its time without a face",
    )


class SoundBody(Body):
    """Loudness over time: value i covers [i·step, (i+1)·step) seconds."""

    step: float = Field(gt=0, description="Seconds per value")
    loudness: list[Share] = Field(description="0 is silence, 1 the loudest moment of the video")


Thumbnails = Annotated[
    list[str | None],
    Field(description="Paths of the pictures of the segments, in their order; null where there is none"),
]


class ResultBody(Body):
    """The sentiment of a video over time. Segments are sorted by start."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_RESULT]})

    schema_version: SchemaVersion
    task: Literal["sentiment"] = Field(description="Distinguishes the three kinds of results")
    video: VideoBody
    segments: list[SegmentBody]
    curve: CurveBody
    model: ModelBody
    timings: dict[str, float] = Field(description="Seconds by stage")
    options: OptionsBody
    calibration: CalibrationBody
    sound: SoundBody | None = Field(None, description="null without sound, and in results of older versions")
    warnings: list[WarningBody] = Field(default=[], description="What could not be read or was repaired")
    shots: list[Seconds] = Field(default=[], description="When new shots begin; empty before 1.1")
    provisional: bool = Field(
        False,
        description="True for a partial result (`partial=true`): segments may still change until the job ends",
    )
    scored_until: float | None = Field(
        None, ge=0, description="Seconds up to which a provisional result goes; null in a final one"
    )
    thumbnails: Thumbnails = Field(default=[])
