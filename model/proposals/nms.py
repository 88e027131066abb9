"""Non-maximum suppression over temporal proposals. Times in seconds, numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def descending(scores: Floats) -> Indices:
    """Order of scores (N,) from the highest. In a tie the last one comes first, on every machine."""
    return np.argsort(scores, kind="stable")[::-1]


def suppress(starts: Floats, ends: Floats, scores: Floats, max_tiou: float, length_offset: float) -> Indices:
    """Indices of the proposals (N,) that survive, best first.

    A proposal survives when its tIoU with every better survivor is below `max_tiou`. `length_offset` is added
    to each length and intersection before the ratio is taken: 0 is the definition, 1 is what the benchmark uses (pixel
    arithmetic, applied to seconds).
    """
    lengths = ends - starts + length_offset
    order = descending(scores)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        shared = np.minimum(ends[best], ends[rest]) - np.maximum(starts[best], starts[rest]) + length_offset
        shared = np.maximum(shared, 0.0)
        tiou = shared / (lengths[best] + lengths[rest] - shared)
        order = rest[tiou < max_tiou]
    return np.array(kept, dtype=np.intp)


def disjoint(starts: Floats, ends: Floats, scores: Floats) -> Indices:
    """Indices of the proposals (N,) that overlap no better survivor, best first; touching is no overlap."""
    order = descending(scores)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[(ends[rest] <= starts[best]) | (starts[rest] >= ends[best])]
    return np.array(kept, dtype=np.intp)
