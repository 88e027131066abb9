"""Snippets of 16 frames, rendered from still pictures as if filmed: people who talk and move, and scenery."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.i3d.portraits import Picture
from recipes.starter.faces.bank import talk
from sentiloc.worker.features.visual import VISUAL_SIZE

FRAMES = 16
# 25 frames per second, the grid of the features.
FRAME_SECONDS = 0.04
_FACE_SIDE = 160
_OPENINGS = 5
# Shares of close-ups, of people who talk, and of grey snippets.
_CLOSE, _TALKS, _GREYS = 0.35, 0.6, 0.06
Snippet = NDArray[np.uint8]


def film_person(rng: Generator, portrait: Picture, backdrop: Picture | None) -> Snippet:
    """A snippet (16, 224, 224, 3) of a portrait: a full close-up, or a smaller face before `backdrop`.

    Size, position, rotation and light drift slowly, as when somebody moves before a camera. Most mouths talk.
    """
    size = (_FACE_SIDE, _FACE_SIDE)
    face = np.asarray(cv2.resize(portrait, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    mouths = _mouths(rng, face)
    close = backdrop is None or rng.random() < _CLOSE
    ground = _blurred(face) if close or backdrop is None else _cut(rng, backdrop)
    # The face's side as a share of the frame's.
    grown = rng.uniform(0.85, 1.5) if close else rng.uniform(0.25, 0.8)
    path = _Path(rng, grown * VISUAL_SIZE, reach=0.1 if close else 0.3)
    mask = _feather(_FACE_SIDE)
    frames = []
    for number in range(FRAMES):
        matrix, light = path.at(number * FRAME_SECONDS, _FACE_SIDE)
        opening = mouths[int(rng.integers(len(mouths)))] if number % 3 == 0 else mouths[number % len(mouths)]
        frames.append(_paste(ground, opening, mask, matrix, light))
    return _spoil(rng, np.stack(frames))


def film_scenery(rng: Generator, picture: Picture) -> Snippet:
    """A snippet (16, 224, 224, 3) of a picture: still, or a camera that pans, zooms or shakes."""
    still = rng.random() < 0.3
    height, width = picture.shape[:2]
    scale = VISUAL_SIZE / min(height, width) * rng.uniform(1.0, 1.8)
    start, end = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 2)
    zoom, shake = rng.normal(0, 0.08), rng.exponential(0.4)
    frames = []
    for number in range(FRAMES):
        moved = 0.0 if still else number / (FRAMES - 1)
        grown = scale * (1 + zoom * moved)
        room = np.maximum(np.array([width, height]) * grown - VISUAL_SIZE, 0) / 2
        centre = np.array([width, height]) * grown / 2 + (start + 0.25 * (end - start) * moved) * room
        if not still:
            centre = centre + rng.normal(0, shake, 2)
        corner = centre - VISUAL_SIZE / 2
        matrix = np.array([[grown, 0, -corner[0]], [0, grown, -corner[1]]])
        frames.append(_warp(picture, matrix))
    return _spoil(rng, np.stack(frames))


class _Path:
    """Position, size, rotation and light of a face over time, as slow sums of sines."""

    def __init__(self, rng: Generator, size: float, reach: float) -> None:
        self._size = size
        self._centre = VISUAL_SIZE * (0.5 + rng.uniform(-reach, reach, 2))
        self._rates, self._phases = rng.uniform(0.5, 6, 5), rng.uniform(0, 2 * np.pi, 5)
        self._swing = rng.exponential(1.0) * np.array([6.0, 4.0, 0.03, 3.0, 0.1])
        self._turn = rng.normal(0, 6)

    def at(self, time: float, side: int) -> tuple[NDArray[np.float64], float]:
        """Matrix from the face's square to the frame, and gain, at a time in seconds."""
        x, y, zoom, turn, light = self._swing * np.sin(self._rates * time + self._phases)
        scale = self._size * (1 + zoom) / side
        matrix = np.asarray(
            cv2.getRotationMatrix2D((side / 2, side / 2), self._turn + turn, scale), np.float64
        )
        matrix[:, 2] += self._centre + np.array([x, y]) - side / 2
        return matrix, float(1 + light)


