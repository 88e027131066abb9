"""A planted task that pictures solve: dark streaks fall in negative stretches, bright discs rise in positive.

Snippets are drawn, I3D sees them, and videos are strung together from what it saw: a bank of shots for training and
another for judging. Nothing of it looks like a film, and there is neither sound nor a face.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE, SERVING_FRAME_RATE, SNIPPET_FRAMES

SIZE, SHOT_SNIPPETS = 224, 3
STEP = SNIPPET_FRAMES / SERVING_FRAME_RATE
Snippets = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bank:
    """What I3D saw of shots: visual (shots, SHOT_SNIPPETS, dim), and the class of each shot."""

    visual: Floats
    classes: tuple[int, ...]


def shot_classes(count: int) -> tuple[int, ...]:
    """Half of the shots show nothing, a quarter each class."""
    return tuple((NON_SENTIMENT, NEGATIVE, NON_SENTIMENT, POSITIVE)[index % 4] for index in range(count))


def draw_shot(shown: int, rng: Generator) -> Snippets:
    """One shot (SHOT_SNIPPETS, 16, 224, 224, 3): blobs drift before a coloured texture, and what its class adds."""
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
    """Something that moves straight on and comes in again on the other side."""

    def __init__(self, rng: Generator, speed: float, radius: tuple[int, int]) -> None:
        self._start, self._step = rng.uniform(0, SIZE, 2), rng.normal(0, speed, 2)
        self.radius = int(rng.integers(*radius))
        self.colour = tuple(rng.uniform(0, 255, 3).tolist())
        self.fall = float(rng.uniform(2, 6))

    def at(self, index: int, down: float = 0.0) -> tuple[int, int]:
        """Centre in picture `index`; `down` pixels a picture are added."""
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


def string_video(name: str, bank: Bank, rng: Generator) -> Item:
    """About a minute of shots: stretches with and without sentiment in turn, each of two to five shots."""
    shots, segments, points = list[int](), list[SegmentLabel](), list[PointLabel]()
    by_class = {
        shown: [index for index, known in enumerate(bank.classes) if known == shown] for shown in range(3)
    }
    for turn in range(9):
        shown = int(rng.integers(2)) if turn % 2 else NON_SENTIMENT
        first = len(shots) * SHOT_SNIPPETS
        shots += rng.choice(by_class[shown], rng.integers(2, 6)).tolist()
        end = len(shots) * SHOT_SNIPPETS
        if shown != NON_SENTIMENT:
            segments.append(SegmentLabel(first * STEP, end * STEP, shown))
            points.append(PointLabel(int(rng.integers(first, end)), shown))
    return Item(
        name=name,
        features=only_pictures(np.concatenate(bank.visual[shots])),
        fps=SERVING_FRAME_RATE,
        points=tuple(points),
        segments=tuple(segments),
    )


def only_pictures(visual: Floats) -> SnippetFeatures:
    """Features (T, dim) of a video without sound and faces."""
    everywhere = np.ones(len(visual), np.bool_)
    return SnippetFeatures(
        visual=visual,
        audio=None,
        face=None,
        visual_present=everywhere,
        audio_present=~everywhere,
        face_present=~everywhere,
    )


def string_videos(bank: Bank, count: int, seed: int) -> list[Item]:
    """`count` videos; the same shots and labels for the same seed, whatever the bank saw."""
    return [
        string_video(f"{seed}-{index}", bank, np.random.default_rng((seed, index))) for index in range(count)
    ]
