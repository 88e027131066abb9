"""The TSL300 benchmark's proposal rule, bit for bit where its quirks affect the results.

Published in code, not in a paper: 24-fold linear upsampling, twenty-four thresholds, outer-inner contrast and
NMS, as the point-supervised family LACP / SF-Net / HR-Pro evaluates. The quirks are marked; for serving
there is `model/proposals/rule.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.nms import suppress
from sentiloc.model.segments import Proposal
from sentiloc.model.spec import NON_SENTIMENT, SNIPPET_FRAMES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

LABELS = ("n", "p")
UPSAMPLING = 24
CLASS_THRESHOLDS = np.arange(0.0, 0.25, 0.025)
AGNOSTIC_THRESHOLDS = np.arange(0.4, 0.75, 0.025)
VIDEO_THRESHOLD = 0.5
OUTER_MARGIN = 0.03
VIDEO_WEIGHT = 0.3
NMS_TIOU = 0.5
NMS_LENGTH_OFFSET = 1.0
TOP_FRACTION = 8


class Runs(NamedTuple):
    """Maximal runs above thresholds: row of the threshold, first sample, sample after the last, each (N,)."""

    row: Ints
    start: Ints
    stop: Ints


def video_scores(scores: Floats) -> Floats:
    """Class scores of a video (C,): mean of each class's top T/8 (at least one) of scores (T, C + 1)."""
    values = np.sort(_checked(scores)[:, :NON_SENTIMENT], axis=0)[::-1]
    means: Floats = values[: max(1, len(values) // TOP_FRACTION)].mean(axis=0)
    return means


def tsl300_proposals(scores: Floats, class_scores: Floats, fps: float) -> list[Proposal]:
    """Proposals of one video as the benchmark makes them, best first within a class.

    scores (T, 3): negative, positive, non-sentiment after the sigmoid; class_scores (2,): the video's own;
    fps: its frame rate. A single snippet gives none, because the benchmark's interpolation is undefined there.
    Raises `invalid_data` for other shapes, values that are not finite, or a frame rate that is not positive.
    """
    scores = _checked(scores)
    class_scores = np.asarray(class_scores, dtype=np.float64)
    if class_scores.shape != (len(LABELS),) or not np.isfinite(class_scores).all():
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"video scores {class_scores.shape} are not 2 finite numbers"
        )
    if not np.isfinite(fps) or fps <= 0:
        raise SentilocError(ErrorCode.INVALID_DATA, f"frame rate {fps} is not positive")
    if len(scores) < 2:
        return []
    # In the benchmark's order of operations: the length cancels out, but the rounding of the quotient does not.
    seconds = (SNIPPET_FRAMES * len(scores)) / (UPSAMPLING * len(scores) * fps)
    sentiment = 1 - scores[:, NON_SENTIMENT]
    agnostic = upsample(sentiment)
    return [
        proposal
        for index in present_classes(class_scores)
        for proposal in _class_proposals(
            LABELS[index],
            upsample(scores[:, index] * sentiment),
            agnostic,
            VIDEO_WEIGHT * float(class_scores[index]),
            seconds,
        )
    ]


def present_classes(class_scores: Floats) -> Ints:
    """Classes of a video: those at 0.5 or more, or the best one when there is none."""
    present = np.flatnonzero(class_scores >= VIDEO_THRESHOLD)
    return present if present.size else np.array([np.argmax(class_scores)])


def upsample(values: Floats) -> Floats:
    """Values (T,) at 24 samples a snippet, (24 T,): linear, and extrapolated after the last snippet."""
    times = np.arange(0, len(values), 1 / UPSAMPLING)
    upper = np.clip(np.searchsorted(np.arange(len(values)), times), 1, len(values) - 1)
    return (values[upper] - values[upper - 1]) * (times - (upper - 1)) + values[upper - 1]


def _checked(scores: Floats) -> Floats:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] != NON_SENTIMENT + 1 or not len(scores):
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"scores {scores.shape} are not (time, {NON_SENTIMENT + 1})"
        )
    if not np.isfinite(scores).all():
        raise SentilocError(ErrorCode.INVALID_DATA, "scores contain values that are not finite")
    return scores


def _class_proposals(
    label: str, curve: Floats, agnostic: Floats, bonus: float, seconds: float
) -> list[Proposal]:
    # Quirk: the contrast of these runs uses the thresholded curve, so values below the threshold count as zero.
    by_class = np.where(curve >= CLASS_THRESHOLDS[:, None], curve, 0.0)
    by_sentiment = agnostic >= AGNOSTIC_THRESHOLDS[:, None]
    groups = [
        _contrasts(by_class, find_runs(by_class > 0)),
        _contrasts(np.broadcast_to(curve, by_sentiment.shape), find_runs(by_sentiment)),
    ]
    scores, starts, stops = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    # The video's score shifts all proposals of a class equally: it ranks videos, not proposals within one.
    scores, starts, ends = scores + bonus, starts * seconds, stops * seconds
    kept = suppress(starts, ends, scores, NMS_TIOU, NMS_LENGTH_OFFSET)
    rows = zip(scores[kept].tolist(), starts[kept].tolist(), ends[kept].tolist(), strict=True)
    return [Proposal(label, *row) for row in rows]


def find_runs(mask: Bools) -> Runs:
    """Runs of true samples in each row of mask (K, N), row by row.

    A row whose only true sample is its first has none: the benchmark tests "any index not zero".
    """
    mask = mask & mask[:, 1:].any(axis=1, keepdims=True)
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(edges == 1)
    return Runs(row, start, np.nonzero(edges == -1)[1])


def _contrasts(curves: Floats, runs: Runs) -> tuple[Floats, Ints, Ints]:
    """Outer-inner contrast of each run: mean inside minus mean of 3 % of its length on either side."""
    size = curves.shape[1]
    length = runs.stop - runs.start
    margin = OUTER_MARGIN * length
    left = np.maximum(0, np.trunc(runs.start - margin)).astype(np.int64)
    # Quirk: both positions are truncated, which rounds the left margin up and the right one down.
    right = np.minimum(size - 1, np.trunc(runs.stop - 1 + margin)).astype(np.int64) + 1
    sums = _WindowSums(curves, runs.row)
    outer_length = (runs.start - left) + (right - runs.stop)
    outer = (sums.between(left, runs.start) + sums.between(runs.stop, right)) / np.maximum(outer_length, 1)
    return sums.between(runs.start, runs.stop) / length - outer, runs.start, runs.stop


class _WindowSums:
    """Sums over windows of rows of curves (K, N). Equal windows give exactly equal sums, so that ties remain ties."""

    def __init__(self, curves: Floats, row: Ints) -> None:
        self._offset = row * (curves.shape[1] + 1)
        self._flat = np.pad(curves, ((0, 0), (0, 1))).ravel()

    def between(self, start: Ints, stop: Ints) -> Floats:
        """Sums over [start, stop) (N,); an empty window gives 0."""
        if not start.size:
            return np.zeros(0)
        bounds = np.stack([start, stop], axis=1) + self._offset[:, None]
        sums = np.add.reduceat(self._flat, bounds.ravel())[::2]
        return np.where(stop > start, sums, 0.0)
