"""Turns items into padded batches. The order depends only on (seed, epoch), so a resumed run repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sentiloc.model.data.feature_store import rows_fit
from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.losses import Labels, Supervision
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.segments import SnippetFeatures

# Large enough to find videos of similar length, small enough to mix them differently in each epoch.
_POOL_BATCHES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded inputs, masks (B, T) and labels. A stream that the network does not use is None."""

    streams: dict[str, Tensor | None]
    present: dict[str, Tensor]
    valid: Tensor
    labels: Labels

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        labels = Labels(
            points=self.labels.points.to(device),
            video_classes=self.labels.video_classes.to(device),
            frames=_optional(self.labels.frames, device),
            used=_optional(self.labels.used, device),
        )
        return Batch(
            streams={name: _optional(x, device) for name, x in self.streams.items()},
            present={name: mask.to(device) for name, mask in self.present.items()},
            valid=self.valid.to(device),
            labels=labels,
        )

    def part(self, rows: Sequence[int], *, counted: bool = True) -> Batch:
        """Some videos of the batch with the same padding. If not `counted`, no loss uses any of their steps."""
        index = torch.tensor(list(rows))
        used = self.labels.used
        if not counted:
            used = torch.zeros_like(self.valid)
        labels = Labels(
            points=self.labels.points[index],
            video_classes=self.labels.video_classes[index],
            frames=_rows(self.labels.frames, index),
            used=_rows(used, index),
        )
        return Batch(
            streams={name: _rows(x, index) for name, x in self.streams.items()},
            present={name: mask[index] for name, mask in self.present.items()},
            valid=self.valid[index],
            labels=labels,
        )

    def inputs(self) -> dict[str, Tensor | None]:
        """Keyword arguments of `FSENet.forward`; no padding in the batch means no mask, which is faster."""
        masks = {f"{name}_present": mask for name, mask in self.present.items()}
        return {**self.streams, **masks, "valid": None if bool(self.valid.all()) else self.valid}

    def without_streams(self, probability: float, generator: torch.Generator) -> Batch:
        """Mask whole streams of single videos, each with this probability, but never all streams of a video."""
        names = [name for name, x in self.streams.items() if x is not None]
        draw = torch.rand(len(self.valid), len(names), generator=generator).to(self.valid.device)
        held = torch.stack([(self.present[name] & self.valid).any(1) for name in names], dim=1)
        # A video without any stream would only teach noise, so one of its present streams is kept.
        spared = torch.where(held, draw, -1.0).argmax(1, keepdim=True)
        hidden = (draw < probability).scatter(1, spared, False)
        present = {name: self.present[name] & ~hidden[:, index, None] for index, name in enumerate(names)}
        return replace(self, present={**self.present, **present})


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int, *, bucket: bool
) -> list[list[int]]:
    """Item indices per batch, shuffled; with `bucket`, videos of similar length share a batch."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    if bucket:
        pool = _POOL_BATCHES * batch_size
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        # Sort within pools of a few batches: little padding, but a different grouping in each epoch.
        order = np.concatenate(
            [part[np.argsort([lengths[i] for i in part], kind="stable")] for part in pools]
        )
    batches = [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]
    # Shuffled, because otherwise each pool would go from the shortest videos to the longest.
    return [batches[index] for index in rng.permutation(len(batches))]


def collate(items: Sequence[Item], config: FSENetConfig, supervision: Supervision) -> Batch:
    """Pad items to the longest of them: streams (B, T, ...), masks and labels (B, T, ...)."""
    time = max(len(item.features) for item in items)
    shapes = config.stream_shapes
    names = ("visual", "audio", "face")
    streams = {name: _stream(items, name, shapes[name], time) if name in shapes else None for name in names}
    present = {name: _pad([_presence(item.features, name) for item in items], time) for name in names}
    valid = _pad([np.ones(len(item.features), bool) for item in items], time)
    return Batch(streams=streams, present=present, valid=valid, labels=labels_of(items, time, supervision))


def labels_of(items: Sequence[Item], time: int, supervision: Supervision) -> Labels:
    """The labels that a supervision setting uses: `point` only points, `video` only classes."""
    used = None
    if any(item.ignored is not None for item in items):
        used = ~_pad(
            [np.zeros(len(i.features), bool) if i.ignored is None else i.ignored for i in items], time
        )
    if supervision == "full":
        frames = _pad([item.segment_array() for item in items], time)
        points = _pad([item.segment_centres() for item in items], time)
        return Labels(points=points, video_classes=points.any(1), frames=frames, used=used)
    points = _pad([item.point_array() for item in items], time)
    # Points are all False, so no loss can use their times by mistake.
    if supervision == "video":
        classes = torch.from_numpy(np.stack([item.video_classes() for item in items]))
        return Labels(points=torch.zeros_like(points), video_classes=classes, used=used)
    return Labels(points=points, video_classes=points.any(1), used=used)


def _rows(x: Tensor | None, index: Tensor) -> Tensor | None:
    return None if x is None else x[index]


def _optional(x: Tensor | None, device: torch.device) -> Tensor | None:
    return None if x is None else x.to(device)


def _stream(items: Sequence[Item], name: str, shape: tuple[int, ...], time: int) -> Tensor:
    arrays = []
    for item in items:
        array = getattr(item.features, name)
        if array is None:
            array = np.zeros((len(item.features), *shape), np.float32)
        # The same values in another shape are accepted, such as (T, 1920) for (T, 32, 60).
        if not rows_fit(array.shape[1:], shape):
            raise ValueError(f"{item.name}: {name} features are {array.shape[1:]}, the network takes {shape}")
        arrays.append(array.reshape(len(array), *shape))
    return _pad(arrays, time)


def _presence(features: SnippetFeatures, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask: np.ndarray[Any, np.dtype[np.bool_]] = getattr(features, f"{name}_present")
    return mask if getattr(features, name) is not None else np.zeros_like(mask)


def _pad(arrays: Sequence[np.ndarray[Any, Any]], time: int) -> Tensor:
    """Stack (T_i, ...) to (B, time, ...), zeros (False) after each end."""
    padded = np.zeros((len(arrays), time, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded)
