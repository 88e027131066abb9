"""Opacities and warps with which pictures are pasted: ovals, soft edges, tilts. Images are (height, width) bytes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from recipes.starter.detector.data import Boxes, Grey, as_grey


def oval(image: Grey, centre: tuple[float, float], axes: tuple[float, float], grey: int) -> None:
    """Fill an ellipse of one grey value, in place."""
    middle, radii = tuple(round(float(v)) for v in centre), tuple(max(1, round(float(v))) for v in axes)
    cv2.ellipse(image, middle, radii, 0, 0, 360, grey, -1, cv2.LINE_AA)


def head(rng: Generator, shape: tuple[int, ...], box: Boxes) -> Grey:
    """Opacity of an oval around the face, feathered."""
    drawn = np.zeros(shape, np.uint8)
    size = (box[2:] - box[:2]) * rng.uniform(0.48, 0.62)
    centre = (box[:2] + box[2:]) / 2
    oval(drawn, (centre[0], centre[1]), (size[0], size[1]), 255)
    return softened(drawn, rng.uniform(0.02, 0.2) * float(box[2] - box[0]))


def warp(image: Grey, matrix: Any, shape: tuple[int, ...], border: int = cv2.BORDER_CONSTANT) -> Grey:
    """The image under a matrix (2, 3), in a picture of `shape`."""
    return as_grey(cv2.warpAffine(image, matrix, shape[::-1], borderMode=border))


def softened(opacity: Grey, width: float) -> Grey:
    """Turn hard edges into ramps of width `width`."""
    # Odd sizes, because an even one would move the mask by half a pixel.
    return as_grey(cv2.blur(opacity, (round(width) | 1, round(width) | 1)))


def mask(rng: Generator, shape: tuple[int, ...], box: Boxes) -> Grey:
    """An oval, a soft square or a hard square."""
    kind = rng.random()
    if kind < 0.45:
        return head(rng, shape, box)
    if kind < 0.7:
        soft = np.zeros(shape, np.uint8)
        rim = shape[0] // 12
        soft[rim:-rim, rim:-rim] = 255
        return softened(soft, rim)
    return np.full(shape, 255, np.uint8)


def tilted(rng: Generator, picture: Grey, opacity: Grey, box: Boxes) -> tuple[Grey, Grey]:
    """Turn a drawn head about its middle, further than people tilt theirs."""
    middle = (box[:2] + box[2:]) / 2
    turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), float(rng.normal(0, 22)), 1.0)
    return warp(picture, turn, picture.shape, cv2.BORDER_REPLICATE), warp(opacity, turn, picture.shape)


def blend(under: Grey, over: Grey, opacity: Grey) -> Grey:
    """`over` on `under`, by its opacity in 0..255."""
    weight = opacity.astype(np.float32) / 255
    return (under + weight * (over.astype(np.float32) - under)).astype(np.uint8)
