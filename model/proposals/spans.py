"""Runs of a curve above thresholds and their contrast, from which proposals of CTEN and GIM are made.

Frames are counted from 0; a run is [start, stop). Numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Runs(NamedTuple):
    """First frame and frame after the last of each run, each (N,)."""

    start: Ints
    stop: Ints


def threshold_runs(curve: Floats, thresholds: Sequence[float]) -> Runs:
    """Maximal runs of a curve (T,) that is higher than a threshold, for each threshold; equal runs once."""
    above = np.asarray(curve)[None, :] > np.asarray(thresholds, dtype=np.float64)[:, None]
    edges = np.diff(np.pad(above, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    pairs = np.stack([np.nonzero(edges == 1)[1], np.nonzero(edges == -1)[1]], axis=1)
    unique = np.unique(pairs, axis=0).astype(np.int64).reshape(-1, 2)
    return Runs(unique[:, 0], unique[:, 1])


def outer_inner_contrast(curve: Floats, runs: Runs, least_margin: int = 0) -> Floats:
    """GIM's equations 15 and 16: mean inside minus the sum of L/4 frames on either side divided by L/2, (N,).

    Frames beyond the video count as 0, as in the printed sum; fractions of a frame are not counted.
    With few long segments instead of many frames, `least_margin` must be 1. Otherwise a run shorter than four has no
    surroundings, and each peak scores higher than the run that contains it.
    """
    total = np.concatenate([[0.0], np.cumsum(np.asarray(curve, dtype=np.float64))])
    length = runs.stop - runs.start
    margin = np.maximum(length // 4, least_margin)
    left, right = np.maximum(runs.start - margin, 0), np.minimum(runs.stop + margin, len(total) - 1)
    inside = (total[runs.stop] - total[runs.start]) / length
    outside = total[runs.start] - total[left] + total[right] - total[runs.stop]
    contrast: Floats = inside - outside / (2 * margin if least_margin else length / 2)
    return contrast
