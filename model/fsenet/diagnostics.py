"""Diagnoses the attention of a trained FSENet: its entropy relative to that of a plain mean over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.attention import CrossAttention
from sentiloc.model.fsenet.batching import collate
from sentiloc.model.fsenet.network import FSENet

# Queries at a time; bounds the memory for videos of hours.
_ROWS = 256


def relative_entropy(
    attention: CrossAttention, query: Tensor, key: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Entropy of the attention weights over that of uniform ones, (B, heads): mean over the valid queries.

    query, key (B, T, d), valid (B, T). 1 means a mean over all visible steps, 0 a single step. Queries with one visible
    key are not counted; a video with only such queries has 1.
    """
    shares = [
        _shares(*attention.weights(query, key, valid, slice(start, start + _ROWS)))
        for start in range(0, query.shape[1], _ROWS)
    ]
    # In slices of rows, because the weights of a long video are T x T.
    share = torch.cat(shares, dim=-1)
    counted = ~share.isnan() if valid is None else ~share.isnan() & valid[:, None]
    total = torch.where(counted, share, 0.0).sum(-1)
    return torch.where(counted.any(-1), total / counted.sum(-1).clamp(min=1), 1.0)


def _shares(weights: Tensor, seen: Tensor) -> Tensor:
    """Entropy of each row of weights (B, heads, rows, T) over that of its visible keys; NaN where it sees one."""
    # xlogy is 0 at a weight of 0, where w log w would be NaN.
    entropy: Tensor = -torch.special.xlogy(weights, weights).sum(-1)
    return entropy / seen.sum(-1).float().log()[:, None]


def attention_entropy(network: FSENet, items: Sequence[Item]) -> dict[str, float]:
    """Relative entropy of each cross attention by its name, mean over videos and heads; one video at a time."""
    found: dict[str, list[float]] = {name: [] for name in network.attention}
    device = next(network.parameters()).device

    def record(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], _output: Tensor) -> None:
            query, key, _value, valid = inputs
            entropy = relative_entropy(cast("CrossAttention", module), query, key, valid)
            found[name].append(float(entropy.mean()))

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in network.attention.items()]
    # Dropout would change what is measured; the caller's mode is restored below.
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            for item in items:
                network(**collate([item], network.config, "point").to(device).inputs())
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return {name: sum(values) / len(values) for name, values in found.items() if values}
