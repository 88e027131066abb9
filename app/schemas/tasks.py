"""The public contract of results of the tasks `emotion` and `expression`, with examples."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from sentiloc.app.jobs.options import AnyLabel
from sentiloc.app.schemas.base import Body
from sentiloc.app.schemas.results import (
    EXAMPLE_RESULT,
    CalibrationBody,
    ModelBody,
    ResultBody,
    SchemaVersion,
    Seconds,
    Share,
    SoundBody,
    Thumbnails,
    VideoBody,
    WarningBody,
)

_SHARED: dict[str, Any] = {
    "schema_version": "1.1",
    "video": EXAMPLE_RESULT["video"],
    "timings": EXAMPLE_RESULT["timings"],
    "calibration": {
        "method": "identity",
        "knots": [],
        "slope": 1.0,
        "intercept": 0.0,
        "calibrated": False,
        "without_face": 0.0,
    },
    "warnings": [],
}
EXAMPLE_EMOTIONS: dict[str, Any] = {
    **_SHARED,
    "task": "emotion",
    "emotion": {"label": "joy", "confidence": 0.81},
    "probabilities": {"joy": 0.81, "sadness": 0.19},
    "segments": [{"start": 1.28, "end": 3.84, "label": "joy", "confidence": 0.47, "peak": 2.24}],
    "curve": {
        "step": 0.64,
        "series": {
            "attention_visual": [0.0, 0.4, 1.0],
            "attention_audio": [0.1, 1.0, 0.0],
            "joy": [0.5, 0.8, 0.9],
            "sadness": [0.5, 0.2, 0.1],
        },
        "face_present": [False, True, True],
    },
    "model": {"name": "cten-mine", "version": "1", "spec_hash": "1b2c4e81d07ab635", "device": "cpu"},
    "options": {"threshold": 0.3, "min_length": 1.0, "merge_gap": 0.64, "labels": ["joy", "sadness"]},
    "sound": {"step": 0.16, "loudness": [0.1, 0.12, 0.3, 0.44, 0.9, 1.0, 0.73, 0.5, 0.2, 0.2, 0.1, 0.1]},
}
EXAMPLE_EXPRESSIONS: dict[str, Any] = {
    **_SHARED,
    "task": "expression",
    "classes": ["macro", "micro"],
    "expressions": [{"onset": 2.1, "apex": 2.45, "offset": 3.0, "label": "macro", "confidence": 0.72}],
    "curve": {
        "step": 0.033333,
        "series": {"intensity": [0.0, 0.3, 0.9], "macro": [0.5, 0.8, 0.9], "micro": [0.5, 0.2, 0.1]},
        "face_present": [True, True, True],
    },
    "model": {"name": "gim-mine", "version": "1", "spec_hash": "5c2c4e81d07ab635", "device": "cpu"},
    "options": {"threshold": 0.3, "min_length": 0.1, "merge_gap": 0.0, "labels": ["macro", "micro"]},
    "sound": None,
}


class EmotionSegmentBody(Body):
    """A part of the video that shows one emotion."""

    start: Seconds
    end: Seconds
    label: AnyLabel
    confidence: Share
    peak: Seconds


class VideoEmotionBody(Body):
    """The emotion of the whole video."""

    label: AnyLabel
    confidence: Share


class SeriesCurveBody(Body):
    """Named series over time. Value i of a series covers the seconds [i·step, (i+1)·step)."""

    step: float = Field(gt=0, description="Seconds per value")
    series: dict[str, list[Share]]
    face_present: list[bool]


class TaskOptionsBody(Body):
    """The options with which the segments were cut."""

    threshold: Share = Field(description="Minimum confidence")
    min_length: float = Field(ge=0, description="Minimum length of a segment in seconds")
    merge_gap: Seconds = Field(description="Segments of one label at most this many seconds apart are joined")
    labels: list[AnyLabel]


class _TaskBody(Body):
    schema_version: SchemaVersion
    video: VideoBody
    curve: SeriesCurveBody
    model: ModelBody
    timings: dict[str, float] = Field(description="Seconds per stage")
    options: TaskOptionsBody
    calibration: CalibrationBody
    sound: SoundBody | None = Field(
        None,
        description="null for videos without sound, models without an audio stream, and results of older versions",
    )
    warnings: list[WarningBody] = Field(default=[], description="What could not be read or was repaired")
    thumbnails: Thumbnails = Field(default=[])


class EmotionResultBody(_TaskBody):
    """The emotion of a video, and when it is shown. Result of a model with the task `emotion`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_EMOTIONS]})

    task: Literal["emotion"]
    emotion: VideoEmotionBody
    probabilities: dict[str, Share] = Field(description="The probability of each class for the whole video")
    segments: list[EmotionSegmentBody]


class ExpressionBody(Body):
    """A facial expression. It begins at the onset, is strongest at the apex and ends at the offset."""

    onset: Seconds
    apex: Seconds
    offset: Seconds
    label: AnyLabel = Field(description="macro or micro")
    confidence: Share


class ExpressionResultBody(_TaskBody):
    """The facial expressions of the largest face. Result of a model with the task `expression`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_EXPRESSIONS]})

    task: Literal["expression"]
    classes: list[AnyLabel]
    expressions: list[ExpressionBody]


TaskResultBody = Annotated[ResultBody | EmotionResultBody | ExpressionResultBody, Field(discriminator="task")]
"""The result of any model. Generators need the discriminator; without it, some read all three kinds as one."""
