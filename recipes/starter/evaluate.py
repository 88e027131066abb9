"""Evaluation of a starter on sequences with known ground truth, and the calibration of its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.starter.faces.draft import SNIPPET
from sentiloc.model.data.items import Item
from sentiloc.model.evaluation.metrics import GroundTruthSegment, evaluate_detections, segment_tiou
from sentiloc.model.proposals.calibration import (
    Calibration,
    Fit,
    expected_calibration_error,
    fit_calibration,
    fit_without_face,
)
from sentiloc.model.proposals.rule import select_segments, serving_proposals, share_unseen
from sentiloc.model.segments import FrameScores, Proposal, Segment
from sentiloc.model.spec import CLASSES, NON_SENTIMENT

RIGHT_TIOU = 0.3
"""A shown segment is right if a true one of its label overlaps it by this much."""
# Seconds.
GRID = 0.1
# Shorter than any gap, so that proposals are not merged.
_NEVER_MERGE = -1.0
_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(9))
"""The minimum is even odds: a shown segment is more likely right than wrong."""
_METHODS: tuple[Fit, ...] = ("platt", "smooth")
# There are few real clips.
_CLIP_WEIGHT = 2

Floats = NDArray[np.float64]
Scores = Mapping[str, FrameScores]
Truth = Mapping[str, Sequence[GroundTruthSegment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """mAP (mean over tIoU 0.1:0.3) of all proposals; at a threshold: share of time labelled right, share of neutral
    time marked, mAP of the shown segments.

    All are in [0, 1].
    """

    proposals_map: float
    shown_map: float
    time_right: float
    neutral_marked: float


def truth_of(items: Sequence[Item]) -> Truth:
    """True segments by name, with the labels that serving uses."""
    return {
        item.name: [GroundTruthSegment(CLASSES[label], start, end) for start, end, label in item.segments]
        for item in items
    }


def mean_average_precision(truth: Truth, found: Mapping[str, Sequence[Proposal]]) -> float:
    """The benchmark's average mAP@0.1:0.3."""
    return evaluate_detections(truth, found).average_map


def evaluate(items: Sequence[Item], scores: Scores, calibration: Calibration, threshold: float) -> Evaluation:
    """All metrics of one set of scores at one threshold."""
    truth = truth_of(items)
    shown = shown_segments(items, scores, calibration, threshold)
    lengths = {item.name: len(item.features) * SNIPPET for item in items}
    right, marked = time_shares(truth, shown, lengths)
    return Evaluation(
        proposals_map=proposals_map(items, scores),
        shown_map=mean_average_precision(truth, {name: as_proposals(rows) for name, rows in shown.items()}),
        time_right=right,
        neutral_marked=marked,
    )


def shown_segments(
    items: Sequence[Item], scores: Scores, calibration: Calibration, threshold: float
) -> dict[str, list[Segment]]:
    """The segments that serving would show for each item."""
    return {
        item.name: select_segments(
            scores[item.name],
            SNIPPET,
            threshold=threshold,
            calibration=calibration,
            face_present=item.features.face_present,
        )
        for item in items
    }


def proposals_map(items: Sequence[Item], scores: Scores) -> float:
    """The benchmark's average mAP@0.1:0.3 of all proposals of serving."""
    found = {name: serving_proposals(s.scores, s.saliency, SNIPPET) for name, s in scores.items()}
    return mean_average_precision(truth_of(items), found)


def as_proposals(segments: Sequence[Segment]) -> list[Proposal]:
    """Segments with their confidence as score."""
    return [Proposal(s.label, s.confidence, s.start, s.end) for s in segments]


def time_shares(
    truth: Truth, shown: Mapping[str, Sequence[Segment]], lengths: Mapping[str, float]
) -> tuple[float, float]:
    """Share of time whose label (or none) is right, and share of neutral time that is marked, over all videos."""
    true = np.concatenate([timeline(truth[name], length) for name, length in lengths.items()])
    said = np.concatenate([timeline(shown[name], length) for name, length in lengths.items()])
    neutral = true == NON_SENTIMENT
    marked = float((said[neutral] != NON_SENTIMENT).mean()) if neutral.any() else 0.0
    return float((true == said).mean()), marked


