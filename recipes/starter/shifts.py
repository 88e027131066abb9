"""Shifts whole sequences in embedding space, so that training people look and sound like unknown people.

The extractors were trained on these people, so the embedding of their resting face and voice matches the label.
Embeddings of unknown people have an offset that is nearly constant over time. A shift of the whole sequence adds such
an offset and keeps all changes over time, so the network learns to compare a person with their own mean
(`FSENetConfig.centred`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sentiloc.model.data.items import Item
from sentiloc.model.segments import BoolArray, FloatArray

SHIFTED = {"face": 0.5, "audio": 0.3, "visual": 0.3}
KEPT = "everyday"
"""Everyday sequences are not shifted, because things that are no face and no voice must stay recognizable."""
LARGEST = 1.0
LEAST_SNIPPETS = 25
"""Shorter sequences are not shifted, because they show one sentiment throughout, so their mean is not neutral."""
# Snippets: about four seconds.
_STRETCH = 6


def shift_items(items: Sequence[Item], *, seed: int) -> list[Item]:
    """Items; in shares `SHIFTED` of them the faces, the embedded voices and the pictures (T, n) are shifted.

    A shift is the difference of short glimpses of two other items, times a factor of up to `LARGEST`.
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
    """Mean of up to `_STRETCH` consecutive present snippets; zeros if none is present."""
    held = np.flatnonzero(present)
    if not len(held):
        return np.zeros(features.shape[1], np.float32)
    first = int(rng.integers(max(len(held) - _STRETCH, 0) + 1))
    mean: FloatArray = features[held[first : first + _STRETCH]].mean(0, dtype=np.float32)
    return mean
