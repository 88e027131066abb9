"""One labelled video in memory for CTEN, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sentiloc.model.cten.inputs import draw_pictures
from sentiloc.model.segments import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionItem:
    """A video of T segments: visual (T, visual_dim), audio (T, audio_dim), the index of its one emotion.

    `segments` are annotated (start, end) in seconds for evaluation; training never reads them. `choices` (S,
    visual_dim) are the snippets from which training draws the picture of each segment; None: it is always the same.
    """

    name: str
    visual: FloatArray
    audio: FloatArray
    class_index: int
    segment_seconds: float
    segments: tuple[tuple[float, float], ...] = ()
    choices: FloatArray | None = None

    def __post_init__(self) -> None:
        if not len(self.visual) or len(self.visual) != len(self.audio):
            raise ValueError(f"{self.name}: {len(self.visual)} visual and {len(self.audio)} audio segments")


def drawn(item: EmotionItem, rng: np.random.Generator) -> EmotionItem:
    """The item with a random picture for each segment, if it has several to choose from."""
    if item.choices is None:
        return item
    return replace(item, visual=draw_pictures(item.choices, len(item.visual), rng))


class EmotionBatch(NamedTuple):
    """visual and audio (B, T, dim), valid (B, T), classes (B,)."""

    visual: Tensor
    audio: Tensor
    valid: Tensor
    classes: Tensor


def collate(items: Sequence[EmotionItem]) -> EmotionBatch:
    """Pad items to the longest of them."""
    time = max(len(item.visual) for item in items)
    valid = torch.tensor([[step < len(item.visual) for step in range(time)] for item in items])
    classes = torch.tensor([item.class_index for item in items])
    return EmotionBatch(
        _pad([item.visual for item in items], time),
        _pad([item.audio for item in items], time),
        valid,
        classes,
    )


def _pad(arrays: Sequence[FloatArray], time: int) -> Tensor:
    padded = np.zeros((len(arrays), time, arrays[0].shape[1]), np.float32)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded)
