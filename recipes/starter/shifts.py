"""Whole sequences moved in embedding space, so that training people look and sound like people never met.

The extractors know the training people: their resting face and voice lie where the label says. A stranger's do not,
but differ by much the same amount all the time. Moving a sequence as a whole keeps what changes within it and spoils
what does not, so the network learns to judge somebody against their own mean (`FSENetConfig.centred`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sentiloc.model.data.items import Item
from sentiloc.model.segments import BoolArray, FloatArray

SHIFTED = {"face": 0.5, "audio": 0.3, "visual": 0.3}
KEPT = "everyday"
"""Everyday sequences stay: what is no face and no voice must remain recognisable as such."""
LARGEST = 1.0
LEAST_SNIPPETS = 25
"""Shorter sequences stay: who shows one thing all the time can only be judged by what it looks like."""
_STRETCH = 6


def shift_items(items: Sequence[Item], *, seed: int) -> list[Item]:
    """Items of which shares `SHIFTED` have their faces, their embedded voices and their pictures (T, n) moved.

    A step leads from what one other item shows for a few seconds to what another shows, times up to `LARGEST`.
    """
    return [_shifted(item, items, np.random.default_rng((seed, n))) for n, item in enumerate(items)]


def _shifted(item: Item, items: Sequence[Item], rng: np.random.Generator) -> Item:
    features = item.features
    if len(features) < LEAST_SNIPPETS or item.name.startswith(KEPT):
        return item
    face, audio = (_moved(rng, item, items, name) for name in ("face", "audio"))
    visual = None if features.visual is None else _moved(rng, item, items, "visual")
    return replace(item, features=replace(features, visual=visual, face=face, audio=audio))


def _moved(rng: np.random.Generator, item: Item, items: Sequence[Item], name: str) -> FloatArray:
    own: FloatArray = getattr(item.features, name)
    if rng.random() >= SHIFTED[name]:
        return own
    return np.asarray(own + _step(rng, items, name), np.float32)


def _step(rng: np.random.Generator, items: Sequence[Item], name: str) -> FloatArray:
    start, end = (
        _glimpse(rng, getattr(items[i].features, name), getattr(items[i].features, f"{name}_present"))
        for i in rng.integers(0, len(items), 2)
    )
    step: FloatArray = (end - start) * np.float32(rng.uniform(0, LARGEST))
    return step


def _glimpse(rng: np.random.Generator, features: FloatArray, present: BoolArray) -> FloatArray:
    """Mean of up to `_STRETCH` present snippets in a row; zeros where nothing is present."""
    held = np.flatnonzero(present)
    if not len(held):
        return np.zeros(features.shape[1], np.float32)
    first = int(rng.integers(max(len(held) - _STRETCH, 0) + 1))
    mean: FloatArray = features[held[first : first + _STRETCH]].mean(0, dtype=np.float32)
    return mean
