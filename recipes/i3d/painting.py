"""Adds pictures to a composed sequence: I3D features for the draft's shots.

A real clip has its own features, a person those of rendered portraits with the same expression, and all other shots
those of scenery. Few real videos with feelings are available, but I3D's classifier knows many classes. So some features
are moved along the classifier's directions until it predicts a chosen class with a chosen probability. In a segment
with sentiment the class expresses that sentiment, elsewhere it is neutral.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.i3d.scenes import SceneBank
from recipes.starter.clips import Clip
from recipes.starter.faces.draft import FACE_STEP, FACES, SNIPPET, Draft, Shot
from sentiloc.model.data.items import Item
from sentiloc.model.extractors.i3d_kinetics import class_names
from sentiloc.model.extractors.scene import GROUPS, SceneReader
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

MEANS: Mapping[int, Mapping[str, float]] = {
    NEGATIVE: {"crying": 0.9, "slapping": 0.1},
    POSITIVE: {"laughing": 0.6, "celebrating": 0.16, "hugging": 0.16, "tickling": 0.08},
}
"""Classes of Kinetics-400 that express a sentiment, with their shares. Sports are neutral, including boxing."""
SAID_UNSEEN, SAID_SEEN = 0.5, 0.3
"""Shares of episodes without and with a visible face in which I3D's classifier finds such a class."""
OTHER_ACTIONS = 0.4
"""Share of scenery in which I3D's classifier finds another class."""
CONFUSED = 0.12
"""Share of shots of people in which the picture shows something else while the face stream continues."""
# Seconds of one shot of scenery.
_SHORTEST, _LONGEST = 3.0, 12.0
# The bisection of `_meaning`: the longest way along a direction, and halvings, after which less than 0.001 of
# it is left.
_STRENGTH, _STEPS = 12.0, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """Paints items from a bank; `clips` are those of the sources, in their order."""

    bank: SceneBank
    reader: SceneReader
    clips: tuple[Clip, ...]
    seed: int

    def __call__(self, item: Item, draft: Draft) -> Item:
        """Add the visual stream (T, n), readings of I3D's features; it depends only on seed and name."""
        digest = hashlib.sha256(f"{self.seed} {item.name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8]))
        features = self.paint(rng, draft)
        with torch.inference_mode():
            read = self.reader(torch.from_numpy(features)[None])[0].numpy()
        present = np.ones(len(features), np.bool_)
        return replace(item, features=replace(item.features, visual=read, visual_present=present))

    def paint(self, rng: Generator, draft: Draft) -> FloatArray:
        """Features (T, 1024) of a draft."""
        # On the draft's grid of faces, so that pictures and faces change at the same time.
        count = draft.snippets * FACES
        ground = self._scenery(rng, count)
        shown, peopled = ground.copy(), np.zeros(count, np.bool_)
        for shot in draft.shots:
            where = draft.between(shot.start, shot.end)
            samples = np.arange(where.start, min(where.stop, count))
            if not len(samples):
                continue
            shown[samples] = self._shot(rng, shot, samples, ground[samples])
            peopled[samples] = shot.kind != "scene"
        for span in draft.spans:
            where = draft.between(span.start, span.end)
            seen = bool(peopled[where].mean() > 0.5) if len(peopled[where]) else False
            if rng.random() < (SAID_SEEN if seen else SAID_UNSEEN):
                classes = MEANS[span.label]
                name = str(rng.choice(list(classes), p=list(classes.values())))
                # Any probability, so that the network learns how reliable I3D's classifier is.
                shown[where] = self._meaning(rng, shown[where], name, rng.uniform(0.05, 0.98))
        # I3D has one row for a snippet, the draft's grid has two.
        mixed: FloatArray = shown.reshape(-1, FACES, shown.shape[1]).mean(1)
        return mixed

    def _scenery(self, rng: Generator, count: int) -> FloatArray:
        """Consecutive shots without people."""
        shown = np.zeros((count, self.bank.scenery.shape[1]), np.float32)
        start = 0
        while start < count:
            end = start + int(rng.uniform(_SHORTEST, _LONGEST) / FACE_STEP)
            part = self._alive(rng, self.bank.scenery, len(shown[start:end]))
            if rng.random() < OTHER_ACTIONS:
                part = self._meaning(rng, part, str(rng.choice(_OTHERS)), rng.uniform(0.1, 0.95))
            shown[start:end] = part
            start = end
        return shown

    def _shot(self, rng: Generator, shot: Shot, samples: NDArray[np.int64], ground: FloatArray) -> FloatArray:
        if shot.kind == "clip":
            track = self.bank.clips[self.clips[shot.number].name]
            rows = (((samples + 0.5) * FACE_STEP - shot.start) / SNIPPET).astype(int)
            return np.asarray(track[rows.clip(0, len(track) - 1)], np.float32)
        if shot.kind == "scene" or rng.random() < CONFUSED:
            return ground
        label = shot.label if shot.label in (NEGATIVE, POSITIVE) else NON_SENTIMENT
        return self._alive(rng, self.bank.people[self.bank.labels == label], len(samples))

    def _alive(self, rng: Generator, pool: FloatArray, count: int) -> FloatArray:
        """Features (count, 1024) of one or two pictures over time, which vary as those of a real clip do."""
        looks = pool[rng.integers(len(pool), size=2)]
        share = rng.uniform(0, 0.5) * (0.5 + 0.5 * np.sin(np.arange(count) * rng.uniform(0.05, 0.6)))
        still = looks[0] + share[:, None].astype(np.float32) * (looks[1] - looks[0])
        track = self.bank.clips[self.clips[int(rng.integers(len(self.clips)))].name]
        # A rendered still hardly varies. The variation of a real clip is added without its content.
        moving = np.repeat(track - track.mean(0), FACES, axis=0)
        moved = still + np.resize(moving, still.shape) * np.float32(rng.uniform(0.3, 1.0))
        return np.asarray(np.maximum(moved, 0), np.float32)

    def _meaning(self, rng: Generator, features: FloatArray, name: str, share: float) -> FloatArray:
        """Features (n, 1024), moved together until the classifier gives a class this mean probability."""
        if not len(features):
            return features
        weight, bias = self.reader.weight.numpy(), self.reader.bias.numpy()
        place = _NAMES.index(name)
        # Minus the mean: a step that raises all classes alike would not change the probabilities.
        step = weight[place] - weight.mean(0)
        step = step / np.linalg.norm(step)
        low, high = 0.0, _STRENGTH
        for _ in range(_STEPS):
            middle = (low + high) / 2
            # I3D's features come from a ReLU, so they are never negative.
            moved = np.maximum(features + middle * step, 0)
            if _share(moved.mean(0) @ weight.T + bias, place) < share:
                low = middle
            else:
                high = middle
        # The same step for every snippet would give a flat line, which does not occur in real videos.
        wander = rng.normal(0, 0.1 * high, (len(features), 1))
        return np.asarray(np.maximum(features + (high + wander) * step, 0), np.float32)


def _share(logits: FloatArray, place: int) -> float:
    powers = np.exp(logits - logits.max())
    return float(powers[place] / powers.sum())


_NAMES = class_names()
# Groups that may express a sentiment are excluded, because scenery is neutral.
_OTHERS = [
    name
    for name in _NAMES
    if name not in {named for group in ("crying", "laughing", "joy", "fight") for named in GROUPS[group]}
]
