"""Evaluation of a starter on sequences with known ground truth, and the calibration of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.starter.faces.draft import SNIPPET
from sentiloc.model.data.items import Item
from sentiloc.model.evaluation.metrics import GroundTruthSegment, evaluate_detections, segment_tiou
from sentiloc.model.proposals.calibration import (
    Calibration,
    Method,
    expected_calibration_error,
    fit_calibration,
)
from sentiloc.model.proposals.rule import select_segments, serving_proposals
from sentiloc.model.segments import FrameScores, Proposal, Segment
from sentiloc.model.spec import CLASSES, NON_SENTIMENT

RIGHT_TIOU = 0.3
"""A shown segment is right if a true one of its label overlaps it by this much."""
GRID = 0.1
_NEVER_MERGE = -1.0
_THRESHOLDS = tuple(round(0.25 + 0.05 * step, 2) for step in range(14))
_METHODS: tuple[Method, ...] = ("platt", "isotonic")
_CLIP_WEIGHT = 2

Scores = Mapping[str, FrameScores]
Truth = Mapping[str, Sequence[GroundTruthSegment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
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


def judge(items: Sequence[Item], scores: Scores, calibration: Calibration, threshold: float) -> Judgement:
    """All metrics of one set of scores at one threshold."""
    truth = truth_of(items)
    shown = {
        name: select_segments(found, SNIPPET, threshold=threshold, calibration=calibration)
        for name, found in scores.items()
    }
    lengths = {item.name: len(item.features) * SNIPPET for item in items}
    right, marked = time_shares(truth, shown, lengths)
    return Judgement(
        proposals_map=proposals_map(items, scores),
        shown_map=mean_average_precision(truth, {name: as_proposals(rows) for name, rows in shown.items()}),
        time_right=right,
        neutral_marked=marked,
    )


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


def outcomes(
    items: Sequence[Item], scores: Scores
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Score, correctness and item number of every segment at threshold 0, each (N,)."""
    rows = []
    for number, item in enumerate(items):
        truth = truth_of([item])[item.name]
        shown = select_segments(scores[item.name], SNIPPET, threshold=0.0, merge_gap=_NEVER_MERGE)
        rows += [(segment.confidence, float(_is_right(segment, truth)), number) for segment in shown]
    values = np.array(rows, np.float64).reshape(-1, 3)
    return values[:, 0], values[:, 1], values[:, 2].astype(np.int64)


def clip_outcomes(clips: Sequence[Item], scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score and correctness (N,) of the segments of clips with one label: a segment is right if the clip has its
    sentiment.
    """
    rows = [
        (segment.confidence, float(segment.label in {truth.label for truth in truth_of([clip])[clip.name]}))
        for clip in clips
        for segment in select_segments(scores[clip.name], SNIPPET, threshold=0.0, merge_gap=_NEVER_MERGE)
    ]
    values = np.array(rows, np.float64).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def clip_evidence(clips: Sequence[Item], scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The outcomes of real clips for a calibration, each repeated `_CLIP_WEIGHT` times."""
    score, right = clip_outcomes(clips, scores)
    return np.tile(score, _CLIP_WEIGHT), np.tile(right, _CLIP_WEIGHT)


def calibrate(
    items: Sequence[Item], scores: Scores, clips: Sequence[Item], clip_scores: Scores
) -> tuple[Calibration, float]:
    """Choose the method with the smaller cross-fitted error, and fit it on sequences and real clips.

    There are few real clips, so each counts several times. The error is that of the sequences: each half is calibrated
    by the other half and the clips.
    """
    score, right, owner = outcomes(items, scores)
    more = clip_evidence(clips, clip_scores)
    errors = {
        method: expected_calibration_error(crossed_probabilities(score, right, owner, method, more), right)
        for method in _METHODS
    }
    method = min(errors, key=lambda name: errors[name])
    everything = np.concatenate([score, more[0]]), np.concatenate([right, more[1]])
    return fit_calibration(*everything, method), errors[method]


def crossed_probabilities(
    score: NDArray[np.float64],
    right: NDArray[np.float64],
    owner: NDArray[np.int64],
    method: Method,
    more: tuple[NDArray[np.float64], ...],
) -> NDArray[np.float64]:
    """Probabilities of each half of the videos, calibrated on the other half and on `more`."""
    probabilities = np.zeros_like(score)
    for half in (0, 1):
        held = owner % 2 == half
        others = np.concatenate([score[~held], more[0]]), np.concatenate([right[~held], more[1]])
        fitted = fit_calibration(*others, method)
        probabilities[held] = fitted.probabilities(score[held])
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
    judged = {t: judge(items, scores, calibration, t) for t in _THRESHOLDS}
    allowed = [
        t
        for t in _THRESHOLDS
        if all(
            neutral_marked(part, found, calibration, t) <= most_marked[kind]
            for kind, (part, found) in kinds.items()
            if kind in most_marked
        )
    ]
    return max(allowed or _THRESHOLDS[-1:], key=lambda t: judged[t].time_right + judged[t].shown_map)


def neutral_marked(
    items: Sequence[Item], scores: Scores, calibration: Calibration, threshold: float
) -> float:
    """Share of the neutral time of some items that is marked."""
    shown = {
        item.name: select_segments(scores[item.name], SNIPPET, threshold=threshold, calibration=calibration)
        for item in items
    }
    return time_shares(truth_of(items), shown, {i.name: len(i.features) * SNIPPET for i in items})[1]


def by_kind(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Items grouped by their name without its number."""
    kinds: dict[str, list[Item]] = {}
    for item in items:
        kinds.setdefault(item.name.rstrip("0123456789"), []).append(item)
    return kinds


def _is_right(segment: Segment, truth: Sequence[GroundTruthSegment]) -> bool:
    same = np.array([row[1:] for row in truth if row.label == segment.label], np.float64).reshape(-1, 2)
    found = segment_tiou(np.array([segment.start]), np.array([segment.end]), same[:, 0], same[:, 1])
    return bool(found.size) and float(found.max()) >= RIGHT_TIOU
