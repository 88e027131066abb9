"""Which of a frame's faces is read. Faces are rows (n, 5) of score and box, x1, y1, x2, y2 in the frame's pixels."""

from __future__ import annotations

import numpy as np

from sentiloc.model.extractors.face_boxes import box_iou
from sentiloc.model.segments import FloatArray

SMALLEST_FACE = 16.0
SAME_FACE_WEIGHT = 0.6
SAME_FACE_IOU = 0.2
CANDIDATES = 3
"""Maximum number of boxes per frame that are verified. Further faces are counted only."""
SAME_PLACE = 0.6
"""A box that overlaps a better one by at least this share shows the same face."""
_SUREST = 0.999


def together(scores: FloatArray, chances: FloatArray) -> FloatArray:
    """Combine two independent likelihoods (n,) into one (n,) by adding their log-odds."""
    odds = np.ones(len(scores), np.float32)
    for opinion in (scores, chances):
        # Clipped, because a probability of 1 has infinite odds and would outvote everything.
        held = np.clip(opinion, 1 - _SUREST, _SUREST)
        odds = odds * (held / (1 - held))
    return np.asarray(odds / (1 + odds), np.float32)


def apart(rows: FloatArray) -> FloatArray:
    """Remove boxes that lie within a better one from (n, 5): a mouth or half a face of the same person."""
    rows = rows[np.argsort(-_weight(rows), kind="stable")]
    kept: list[FloatArray] = []
    for row in rows:
        area = float(_area(row[None])[0])
        shared = [
            np.clip(np.minimum(row[3:], k[3:]) - np.maximum(row[1:3], k[1:3]), 0, None).prod() for k in kept
        ]
        if max(shared, default=0.0) < SAME_PLACE * area:
            kept.append(row)
    return np.stack(kept) if kept else rows


def likeliest(rows: FloatArray, most: int = CANDIDATES) -> FloatArray:
    """The at most `most` faces (n, 5) to verify: large and certain ones first."""
    rows = rows[_area(rows) >= SMALLEST_FACE**2]
    return rows[np.argsort(-_weight(rows), kind="stable")[:most]]


def choose_face(rows: FloatArray, previous: FloatArray | None) -> FloatArray | None:
    """The face (5,) of the faces (n, 5) to read, or None if there is none of at least SMALLEST_FACE pixels.

    The weight of a face is its area times the square of its likelihood. The face at the place of the last one (box
    `previous` (4,) in the same pixels) is kept if its weight is at least SAME_FACE_WEIGHT times that of the best.
    """
    chosen = choose_index(rows, previous)
    return None if chosen is None else np.asarray(rows[chosen])


def choose_index(rows: FloatArray, previous: FloatArray | None) -> int | None:
    """The index of the face that `choose_face` returns."""
    weight = np.where(_area(rows) >= SMALLEST_FACE**2, _weight(rows), 0.0)
    if not len(rows) or weight.max() <= 0:
        return None
    if previous is not None:
        overlap = box_iou(rows[:, 1:], previous[None])[:, 0]
        # The person who is followed is replaced by a face that is clearly larger.
        overlap = np.where(weight >= SAME_FACE_WEIGHT * weight.max(), overlap, 0.0)
        if overlap.max() >= SAME_FACE_IOU:
            return int(overlap.argmax())
    return int(weight.argmax())


def _area(rows: FloatArray) -> FloatArray:
    return np.asarray(np.clip(rows[:, 3:] - rows[:, 1:3], 0, None).prod(1), np.float32)


def _weight(rows: FloatArray) -> FloatArray:
    return np.asarray(_area(rows) * np.square(rows[:, 0]), np.float32)
