"""Metrics of proposals against annotated segments: mAP, precision, recall and F2 of the TSL300 benchmark.

Its conventions (an ActivityNet-style evaluation): in order of score a proposal takes the free segment that it
overlaps most; AP is the area under the interpolated precision-recall curve; "precision" and "recall" are
means of the cumulative curves over all proposals of a class, then over classes; F2 = 5PR / (4P + R).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.proposals.nms import descending
from sentiloc.model.segments import Proposal

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TIOUS = (0.1, 0.15, 0.2, 0.25, 0.3)


class GroundTruthSegment(NamedTuple):
    """An annotated segment: times in seconds."""

    label: str
    start: float
    end: float


GroundTruth = Mapping[str, Sequence[GroundTruthSegment]]
Predictions = Mapping[str, Sequence[Proposal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionMetrics:
    """Metrics per tIoU, each in [0, 1]; `ap` has a row per tIoU and a column per class of `classes`."""

    classes: tuple[str, ...]
    tious: tuple[float, ...]
    mean_ap: tuple[float, ...]
    average_map: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f2: tuple[float, ...]
    ap: tuple[tuple[float, ...], ...]


class ClassMatches(NamedTuple):
    """One class's proposals of all videos, best first: matched or not (tiou, N); its annotated segments."""

    hits: Bools
    annotated: int


def evaluate_detections(
    ground_truth: GroundTruth, predictions: Predictions, tious: Sequence[float] = TIOUS
) -> DetectionMetrics:
    """Score predictions against ground truth, both by video. Classes are in the order of the ground truth.

    A prediction for a video without annotations is a false positive. One with a label that the ground truth never uses
    is not counted, because it belongs to no class.
    """
    classes = class_names(ground_truth)
    columns = [_curve_means(match_class(ground_truth, predictions, name, tious)) for name in classes]
    ap, precision, recall = np.array(columns).reshape(-1, 3, len(tious)).transpose(1, 2, 0)
    mean_precision, mean_recall = precision.mean(axis=1), recall.mean(axis=1)
    mean_ap = ap.mean(axis=1)
    return DetectionMetrics(
        classes=classes,
        tious=tuple(tious),
        mean_ap=tuple(mean_ap.tolist()),
        average_map=float(mean_ap.mean()),
        precision=tuple(mean_precision.tolist()),
        recall=tuple(mean_recall.tolist()),
        f2=tuple(f2_score(mean_precision, mean_recall).tolist()),
        ap=tuple(tuple(row) for row in ap.tolist()),
    )


def class_names(ground_truth: GroundTruth) -> tuple[str, ...]:
    """Labels in the order in which the ground truth first uses them; at least one, or ValueError."""
    names = tuple(dict.fromkeys(segment.label for segments in ground_truth.values() for segment in segments))
    if not names:
        raise ValueError("the ground truth has no segment")
    return names


def f2_score(precision: Floats, recall: Floats) -> Floats:
    """5PR / (4P + R), and 0 where both are 0."""
    weight = 4 * precision + recall
    score: Floats = 5 * precision * recall / np.where(weight > 0, weight, 1.0)
    return score


def segment_tiou(starts: Floats, ends: Floats, other_starts: Floats, other_ends: Floats) -> Floats:
    """Temporal intersection over union of every pair, (N, M); two empty segments at one place have 0."""
    shared = np.minimum(ends[:, None], other_ends) - np.maximum(starts[:, None], other_starts)
    shared = np.maximum(shared, 0.0)
    union = (ends - starts)[:, None] + (other_ends - other_starts) - shared
    # Two segments without length have no union; their overlap is 0.
    tiou: Floats = shared / np.where(union > 0, union, 1.0)
    return tiou


def match_class(
    ground_truth: GroundTruth, predictions: Predictions, name: str, tious: Sequence[float]
) -> ClassMatches:
    """Match one class's proposals to its segments, each video by itself, and order them over all videos."""
    thresholds = np.asarray(tious, dtype=np.float64)
    scores, hits = [np.zeros(0)], [np.zeros((len(thresholds), 0), dtype=np.bool_)]
    for video, proposals in predictions.items():
        found = numbers_of(proposals, name, 3)
        truth = numbers_of(ground_truth.get(video, ()), name, 2)
        scores.append(found[:, 0])
        hits.append(match_video(found, truth, thresholds))
    order = descending(np.concatenate(scores))
    annotated = sum(segment.label == name for segments in ground_truth.values() for segment in segments)
    return ClassMatches(np.concatenate(hits, axis=1)[:, order], annotated)


def numbers_of(rows: Iterable[tuple[Any, ...]], label: str, width: int) -> Floats:
    """The numbers that follow the label in the rows with that label, (N, width)."""
    flat = chain.from_iterable(row[1:] for row in rows if row[0] == label)
    return np.fromiter(flat, dtype=np.float64).reshape(-1, width)


def match_video(found: Floats, truth: Floats, tious: Floats) -> Bools:
    """Which proposals (N, 3: score, start, end) are matched to a segment of truth (M, 2), (tiou, N).

    In order of score, each proposal takes the free segment that it overlaps most, if by at least the tIoU. Only pairs
    that overlap enough are considered, a small part of all.
    """
    hits = np.zeros((len(tious), len(found)), dtype=np.bool_)
    if not len(found) or not len(truth):
        return hits
    order = descending(found[:, 0])
    tiou = segment_tiou(*found[order, 1:].T, *truth.T)
    rank, segment = np.nonzero(tiou >= tious.min())
    overlap = tiou[rank, segment]
    by_choice = np.lexsort((-segment, -overlap, rank))
    for row, threshold in zip(hits, tious, strict=True):
        chosen = by_choice[overlap[by_choice] >= threshold]
        row[order[_first_come(rank[chosen].tolist(), segment[chosen].tolist())]] = True
    return hits


def _first_come(proposals: list[int], segments: list[int]) -> list[int]:
    """The proposals that get a segment, from pairs in order of preference: each takes the first free one."""
    taken: dict[int, int] = {}
    served: set[int] = set()
    for proposal, segment in zip(proposals, segments, strict=True):
        if segment not in taken and proposal not in served:
            taken[segment] = proposal
            served.add(proposal)
    return list(taken.values())


def _curve_means(matches: ClassMatches) -> tuple[Floats, Floats, Floats]:
    """AP, mean precision and mean recall per tIoU, each (tiou,)."""
    hits = matches.hits
    if not hits.shape[1]:
        empty = np.zeros(len(hits))
        return empty, empty, empty
    found = hits.cumsum(axis=1)
    precision = found / np.arange(1, hits.shape[1] + 1)
    recall = found / matches.annotated
    return average_precision(hits, precision, matches.annotated), precision.mean(axis=1), recall.mean(axis=1)


def average_precision(hits: Bools, precision: Floats, annotated: int) -> Floats:
    """Area under the interpolated curve, (tiou,): best precision from each hit on, summed, over annotated."""
    best_later = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area: Floats = np.where(hits, best_later, 0.0).sum(axis=1) / annotated
    return area
