"""Cuts people out of frames with a plain wall, so that a body can be placed before any background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from recipes.starter.detector.data import Boxes, Grey, as_grey

# Grey values around the corners' median that may be wall at first; light falls off across it.
WALL_SPREAD = 35.0
# The fit is repeated on the pixels that agree with it, within ever smaller limits, so that hair and clothes drop out.
WALL_FIT_LIMITS = (20.0, 10.0, 7.0, 7.0)
# Twice the last limit: what differs from the wall by more is the person.
PERSON_CONTRAST = 14.0
# Every fifth pixel in both directions is enough for six unknowns.
_STEP = 5


def silhouette(frame: Grey, box: Boxes) -> Grey:
    """Opacity (height, width) of the person whose face is at `box`; soft at the edge, without holes."""
    smooth = cv2.GaussianBlur(frame, (0, 0), 1.5).astype(np.float32)
    mask = as_grey(np.where(np.abs(smooth - _wall(smooth)) > PERSON_CONTRAST, 255, 0))
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    middle = (int(centre[0]), int(centre[1]))
    cv2.ellipse(mask, middle, (int(0.5 * size[0]), int(0.55 * size[1])), 0, 0, 360, 255, -1)
    mask = as_grey(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((11, 11), np.uint8)))
    round_brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
    mask = as_grey(cv2.morphologyEx(mask, cv2.MORPH_OPEN, round_brush))
    _, parts = cv2.connectedComponents(mask)
    mask = as_grey(np.where(parts == parts[middle[1], middle[0]], 255, 0))
    return as_grey(cv2.blur(_filled(mask), (3, 3)))


def _wall(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """The wall's brightness (height, width): a quadratic surface, fitted to pixels like the upper corners."""
    height, width = smooth.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) / width - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], -1)
    upper = int(0.7 * height)
    sample, basis = smooth[:upper:_STEP, ::_STEP].ravel(), terms[:upper:_STEP, ::_STEP].reshape(-1, 6)
    corners = np.concatenate([smooth[:60, :30], smooth[:60, -30:]])
    agrees = np.abs(sample - np.median(corners)) < WALL_SPREAD
    surface = np.zeros(6, np.float32)
    for limit in WALL_FIT_LIMITS:
        surface = np.linalg.lstsq(basis[agrees], sample[agrees], rcond=None)[0]
        agrees = np.abs(sample - basis @ surface) < limit
    return np.asarray(terms @ surface, np.float32)


def _filled(mask: Grey) -> Grey:
    """Fill the areas that are not connected to the left, upper or right border."""
    outside = np.pad(mask, ((1, 0), (1, 1)))
    cv2.floodFill(outside, None, (0, 0), 128)
    return as_grey(np.where(outside[1:, 1:-1] == 128, 0, 255))
