"""Makes photographs of faces look drawn: flat tones, ink lines, large eyes, smooth skin. Labels and boxes stay valid.

Equations: ink lines as extended differences of Gaussians, after Winnemöller (2011), "XDoG".
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
_WORKING_SIDE = 112
_EYES = ((0.31, 0.36), (0.69, 0.36))
"""Where the eyes usually are, as shares of a face's box."""


def stylise(rng: Generator, face: Grey, box: NDArray[np.float32] | None = None) -> Grey:
    """A drawn-looking copy (height, width) of a grey photograph; `box` (4,) is its face, the whole picture if None."""
    height, width = face.shape
    # The filters below are in pixels, so a small face is enlarged for them.
    scale = max(1.0, _WORKING_SIDE / max(face.shape))
    large = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    frame = np.array([0, 0, width, height], np.float32) if box is None else box
    if rng.random() < 0.6:
        large = _large_eyes(large, frame * scale, float(rng.uniform(0.1, 0.45)))
    smooth = _stretched(_smoothed(rng, large))
    drawn = _toned(rng, smooth) if rng.random() < 0.7 else smooth.copy()
    if rng.random() < 0.6:
        drawn = drawn * _ink(rng, smooth)
    found = cv2.resize(np.clip(drawn, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(found, np.uint8)


def _large_eyes(image: Any, box: NDArray[np.float32], strength: float) -> Any:
    """Magnify two discs of the face by up to `strength`."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    from_x, from_y = x.copy(), y.copy()
    size = box[2:] - box[:2]
    for share in _EYES:
        centre = box[:2] + size * np.array(share, np.float32)
        right, down = x - centre[0], y - centre[1]
        near = np.clip(1 - (right**2 + down**2) / (0.24 * size[0]) ** 2, 0, None)
        from_x -= strength * near * right
        from_y -= strength * near * down
    return cv2.remap(image, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _smoothed(rng: Generator, image: Any) -> NDArray[np.float32]:
    """Smooth areas between edges, with edges kept."""
    for _ in range(int(rng.integers(1, 4))):
        image = cv2.bilateralFilter(image, 7, float(rng.uniform(15, 45)), 5)
    return np.asarray(image, np.float32)


def _stretched(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Use the whole range, because dark and pale pictures would lose their faces to a single tone."""
    # Percentiles, because single highlights would determine the range.
    dark, bright = np.percentile(image, (2, 98))
    return np.asarray(np.clip((image - dark) / max(24.0, float(bright - dark)), 0, 1) * 255, np.float32)


def _toned(rng: Generator, smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """A few flat tones with soft or hard steps."""
    levels, sharpness = rng.integers(3, 8), rng.uniform(1.5, 8)
    at = smooth / 255 * levels
    step = np.tanh(sharpness * (at - np.floor(at) - 0.5)) / np.tanh(sharpness / 2)
    return np.asarray((np.floor(at) + 0.5 + 0.5 * step) / levels * 255, np.float32)


def _ink(rng: Generator, smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dark lines along edges as factors 0..1."""
    sigma = float(rng.uniform(0.7, 1.6))
    # The paper's k is 1.6 and its p is 15 here.
    fine, coarse = (cv2.GaussianBlur(smooth / 255, (0, 0), s) for s in (sigma, 1.6 * sigma))
    response = (1 + 15) * fine - 15 * coarse
    level = float(rng.uniform(0.4, 0.8)) * cv2.GaussianBlur(smooth / 255, (0, 0), 12)
    factor = np.where(response >= level, 1.0, 1 + np.tanh(float(rng.uniform(4, 12)) * (response - level)))
    return np.asarray(1 - rng.uniform(0.6, 1.0) * (1 - factor), np.float32)
