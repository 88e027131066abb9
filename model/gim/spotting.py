"""Derives expressions from intensity, and computes their F1 as defined by MEGC2021.

Numpy only; frame ranges are inclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.proposals.nms import suppress
from sentiloc.model.proposals.spans import Floats, outer_inner_contrast, threshold_runs

EXPRESSIONS = ("macro", "micro")
MATCH_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SpottingRule:
    """Section 3.6.3, with values that the paper does not give: the thresholds, the overlap for NMS, and the minimum
    contrast, without which every ripple would count as a false alarm.
    """

    thresholds: tuple[float, ...] = tuple(np.arange(0.2, 0.801, 0.05).round(2).tolist())
    class_threshold: float = 0.5
    nms_tiou: float = 0.1
    min_contrast: float = 0.3
    min_frames: int = 4
    """Minimum length of a run.

    For a shorter one, equation 15 has an empty surrounding, and every peak would beat its own expression.
    """
    class_wise: bool = True
    """False: an expression also removes overlapping ones of the other class."""


DEFAULT_RULE = SpottingRule()


class SpottedExpression(NamedTuple):
    """An expression found: onset, pseudo-apex and offset frame (inclusive), class, and its OIC score."""

    onset: int
    apex: int
    offset: int
    class_index: int
    score: float


def spot(
    intensity: NDArray[np.floating], actions: NDArray[np.floating], rule: SpottingRule = DEFAULT_RULE
) -> list[SpottedExpression]:
    """Expressions of one video, from intensity (T,) and action scores (T, C), in order of onset.

    A proposal's classes are those whose action score at its pseudo-apex reaches the threshold, or the likeliest one if
    none does.
    """
    curve: Floats = np.asarray(intensity, dtype=np.float64)
    runs = threshold_runs(curve, rule.thresholds)
    contrast = outer_inner_contrast(curve, runs)
    found = []
    for start, stop, score in zip(runs.start.tolist(), runs.stop.tolist(), contrast.tolist(), strict=True):
        if score < rule.min_contrast or stop - start < rule.min_frames:
            continue
        apex = start + _highest(curve[start:stop])
        found += [
            SpottedExpression(start, apex, stop - 1, index, score)
            for index in _classes(actions[apex], rule.class_threshold)
        ]
    groups = [[row for row in found if row.class_index == index] for index in range(actions.shape[1])]
    return sorted(
        row
        for rows in (groups if rule.class_wise else [found])
        for row in _without_overlap(rows, rule.nms_tiou)
    )


def _highest(curve: Floats) -> int:
    """The highest frame, or the middle one of several: strong expressions reach 1 in float32 over many frames."""
    ties = np.flatnonzero(curve == curve.max())
    return int(ties[len(ties) // 2])


def _classes(scores: NDArray[np.floating], threshold: float) -> list[int]:
    shown = np.flatnonzero(scores >= threshold).tolist()
    return shown or [int(np.argmax(scores))]


def _without_overlap(rows: Sequence[SpottedExpression], tiou: float) -> list[SpottedExpression]:
    """Non-maximum suppression by OIC score."""
    starts, stops = np.array([float(r.onset) for r in rows]), np.array([r.offset + 1.0 for r in rows])
    return [rows[i] for i in suppress(starts, stops, np.array([r.score for r in rows]), tiou, 0.0)]


def interval_iou(onset: int, offset: int, other_onset: int, other_offset: int) -> float:
    """Equation 17: frames in both over frames in either; bounds inclusive."""
    shared = max(0, min(offset, other_offset) - max(onset, other_onset) + 1)
    return shared / (offset - onset + other_offset - other_onset + 2 - shared)


class Counts(NamedTuple):
    """Right detections, all detections, all annotated expressions: they add up over videos and subjects."""

    right: int
    found: int
    annotated: int

    @property
    def f1(self) -> float:
        """2 TP / (found + annotated); 0 if there is neither."""
        return 2 * self.right / max(self.found + self.annotated, 1)

    @property
    def precision(self) -> float:
        """TP / found; 0 where nothing was found."""
        return self.right / max(self.found, 1)

    @property
    def recall(self) -> float:
        """TP / annotated; 0 where nothing was annotated."""
        return self.right / max(self.annotated, 1)


def add_counts(counts: Iterable[Counts]) -> Counts:
    """The sum over several videos."""
    rows = list(counts)
    return Counts(*(sum(row[i] for row in rows) for i in range(3)))


def count_matches(
    found: Sequence[tuple[int, int, float]], annotated: Sequence[tuple[int, int]], iou: float = MATCH_IOU
) -> Counts:
    """One video and class: (onset, offset, score) against (onset, offset); an expression is found once, by the best
    scored detection that overlaps it by at least `iou`.
    """
    free = set(range(len(annotated)))
    right = 0
    for onset, offset, _ in sorted(found, key=lambda row: -row[2]):
        best = max(free, key=lambda i: interval_iou(onset, offset, *annotated[i]), default=None)
        if best is not None and interval_iou(onset, offset, *annotated[best]) >= iou:
            free.remove(best)
            right += 1
    return Counts(right, len(found), len(annotated))


def video_counts(
    found: Sequence[SpottedExpression], annotated: Sequence[tuple[int, int, int]]
) -> dict[str, Counts]:
    """Counts by class and `overall` of one video; annotated: (onset, offset, class)."""
    counts = {
        name: count_matches(
            [(row.onset, row.offset, row.score) for row in found if row.class_index == index],
            [(onset, offset) for onset, offset, kind in annotated if kind == index],
        )
        for index, name in enumerate(EXPRESSIONS)
    }
    return counts | {"overall": add_counts(counts.values())}
