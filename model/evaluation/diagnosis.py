"""The kind of error of each proposal, as in Fig. 7 of the paper.

Kinds after Alwassel et al., "Diagnosing error in temporal action detectors" (ECCV 2018), decided in
this order for a match threshold α and a background threshold β < α.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.evaluation.metrics import (
    GroundTruth,
    Predictions,
    class_names,
    match_video,
    numbers_of,
    segment_tiou,
)
from sentiloc.model.proposals.nms import descending

Floats = NDArray[np.float64]

KINDS = {
    "true_positive": "overlaps a segment of its label by α or more, and is the first to",
    "double_detection": "overlaps a segment of its label by α or more that a better proposal has taken",
    "wrong_label": "overlaps a segment of another label by α or more",
    "localization": "overlaps a segment of its label by β or more",
    "confusion": "overlaps a segment of another label by β or more",
    "background": "overlaps every segment by less than β",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBreakdown:
    """Share of the proposals that is of each kind (sum 1, or all 0 without proposals), and their number."""

    tiou: float
    proposals: int
    shares: dict[str, float]


def error_breakdown(
    ground_truth: GroundTruth,
    predictions: Predictions,
    tiou: float = 0.3,
    background: float = 0.1,
    per_segment: int | None = None,
) -> ErrorBreakdown:
    """Break proposals down by kind: all of them, or each class's best `per_segment` × its annotated segments.

    The latter is what Alwassel et al. use; the paper's caption says all proposals.
    """
    kinds = list(KINDS)
    counts = np.zeros(len(kinds), dtype=np.int64)
    for name in class_names(ground_truth):
        scores, codes = _class_kinds(ground_truth, predictions, name, (tiou, background))
        if per_segment is not None:
            annotated = sum(row.label == name for rows in ground_truth.values() for row in rows)
            codes = codes[descending(scores)[: per_segment * annotated]]
        counts += np.bincount(codes, minlength=len(kinds))
    total = int(counts.sum())
    shares = (counts / max(total, 1)).tolist()
    return ErrorBreakdown(tiou=tiou, proposals=total, shares=dict(zip(kinds, shares, strict=True)))


def _class_kinds(
    ground_truth: GroundTruth, predictions: Predictions, name: str, levels: tuple[float, float]
) -> tuple[Floats, NDArray[np.int64]]:
    """Scores (N,) and kinds (N,), as places in KINDS, of one class's proposals in all videos."""
    scores, codes = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for video, proposals in predictions.items():
        found, rows = numbers_of(proposals, name, 3), ground_truth.get(video, ())
        same = numbers_of(rows, name, 2)
        other = np.array([row[1:] for row in rows if row[0] != name]).reshape(-1, 2)
        scores.append(found[:, 0])
        codes.append(_video_kinds(found, same, other, levels))
    return np.concatenate(scores), np.concatenate(codes)


def _video_kinds(
    found: Floats, same: Floats, other: Floats, levels: tuple[float, float]
) -> NDArray[np.int64]:
    tiou, background = levels
    hit = match_video(found, same, np.array([tiou]))[0]
    own, foreign = _best_tiou(found, same), _best_tiou(found, other)
    tests = [hit, own >= tiou, foreign >= tiou, own >= background, foreign >= background]
    # select takes the first test that is true, which is the order of KINDS.
    return np.select(tests, range(len(tests)), default=len(tests)).astype(np.int64)


def _best_tiou(found: Floats, truth: Floats) -> Floats:
    """Highest tIoU of each proposal (N, 3) with any segment (M, 2); 0 without segments."""
    best: Floats = segment_tiou(*found[:, 1:].T, *truth.T).max(axis=1, initial=0.0)
    return best
