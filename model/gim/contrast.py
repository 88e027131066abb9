"""Intensity-aware contrast, equations 6-8, as pure functions. N chosen frames, feature width D."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def neutral_count(expressions: int, total: int) -> int:
    """Equation 6: N_neut = min(N_exp, T - N_exp)."""
    return min(expressions, total - expressions)


def pseudo_neutral(intensity: Tensor, labelled: Tensor) -> Tensor:
    """The N_neut frames of lowest intensity among those without a pseudo-label; intensity and labelled (T,) -> bool
    (T,).
    """
    count = neutral_count(int(labelled.sum()), len(intensity))
    chosen = torch.zeros_like(labelled)
    order = intensity.masked_fill(labelled, torch.inf).argsort(stable=True)
    chosen[order[:count]] = True
    return chosen


def pair_weights(labels: Tensor, classes: Tensor) -> Tensor:
    """Equation 8: 1 - |a_i - a_j| for equal pseudo-classes, |a_i - a_j| for different ones.

    labels (N,) pseudo-intensities, classes (N,) pseudo-classes, neutral being one -> (N, N).
    """
    gap = (labels[:, None] - labels[None, :]).abs()
    return torch.where(classes[:, None] == classes[None, :], 1 - gap, gap)


def contrast_loss(features: Tensor, labels: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Equation 7: the sum over frames of the mean of -log of the share of each frame of the same class among all
    others. features (N, D) are normalized to unit length, as in the supervised contrastive loss that the paper builds
    on; otherwise the exponential overflows. A frame that is alone in its class contributes nothing.
    """
    units = functional.normalize(features, dim=-1)
    weights = pair_weights(labels, classes)
    alone = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    # A factor in equation 7 is an addend in the exponent; the clamp keeps the logarithm of 0 finite.
    logits = (units @ units.mT / temperature + weights.clamp(min=1e-12).log()).masked_fill(alone, -torch.inf)
    log_share = logits - logits.logsumexp(1, keepdim=True)
    same = (classes[:, None] == classes[None, :]) & ~alone
    partners = same.sum(1)
    means = log_share.masked_fill(~same, 0.0).sum(1) / partners.clamp(min=1)
    return -(means * (partners > 0)).sum()