def timeline(segments: Sequence[Segment] | Sequence[GroundTruthSegment], length: float) -> NDArray[np.int64]:
    """Class index at every tenth of a second."""
    labels = np.full(max(round(length / GRID), 1), NON_SENTIMENT)
    for segment in segments:
        labels[round(segment.start / GRID) : round(segment.end / GRID)] = CLASSES.index(segment.label)
    return labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Every segment at threshold 0, each field (N,): score, correctness (1 or 0), share of time without a face, and the
    number of its video.
    """

    score: Floats
    right: Floats
    unseen: Floats
    owner: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.score)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Outcomes:
        """The outcomes that a mask or indices select."""
        return Outcomes(
            score=self.score[chosen],
            right=self.right[chosen],
            unseen=self.unseen[chosen],
            owner=self.owner[chosen],
        )

    def beside(self, more: Outcomes) -> Outcomes:
        """These outcomes, followed by those of `more`."""
        return Outcomes(
            score=np.concatenate([self.score, more.score]),
            right=np.concatenate([self.right, more.right]),
            unseen=np.concatenate([self.unseen, more.unseen]),
            owner=np.concatenate([self.owner, more.owner]),
        )


def outcomes(items: Sequence[Item], scores: Scores) -> Outcomes:
    """Of sequences: a segment is right if it overlaps a true one of its label."""
    return _outcomes(items, scores, _is_right)


def clip_outcomes(clips: Sequence[Item], scores: Scores) -> Outcomes:
    """Of clips with one label: a segment is right if the clip has its sentiment."""
    return _outcomes(clips, scores, _is_of_label)


def clip_evidence(clips: Sequence[Item], scores: Scores) -> Outcomes:
    """The outcomes of real clips for a calibration, each repeated `_CLIP_WEIGHT` times."""
    found = clip_outcomes(clips, scores)
    return found.where(np.tile(np.arange(len(found)), _CLIP_WEIGHT))


def _outcomes(
    items: Sequence[Item],
    scores: Scores,
    is_right: Callable[[Segment, Sequence[GroundTruthSegment]], bool],
) -> Outcomes:
    rows = []
    for number, item in enumerate(items):
        truth, seen = truth_of([item])[item.name], item.features.face_present
        shown = select_segments(scores[item.name], SNIPPET, threshold=0.0, merge_gap=_NEVER_MERGE)
        unseen = share_unseen(seen, shown, SNIPPET).tolist()
        rows += [
            (segment.confidence, float(is_right(segment, truth)), share, number)
            for segment, share in zip(shown, unseen, strict=True)
        ]
    values = np.array(rows, np.float64).reshape(-1, 4)
    return Outcomes(
        score=values[:, 0], right=values[:, 1], unseen=values[:, 2], owner=values[:, 3].astype(np.int64)
    )


def calibrate(
    items: Sequence[Item], scores: Scores, clips: Sequence[Item], clip_scores: Scores
) -> tuple[Calibration, float]:
    """Choose the method with the smaller cross-fitted error, and fit it on sequences and real clips.

    There are few real clips, so each counts several times. The error is that of the sequences: each half is calibrated
    by the other half and the clips.
    """
    found, more = outcomes(items, scores), clip_evidence(clips, clip_scores)
    errors = {
        method: expected_calibration_error(crossed_probabilities(found, method, more), found.right)
        for method in _METHODS
    }
    method = min(errors, key=lambda name: errors[name])
    return fit_outcomes(found.beside(more), method), errors[method]


def fit_outcomes(found: Outcomes, method: Fit) -> Calibration:
    """A calibration of outcomes by score, then by whether a face is seen."""
    fitted = fit_calibration(found.score, found.right, method)
    return fit_without_face(fitted, found.score, found.right, found.unseen)


def crossed_probabilities(found: Outcomes, method: Fit, more: Outcomes) -> Floats:
    """Probabilities of each half of the videos, calibrated on the other half and on `more`."""
    probabilities = np.zeros_like(found.score)
    for half in (0, 1):
        # By video: segments of one video share their people and sounds.
        held = found.owner % 2 == half
        fitted = fit_outcomes(found.where(~held).beside(more), method)
        probabilities[held] = fitted.probabilities(found.score[held], found.unseen[held])
    return probabilities


def pick_threshold(
    items: Sequence[Item],
    scores: Scores,
    clips: Sequence[Item],
    clip_scores: Scores,
    calibration: Calibration,
    *,
    most_marked: Mapping[str, float],
) -> float:
    """The threshold with the best sum of time labelled right and mAP of shown segments, among those that mark little
    neutral time.

    `most_marked` is the share of neutral time that may be marked, by kind of sequence; "clips" are the real ones.
    """
    kinds: dict[str, tuple[Sequence[Item], Scores]] = {
        k: (part, scores) for k, part in by_kind(items).items()
    }
    kinds["clips"] = clips, clip_scores
    evaluated = {t: evaluate(items, scores, calibration, t) for t in _THRESHOLDS}
    allowed = [
        t
        for t in _THRESHOLDS
        if all(
            neutral_marked(part, found, calibration, t) <= most_marked[kind]
            for kind, (part, found) in kinds.items()
            if kind in most_marked
        )
    ]
    # If none marks little enough, the strictest.
    return max(allowed or _THRESHOLDS[-1:], key=lambda t: evaluated[t].time_right + evaluated[t].shown_map)


def neutral_marked(
    items: Sequence[Item], scores: Scores, calibration: Calibration, threshold: float
) -> float:
    """Share of the neutral time of some items that is marked."""
    shown = shown_segments(items, scores, calibration, threshold)
    return time_shares(truth_of(items), shown, {i.name: len(i.features) * SNIPPET for i in items})[1]


def by_kind(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Items grouped by their name without its number."""
    kinds: dict[str, list[Item]] = {}
    for item in items:
        kinds.setdefault(item.name.rstrip("0123456789"), []).append(item)
    return kinds


def _is_of_label(segment: Segment, truth: Sequence[GroundTruthSegment]) -> bool:
    return segment.label in {row.label for row in truth}


def _is_right(segment: Segment, truth: Sequence[GroundTruthSegment]) -> bool:
    same = np.array([row[1:] for row in truth if row.label == segment.label], np.float64).reshape(-1, 2)
    found = segment_tiou(np.array([segment.start]), np.array([segment.end]), same[:, 0], same[:, 1])
    return bool(found.size) and float(found.max()) >= RIGHT_TIOU
