"""Measure what a trained network's attention contributes: replace it by its mean over time, or mask the face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.attention import CrossAttention
from sentiloc.model.fsenet.batching import collate
from sentiloc.model.fsenet.network import FSENet

STAGES = {"stage1": ("face_visual", "face_audio"), "stage2": ("audio_visual", "visual_audio")}


@contextmanager
def without_attention(network: FSENet, names: Sequence[str]) -> Iterator[None]:
    """Context manager: the named cross attentions return the mean of their output over the video at every step."""
    handles = [network.attention[name].register_forward_hook(_mean_over_time) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _mean_over_time(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    valid = inputs[3]
    mask = torch.ones_like(output[..., :1]) if valid is None else valid.unsqueeze(-1).to(output.dtype)
    mean = (output * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    return mean.expand_as(output)


def face_matters(network: FSENet, items: Sequence[Item]) -> float:
    """Relative change of stage I's outputs if the face is masked; mean over videos."""
    names = [name for name in ("face_visual", "face_audio") if name in network.attention]
    changes = []
    with torch.inference_mode():
        for item in items:
            inputs = collate([item], network.config, "point").inputs()
            hidden = {**inputs, "face_present": torch.zeros_like(cast("Tensor", inputs["face_present"]))}
            for shown, masked in zip(
                _outputs(network, names, inputs), _outputs(network, names, hidden), strict=True
            ):
                changes.append(float((shown - masked).norm() / shown.norm()))
    return sum(changes) / len(changes)


def _outputs(network: FSENet, names: Sequence[str], inputs: dict[str, Tensor | None]) -> list[Tensor]:
    found: list[Tensor] = []
    attention = cast("list[CrossAttention]", [network.attention[name] for name in names])
    handles = [
        module.register_forward_hook(lambda _m, _i, output: found.append(output)) for module in attention
    ]
    network.eval()
    network(**inputs)
    for handle in handles:
        handle.remove()
    return found
