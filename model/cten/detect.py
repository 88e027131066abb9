"""Derives emotional segments from CTEN's attention, and computes their mAP as in section 4.5. Numpy only.

The network is trained with one label per video; its attention locates the emotion. The paper gives no rule for deriving
segments from the attention. This one is common in the field: many thresholds, outer-inner contrast, NMS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.evaluation.metrics import GroundTruthSegment, evaluate_detections
from sentiloc.model.proposals.nms import suppress
from sentiloc.model.proposals.rule import smooth
from sentiloc.model.proposals.spans import Floats, outer_inner_contrast, threshold_runs
from sentiloc.model.segments import Proposal

THRESHOLDS = tuple(np.arange(0.1, 0.901, 0.05).round(2).tolist())
NMS_TIOU = 0.5
TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
ANY_EMOTION = "emotion"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionScores:
    """CTEN's output for one video of T segments and M classes: video (M,) and segments (T, M) are softmax
    probabilities, attention (T, 2) is equation 8 of the visual and of the audio modality.
    """

    video: NDArray[np.floating]
    segments: NDArray[np.floating]
    attention: NDArray[np.floating]

    @property
    def curve(self) -> Floats:
        """The curve (T,) from which spans are cut: the mean of both modalities' attention and of the segment's
        probability of the video's emotion, smoothed over three segments.
        """
        attention = np.asarray(self.attention, dtype=np.float64).mean(axis=1)
        # Attention alone does not know the emotion, and it also marks sections that only stand out.
        evidence = np.asarray(self.segments, dtype=np.float64)[:, int(np.argmax(self.video))]
        return smooth((attention + evidence) / 2)


class EmotionSpan(NamedTuple):
    """Segments [start, stop) of a video that stand out, with their contrast."""

    score: float
    start: int
    stop: int


def emotion_spans(scores: EmotionScores) -> list[EmotionSpan]:
    """Spans of a video with high attention, best first.

    A score is the outer-inner contrast times the probability of the video's class. Attention is normalised within each
    video, so without the second factor scores of different videos would not be comparable.
    """
    curve = scores.curve
    runs = threshold_runs(curve, THRESHOLDS)
    contrast = outer_inner_contrast(curve, runs, least_margin=1) * float(np.max(scores.video))
    kept = suppress(runs.start.astype(float), runs.stop.astype(float), contrast, NMS_TIOU, 0.0)
    return [EmotionSpan(float(contrast[i]), int(runs.start[i]), int(runs.stop[i])) for i in kept]


def span_class(scores: EmotionScores, span: EmotionSpan) -> int:
    """The class of a span: the one with the highest probability, averaged over its segments weighted by attention."""
    inside = slice(span.start, span.stop)
    # The curve may be zero in the whole span; then all segments count equally.
    weight = scores.curve[inside] + 1e-9
    return int(np.argmax(weight @ np.asarray(scores.segments)[inside]))


def detection_map(
    found: Mapping[str, Sequence[EmotionSpan]],
    truth: Mapping[str, Sequence[tuple[float, float]]],
    segment_seconds: Mapping[str, float],
) -> dict[float, float]:
    """mAP per tIoU of section 4.5. A detection is correct if it overlaps an annotated segment enough, whatever its
    emotion, because several emotions may evoke the video's.

    found: detected spans by video; truth: (start, end) in seconds by video; segment_seconds: length of a segment.
    """
    predictions = {
        name: [
            Proposal(
                ANY_EMOTION, span.score, span.start * segment_seconds[name], span.stop * segment_seconds[name]
            )
            for span in spans
        ]
        for name, spans in found.items()
    }
    annotated = {
        name: [GroundTruthSegment(ANY_EMOTION, start, end) for start, end in rows]
        for name, rows in truth.items()
    }
    metrics = evaluate_detections(annotated, predictions, TIOUS)
    return dict(zip(metrics.tious, metrics.mean_ap, strict=True))
