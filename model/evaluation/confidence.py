"""Fits a calibration and a default threshold on videos that a network was not trained on.

Numpy only. All three systems share it: proposals and true segments of held-out videos go in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.evaluation.metrics import (
    GroundTruth,
    GroundTruthSegment,
    match_video,
    numbers_of,
    segment_tiou,
)
from sentiloc.model.proposals.calibration import (
    Calibration,
    Fit,
    expected_calibration_error,
    fit_calibration,
)
from sentiloc.model.segments import Proposal

RIGHT_TIOU = 0.3
"""A proposal is correct if its tIoU with a true segment of its label is at least this."""
# With fewer, two parameters would fit noise.
LEAST_PROPOSALS = 10
ENOUGH_FOR_STEPS = 200
"""With fewer proposals, Platt scaling (two parameters) is used instead of a smooth monotone curve."""
# Raw scores are products of two values below one, so they are lower than probabilities.
UNCALIBRATED_THRESHOLD = 0.3
_GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))

Floats = NDArray[np.float64]
Found = Mapping[str, Sequence[Proposal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """A calibration, the default minimum confidence, and one sentence on their origin.

    `error` is the expected calibration error, where each half of the videos uses the calibration fitted on the other
    half; None if nothing was fitted.
    """

    calibration: Calibration
    threshold: float
    note: str
    error: float | None = None


def fit_confidence(found: Found, truth: GroundTruth, tiou: float = RIGHT_TIOU) -> Confidence:
    """Fit on proposals (score, label, times in seconds) and true segments of held-out videos.

    Too few proposals, or all of them right or wrong, give no calibration; `note` says so.
    """
    scores, right, owner = outcomes(found, truth, tiou)
    reason = _too_little(scores, right, owner)
    if reason:
        threshold = (
            _best_threshold(Calibration(), found, truth, tiou) if scores.size else UNCALIBRATED_THRESHOLD
        )
        note = f"not calibrated: {reason}; confidences are raw scores"
        return Confidence(calibration=Calibration(), threshold=threshold, note=note)
    # "smooth" has many free levels and needs more data than the two parameters of "platt".
    methods: tuple[Fit, ...] = ("platt", "smooth") if scores.size >= ENOUGH_FOR_STEPS else ("platt",)
    errors = {method: _crossed_error(scores, right, owner, method) for method in methods}
    method = min(errors, key=lambda name: errors[name])
    fitted = fit_calibration(scores, right, method)
    return Confidence(
        calibration=fitted,
        threshold=_best_threshold(fitted, found, truth, tiou),
        note=f"calibrated ({method}) on {scores.size} proposals in {len(found)} held-out videos",
        error=errors[method],
    )


def without_held_out(reason: str) -> Confidence:
    """Raw scores, for a run that has no held-out truth."""
    return Confidence(
        calibration=Calibration(),
        threshold=UNCALIBRATED_THRESHOLD,
        note=f"not calibrated: {reason}; confidences are raw scores",
    )


def outcomes(found: Found, truth: GroundTruth, tiou: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Score, correctness (1 or 0) and video number of every proposal; each (N,)."""
    rows = [
        (proposal.score, float(is_right(proposal, truth.get(name, ()), tiou)), number)
        for number, (name, proposals) in enumerate(found.items())
        for proposal in proposals
    ]
    values = np.array(rows, np.float64).reshape(-1, 3)
    return values[:, 0], values[:, 1], values[:, 2].astype(np.int64)


def is_right(proposal: Proposal, segments: Sequence[GroundTruthSegment], tiou: float) -> bool:
    """Whether a true segment of the proposal's label overlaps it enough."""
    same = [segment for segment in segments if segment.label == proposal.label]
    starts, ends = np.array([s.start for s in same]), np.array([s.end for s in same])
    overlap = segment_tiou(np.array([proposal.start]), np.array([proposal.end]), starts, ends)
    return bool((overlap >= tiou).any())


def _too_little(scores: Floats, right: Floats, owner: NDArray[np.int64]) -> str:
    if scores.size < LEAST_PROPOSALS:
        return f"{scores.size} proposals in the held-out videos, fewer than {LEAST_PROPOSALS}"
    if len(np.unique(owner)) < 2:
        return "one held-out video has proposals, two are needed"
    if right.min() == right.max():
        return f"all {scores.size} proposals in the held-out videos are {'right' if right.max() else 'wrong'}"
    return ""


def _crossed_error(scores: Floats, right: Floats, owner: NDArray[np.int64], method: Fit) -> float:
    # Whole videos per half: proposals of one video are alike, and would leak from half to half.
    place = np.unique(owner, return_inverse=True)[1] % 2
    probabilities = np.zeros_like(scores)
    for half in (0, 1):
        fitted = fit_calibration(scores[place != half], right[place != half], method)
        probabilities[place == half] = fitted.probabilities(scores[place == half])
    return expected_calibration_error(probabilities, right)


def _first_hits(found: Found, truth: GroundTruth, tiou: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Every proposal's score (N,), and whether it is the best one that finds a true segment.

    Several right proposals on one segment are one hit, at every threshold.
    """
    scores, hits = [np.zeros(0)], [np.zeros(0, np.bool_)]
    for name, proposals in found.items():
        for label in dict.fromkeys(proposal.label for proposal in proposals):
            rows = numbers_of(proposals, label, 3)
            segments = numbers_of(truth.get(name, ()), label, 2)
            scores.append(rows[:, 0])
            hits.append(match_video(rows, segments, np.array([tiou]))[0])
    return np.concatenate(scores), np.concatenate(hits)


def _best_threshold(calibration: Calibration, found: Found, truth: GroundTruth, tiou: float) -> float:
    """The threshold with the highest F1 of the shown segments; in a tie, the higher threshold."""
    scores, hit = _first_hits(found, truth, tiou)
    probabilities = calibration.probabilities(scores)
    annotated = sum(map(len, truth.values()))
    values = []
    for threshold in _GRID:
        shown = probabilities >= threshold
        hits = float(hit[shown].sum())
        # F1, written with counts. On a tie, max() takes the higher threshold.
        values.append((2 * hits / max(float(shown.sum()) + annotated, 1.0), threshold))
    best, threshold = max(values)
    return threshold if best > 0 else UNCALIBRATED_THRESHOLD
