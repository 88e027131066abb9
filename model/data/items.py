"""One labelled video in memory, as produced by dataset readers, the simulated benchmark and the starter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures
from sentiloc.model.spec import CLASSES, NON_SENTIMENT, SNIPPET_FRAMES


class PointLabel(NamedTuple):
    """One annotated instant: its snippet and its class (0 negative, 1 positive)."""

    snippet: int
    class_index: int


class SegmentLabel(NamedTuple):
    """One annotated segment in seconds, and its class (0 negative, 1 positive)."""

    start: float
    end: float
    class_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A video for training or evaluation; `fps` is the frame rate at which its snippets were cut.

    `points` may be empty (nothing annotated, or another supervision). `segments` are the ground truth, which point and
    video supervision never read. `ignored` (T,) marks snippets whose sentiment is unknown; losses ignore them.
    """

    name: str
    features: SnippetFeatures
    fps: float
    points: tuple[PointLabel, ...] = ()
    segments: tuple[SegmentLabel, ...] = ()
    ignored: BoolArray | None = None

    def __post_init__(self) -> None:
        if self.fps <= 0 or len(self.features) == 0:
            raise ValueError(f"{self.name}: needs a positive frame rate and at least one snippet")
        if self.ignored is not None and self.ignored.shape != (len(self.features),):
            raise ValueError(
                f"{self.name}: ignored is {self.ignored.shape} for {len(self.features)} snippets"
            )
        for point in self.points:
            if not 0 <= point.snippet < len(self.features):
                raise ValueError(f"{self.name}: point in snippet {point.snippet} of {len(self.features)}")

    @property
    def snippet_seconds(self) -> float:
        """Length of a snippet in seconds."""
        return SNIPPET_FRAMES / self.fps

    def point_array(self) -> BoolArray:
        """Annotated snippets per class, (T, C)."""
        array = np.zeros((len(self.features), len(CLASSES)), bool)
        for point in self.points:
            array[point.snippet, point.class_index] = True
        return array

    def video_classes(self) -> BoolArray:
        """Classes of the whole video, (C,): those of its points, or of its segments if it has no point."""
        labels = self.points or self.segments
        # Points first, because point supervision must not read the ground truth.
        return np.isin(np.arange(len(CLASSES)), [label.class_index for label in labels])

    def segment_array(self) -> FloatArray:
        """Frame labels of full supervision, (T, C + 1): a snippet is in a segment if its middle is."""
        middles = (np.arange(len(self.features)) + 0.5) * self.snippet_seconds
        array = np.zeros((len(self.features), len(CLASSES) + 1), np.float32)
        for segment in self.segments:
            inside = (middles >= segment.start) & (middles < segment.end)
            # A segment shorter than a snippet may contain no middle; it keeps the snippet in which it
            # starts.
            nearest = min(int(segment.start / self.snippet_seconds), len(self.features) - 1)
            inside[nearest] |= not inside.any()
            array[inside, segment.class_index] = 1.0
        array[:, NON_SENTIMENT] = 1.0 - array[:, :NON_SENTIMENT].max(axis=1)
        return array

    def segment_centres(self) -> BoolArray:
        """Middle snippet of each segment per class, (T, C): the points that full supervision gives eq. 4."""
        array = np.zeros((len(self.features), len(CLASSES)), bool)
        for segment in self.segments:
            middle = int((segment.start + segment.end) / 2 / self.snippet_seconds)
            # Annotated ends may lie a little after the last snippet.
            array[min(middle, len(self.features) - 1), segment.class_index] = True
        return array
