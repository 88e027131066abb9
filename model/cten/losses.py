"""Equations 10-12 of CTEN: cross entropy of the whole video, of its keyframes, and of the rest after erasing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def class_probabilities(activations: Tensor) -> Tensor:
    """Equation 11: softmax over the M classes; (N, M) -> (N, M)."""
    return torch.softmax(activations, dim=-1)


def cross_entropy(activations: Tensor, classes: Tensor, counted: Tensor | None = None) -> Tensor:
    """Equation 10: -1/N sum_i ln p^(y_i)(x_i); activations (N, M), classes (N,) -> scalar.

    `counted` (N,) excludes videos, such as those without keyframes. N remains the batch size.
    """
    # log_softmax instead of the log of `class_probabilities`, which underflows.
    logs = torch.log_softmax(activations, dim=-1).gather(1, classes[:, None]).squeeze(1)
    if counted is not None:
        logs = logs * counted
    # Divided by all videos, so that a term with few counted videos has a small weight.
    return -logs.sum() / len(activations)


def total_loss(parts: Sequence[Tensor]) -> Tensor:
    """Equation 12: l_ce(x_o) + l_ce(x_k) + l_ce(x_l)."""
    return torch.stack(list(parts)).sum()
