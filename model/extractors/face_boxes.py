"""Face boxes, NumPy only; shared by the detector, its validation and its users."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_BLOCK = 64
"""The number of boxes that are compared with all worse ones at a time."""


def box_iou(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union (n, m) of boxes (n, 4) and others (m, 4), each x1, y1, x2, y2."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(-1) for b in (boxes, others)]
    union = areas[0][:, None] + areas[1][None, :] - overlap
    # Two boxes without an area have no union; their overlap counts as 0 rather than NaN.
    return np.asarray(overlap / np.maximum(union, 1e-9), np.float32)


def suppress(detections: FloatArray, threshold: float, max_iou: float) -> FloatArray:
    """Non-maximum suppression: of (A, 5) rows score, x1, y1, x2, y2, those at or above `threshold`, best first.

    A box that overlaps a better one by more than `max_iou` is dropped. Returns (n, 5).
    """
    rows = detections[detections[:, 0] >= threshold]
    if len(rows) < 2:
        return rows.copy()
    # Stable: equal scores keep the network's order, so a repeated run keeps the same boxes.
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    kept: list[FloatArray] = []
    while len(rows):
        # In blocks: a call per box takes longer than the overlaps themselves, and all pairs at once may need too much
        # memory.
        best, rest = rows[:_BLOCK], rows[_BLOCK:]
        apart = box_iou(best[:, 1:], rows[:, 1:]) <= max_iou
        free = np.ones(len(rows), np.bool_)
        for index, row in enumerate(best):
            if free[index]:
                kept.append(row)
                free &= apart[index]
        rows = rest[free[_BLOCK:]]
    return np.stack(kept)


def match_faces(found: FloatArray, reference: FloatArray, min_iou: float = 0.5) -> NDArray[np.intp]:
    """For each of `found` (n, 4), best first, the index of the reference box (m, 4) that it hits, or -1.

    A reference box is hit once.
    """
    overlap = box_iou(found, reference) if len(found) and len(reference) else np.zeros((len(found), 0))
    hits = np.full(len(found), -1, np.intp)
    for index, row in enumerate(overlap):
        # Greedy in order of score, as detection benchmarks count; the best total match could differ.
        free = np.where(np.isin(np.arange(len(reference)), hits), 0.0, row)
        if free.size and free.max() >= min_iou:
            hits[index] = free.argmax()
    return hits
