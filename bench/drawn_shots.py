"""Drawn snippets: dark streaks fall in negative shots, bright discs rise in positive ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, SNIPPET_FRAMES

SIZE, SHOT_SNIPPETS = 224, 3
Snippets = NDArray[np.uint8]
Floats = NDArray[np.float32]


def draw_shot(shown: int, rng: Generator) -> Snippets:
    """One shot (SHOT_SNIPPETS, 16, 224, 224, 3): blobs drift over a coloured texture, with the objects of its class."""
    room, frames = _room(rng), SHOT_SNIPPETS * SNIPPET_FRAMES
    blobs = [_Mover(rng, speed=0.3, radius=(8, 30)) for _ in range(5)]
    marks = [_Mover(rng, speed=3.0, radius=(2, 6)) for _ in range(rng.integers(6, 30))]
    pictures = np.empty((frames, SIZE, SIZE, 3), np.uint8)
    for index in range(frames):
        picture = room.copy()
        for blob in blobs:
            cv2.circle(picture, blob.at(index), blob.radius, blob.colour, -1)
        for mark in marks if shown != NON_SENTIMENT else ():
            _mark(picture, mark, index, shown)
        grain = rng.integers(-8, 9, (SIZE, SIZE, 1), dtype=np.int16)
        pictures[index] = np.clip(picture + grain, 0, 255)
    return pictures.reshape(SHOT_SNIPPETS, SNIPPET_FRAMES, SIZE, SIZE, 3)


class _Mover:
    """An object that moves in a straight line and returns on the other side."""

    def __init__(self, rng: Generator, speed: float, radius: tuple[int, int]) -> None:
        self._start, self._step = rng.uniform(0, SIZE, 2), rng.normal(0, speed, 2)
        self.radius = int(rng.integers(*radius))
        self.colour = tuple(rng.uniform(0, 255, 3).tolist())
        self.fall = float(rng.uniform(2, 6))

    def at(self, index: int, down: float = 0.0) -> tuple[int, int]:
        """Centre in picture `index`; `down` is an extra speed in pixels per picture."""
        x, y = (self._start + index * (self._step + np.array([0.0, down]))) % SIZE
        return int(x), int(y)


def _mark(picture: NDArray[np.float32], mark: _Mover, index: int, shown: int) -> None:
    if shown == NEGATIVE:
        x, y = mark.at(index, mark.fall)
        cv2.line(picture, (x, y), (x + mark.radius, y + 6 * mark.radius), (25, 25, 35), 2)
    else:
        cv2.circle(picture, mark.at(index, -mark.fall / 3), 2 * mark.radius, (250, 235, 180), -1)


def _room(rng: Generator) -> Floats:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    room = np.zeros((SIZE, SIZE, 3)) + rng.uniform(60, 180, 3)
    for _ in range(4):
        across, down = rng.normal(0, 4, 2)
        wave = np.cos(2 * np.pi * (across * columns + down * rows + rng.random()))
        room += wave[..., None] * rng.uniform(-25, 25, 3)
    return room.astype(np.float32)
