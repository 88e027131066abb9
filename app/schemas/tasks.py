"""The public contract of results of the tasks besides sentiment, with examples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from sentiloc.app.jobs.options import AnyLabel
from sentiloc.app.schemas.base import Body
from sentiloc.app.schemas.results import (
    EXAMPLE_RESULT,
    CalibrationBody,
    ModelBody,
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
    "calibration": {"method": "identity", "knots": [], "slope": 1.0, "intercept": 0.0},
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
    """A stretch of video that shows one emotion."""

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
    """Named series over time: value i of each covers [i·step, (i+1)·step) seconds."""

    step: float = Field(gt=0, description="Seconds per value")
    series: dict[str, list[Share]]
    face_present: list[bool]


class TaskOptionsBody(Body):
    """What the segments were cut with."""

    threshold: Share = Field(description="Least confidence")
    min_length: Seconds
    merge_gap: Seconds = Field(description="Neighbours of one label at most so far apart are joined")
    labels: list[AnyLabel]


class _TaskBody(Body):
    schema_version: SchemaVersion
    video: VideoBody
    curve: SeriesCurveBody
    model: ModelBody
    timings: dict[str, float] = Field(description="Seconds by stage")
    options: TaskOptionsBody
    calibration: CalibrationBody
    sound: SoundBody | None = Field(
        None,
        description="null without sound, where the model does not listen, and in results of older versions",
    )
    warnings: list[WarningBody] = Field(default=[], description="What could not be read or had to be mended")
    thumbnails: Thumbnails = Field(default=[])


class EmotionResultBody(_TaskBody):
    """Which emotion a video shows, and when. Of a model with the task `emotion`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_EMOTIONS]})

    task: Literal["emotion"]
    emotion: VideoEmotionBody
    probabilities: dict[str, Share] = Field(description="By class, of the whole video")
    segments: list[EmotionSegmentBody]


class ExpressionBody(Body):
    """A facial expression: it begins at the onset, is strongest at the apex and over at the offset."""

    onset: Seconds
    apex: Seconds
    offset: Seconds
    label: AnyLabel = Field(description="macro or micro")
    confidence: Share


class ExpressionResultBody(_TaskBody):
    """Which facial expressions the largest face shows. Of a model with the task `expression`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_EXPRESSIONS]})

    task: Literal["expression"]
    classes: list[AnyLabel]
    expressions: list[ExpressionBody]
