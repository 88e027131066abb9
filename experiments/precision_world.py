"""A synthetic visual task: dark streaks fall in negative segments, bright discs rise in positive ones.

Shots are drawn and encoded by I3D, and videos are joined from their features. Training and test use different shots.
The pictures do not resemble real video, and there is no sound and no face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from bench.drawn_shots import SHOT_SNIPPETS as SHOT_SNIPPETS
from bench.drawn_shots import Floats as Floats
from bench.drawn_shots import Snippets as Snippets
from bench.drawn_shots import draw_shot as draw_shot
from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.segments import SnippetFeatures
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE, SERVING_FRAME_RATE, SNIPPET_FRAMES

STEP = SNIPPET_FRAMES / SERVING_FRAME_RATE


@dataclass(frozen=True, slots=True)
class Bank:
    """I3D features of shots (shots, SHOT_SNIPPETS, dim), and the class of each shot."""

    visual: Floats
    classes: tuple[int, ...]


def shot_classes(count: int) -> tuple[int, ...]:
    """Half of the shots have no sentiment, and a quarter has each of the two classes."""
    return tuple((NON_SENTIMENT, NEGATIVE, NON_SENTIMENT, POSITIVE)[index % 4] for index in range(count))


def string_video(name: str, bank: Bank, rng: Generator) -> Item:
    """About a minute of shots: alternating segments with and without sentiment, each of two to five shots."""
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
    """Make `count` videos. The same seed gives the same shots and labels, whatever the features in the bank."""
    return [
        string_video(f"{seed}-{index}", bank, np.random.default_rng((seed, index))) for index in range(count)
    ]
