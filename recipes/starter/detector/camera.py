"""Degrade a composed image as light, lens and compression do, and add overlays: subtitles and bars."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from recipes.starter.detector.data import Boxes, Grey, as_grey
from recipes.starter.detector.scenes import write


def finish(rng: Generator, canvas: Grey) -> tuple[Grey, Boxes]:
    """Apply light, camera and compression; add subtitles and letterbox bars.

    Returns the image and its content's box.
    """
    image = _lit(rng, canvas)
    height, width = image.shape
    if rng.random() < 0.35:
        image = as_grey(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)))
    if rng.random() < 0.25:
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        image = as_grey(cv2.resize(half, (width, height)))
    if rng.random() < 0.4:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(1, 12)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 90))])[1]
        image = as_grey(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    # Bars and subtitles come after the camera, so they are sharp.
    bars = np.zeros(4)
    if rng.random() < 0.12:
        bar = rng.uniform(0.05, 0.25)
        bars = np.array([0, bar, 0, bar] if rng.random() < 0.5 else [bar, 0, bar, 0])
    content = np.array([bars[0] * width, bars[1] * height, (1 - bars[2]) * width, (1 - bars[3]) * height])
    x1, y1, x2, y2 = content.astype(int)
    framed = np.full_like(image, int(rng.integers(256)) if rng.random() < 0.3 else 0)
    framed[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    if rng.random() < 0.08:
        # In the lowest fifth, where subtitles are.
        write(rng, framed[int(0.8 * height) :], lines=1, ink=255)
    return framed, content.astype(np.float32)


def _lit(rng: Generator, canvas: Grey) -> Grey:
    table = np.arange(256) / 255.0
    # Log-normal: darker and brighter pictures are equally frequent.
    table = np.clip((table ** np.exp(rng.normal(0, 0.4)) - 0.5) * rng.uniform(0.5, 1.3) + 0.5, 0, 1)
    image = cv2.LUT(canvas, (table * 255 + rng.uniform(-30, 30)).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        corners = rng.uniform(0.35, 1.5, (2, 2)).astype(np.float32)
        ramp = cv2.resize(corners, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
        image = np.clip(image * ramp, 0, 255).astype(np.uint8)
    return np.asarray(image, np.uint8)