def _mouths(rng: Generator, face: Picture) -> list[Picture]:
    """The face with its mouth at several openings; a silent face is returned twice unchanged."""
    if rng.random() >= _TALKS:
        return [face, face]
    return [np.asarray(talk(face, o), np.uint8) for o in np.linspace(0, rng.uniform(0.2, 0.8), _OPENINGS)]


def _paste(
    ground: Picture, face: Picture, mask: Picture, matrix: NDArray[np.float64], light: float
) -> Picture:
    size = (VISUAL_SIZE, VISUAL_SIZE)
    placed = cv2.warpAffine(cv2.convertScaleAbs(face, alpha=light), matrix, size)
    share = cv2.warpAffine(mask, matrix, size)
    mixed = cv2.add(
        cv2.multiply(placed, share, scale=1 / 255), cv2.multiply(ground, 255 - share, scale=1 / 255)
    )
    return np.asarray(mixed, np.uint8)


def _cut(rng: Generator, picture: Picture) -> Picture:
    """A square part of a picture (224, 224, 3), often out of focus."""
    height, width = picture.shape[:2]
    side = int(min(height, width) * rng.uniform(0.5, 1.0))
    y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    cut = cv2.resize(picture[y : y + side, x : x + side], (VISUAL_SIZE, VISUAL_SIZE))
    blur = rng.uniform(0, 6)
    return np.asarray(cv2.GaussianBlur(cut, (0, 0), blur) if blur > 1 else cut, np.uint8)


def _blurred(face: Picture) -> Picture:
    """The surroundings of a close-up: the picture itself, strongly blurred."""
    return np.asarray(cv2.GaussianBlur(cv2.resize(face, (VISUAL_SIZE, VISUAL_SIZE)), (0, 0), 24), np.uint8)


def _feather(side: int) -> Picture:
    """A rounded square (side, side, 3) of 255 that falls to 0 at its border."""
    # The sixth power makes the circle of the second power a rounded square.
    axis = np.abs(np.linspace(-1, 1, side)) ** 6
    inside = np.clip((1 - (axis[:, None] + axis[None, :])) * 3, 0, 1)
    return np.asarray(np.repeat((inside * 255)[..., None], 3, 2), np.uint8)


def _warp(picture: Picture, matrix: NDArray[np.float64]) -> Picture:
    size = (VISUAL_SIZE, VISUAL_SIZE)
    return np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _spoil(rng: Generator, frames: Snippet) -> Snippet:
    """Simulate camera and codec: gain, colour, blur, grain, JPEG; sometimes grey."""
    gain, tint = rng.uniform(0.6, 1.25), rng.uniform(0.9, 1.1, 3)
    blur, grain, quality = rng.exponential(0.5), rng.exponential(3.0), int(rng.integers(30, 96))
    grey = rng.random() < _GREYS
    return np.stack([_spoiled(rng, frame, gain * tint, blur, grain, quality, grey) for frame in frames])


def _spoiled(
    rng: Generator,
    frame: Picture,
    gain: NDArray[np.float64],
    blur: float,
    grain: float,
    quality: int,
    grey: bool,
) -> Picture:
    image = frame.astype(np.float32) * gain.astype(np.float32)
    image += rng.normal(0, grain, (*frame.shape[:2], 1)).astype(np.float32)
    if blur > 0.5:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.float32)
    if grey:
        image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    # OpenCV encodes BGR.
    coded = cv2.imencode(
        ".jpg", image.clip(0, 255).astype(np.uint8)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return np.asarray(cv2.imdecode(coded[1], cv2.IMREAD_COLOR_RGB), np.uint8)
