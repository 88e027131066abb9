"""The values that flow from the localizer to a result: scores per snippet, proposals, segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    """Share of each stream in a segment's score, by leaving the stream out; each >= 0, their sum 1."""

    visual: float
    audio: float
    face: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of video that conveys one sentiment. Times in seconds; `confidence` is a probability."""

    start: float
    end: float
    label: str
    confidence: float
    peak: float
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.peak <= self.end:
            raise ValueError(f"segment times out of order: {self.start} <= {self.peak} <= {self.end}")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence {self.confidence} is not a probability")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What the decoder learned about a video: seconds, frames per second, display size in pixels."""

    duration: float
    fps: float
    width: int
    height: int
    has_audio: bool
    start_timecode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetFeatures:
    """One video's features, T snippets in each. A stream that the spec does not have is None.

    visual (T, dim); audio (T, frames, mels); face (T, dim); *_present (T,) say where a stream holds anything.
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
