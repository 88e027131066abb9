"""Turns a detected face into the expression net's input, in training and in serving."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FACE_SIZE = 48
CROP_MARGIN = 1.05


def crop_face(
    image: NDArray[np.uint8], box: tuple[float, float, float, float], margin: float, size: int
) -> NDArray[np.uint8]:
    """Cut a square grey face.

    `image` is RGB `(height, width, 3)` or grey `(height, width)`; `box` is (left, top, right, bottom) in
    pixels and may reach beyond the image. The square is centred on the box, its side is `margin` times the
    box's longer side, and pixels outside the image repeat the border. Returns `(size, size)`. Raises
    ValueError for a box without an area.
    """
    left, top, right, bottom = box
    side = margin * max(right - left, bottom - top)
    if not (right > left and bottom > top and np.isfinite(side)):
        raise ValueError(f"face box without an area: {box}")
    patch = _square(image, (left + right - side) / 2, (top + bottom - side) / 2, side)
    grey = patch if patch.ndim == 2 else cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    shrinks = grey.shape[0] > size
    # Area averages all pixels when shrinking, where linear would skip some and add noise.
    resized = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _square(image: NDArray[np.uint8], left: float, top: float, side: float) -> NDArray[np.uint8]:
    """The square at whole pixels. A huge box costs no more than its own area."""
    pixels = max(round(side), 1)
    x, y = round(left), round(top)
    height, width = image.shape[:2]
    # The usual case: a view of the picture, without a copy.
    if 0 <= x <= width - pixels and 0 <= y <= height - pixels:
        return image[y : y + pixels, x : x + pixels]
    rows = np.clip(np.arange(pixels) + y, 0, height - 1)
    columns = np.clip(np.arange(pixels) + x, 0, width - 1)
    # Rows first, then columns, because indexing by both at once takes three times as long.
    return np.ascontiguousarray(image[rows].take(columns, axis=1))
