"""GIM's losses, equations 9-14, as pure functions. Frames T of one video, C expression classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# Keeps logarithms finite at scores of exactly 0 or 1.
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Equation 14's lambdas: smooth, norm, contrast. Defaults are the paper's for SAMM-LV."""

    smooth: float = 0.1
    norm: float = 0.3
    contrast: float = 2.0e-5


SAMM_LV = LossWeights()
CAS_ME_2 = LossWeights(smooth=0.1, norm=2.5, contrast=1.4e-4)


def intensity_loss(
    intensity: Tensor, labels: Tensor, counted: Tensor, kind: Literal["mse", "bce"] = "mse"
) -> Tensor:
    """Equation 9: mean (a_i - label_i)^2 over the pseudo-labelled frames; "bce" is Table 2's other row.

    intensity (T,); labels and counted (T, K): a column per class, since a frame may have a label of two classes
    (appendix A.1), whose losses are averaged.
    """
    if kind == "mse":
        errors = (intensity[:, None] - labels).square()
    else:
        a = intensity[:, None].clamp(_EPSILON, 1 - _EPSILON)
        errors = -labels * a.log() - (1 - labels) * (1 - a).log()
    share = counted / counted.sum(1, keepdim=True).clamp(min=1)
    frames = counted.any(1).sum().clamp(min=1)
    return (errors * share).sum() / frames


def norm_loss(intensity: Tensor, form: Literal["mean", "sum"] = "mean") -> Tensor:
    """Equation 10: |a|_1; "mean" divides by T.

    It is printed as a sum, whose gradient of lambda_2 = 0.3 at every frame outweighs equation 9, a mean over frames, so
    that intensities collapse to zero. The work that it cites takes the mean over time.
    """
    return intensity.abs().mean() if form == "mean" else intensity.abs().sum()


def smooth_loss(intensity: Tensor) -> Tensor:
    """Equation 11: mean |a_(t+1) - a_t| over the T - 1 neighbours; 0 for one frame."""
    return intensity.diff().abs().sum() / max(len(intensity) - 1, 1)


def refined_scores(scores: Tensor, intensity: Tensor) -> Tensor:
    """Equation 12: s_bar = s a; scores (T, C), intensity (T,) -> (T, C)."""
    return scores * intensity[:, None]


def action_loss(refined: Tensor, classes: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Equation 13: expression frames (I+) score high in their class, neutral frames (I-) low in all.

    refined (T, C); classes (T, C) 0/1 pseudo-classes; positive and negative bool (T,).
    """
    refined = refined.clamp(_EPSILON, 1 - _EPSILON)
    shown = -(classes * refined.log()).sum(1)[positive].sum() / positive.sum().clamp(min=1)
    # Divided by frames and classes, so that the many neutral frames do not outweigh the expressions.
    hidden = -(1 - refined).log().sum(1)[negative].sum() / (negative.sum().clamp(min=1) * refined.shape[1])
    return shown + hidden


def total_loss(
    gim: Tensor, action: Tensor, smooth: Tensor, norm: Tensor, contrast: Tensor, weights: LossWeights
) -> Tensor:
    """Equation 14: L_GIM + L_action + lambda_1 L_smooth + lambda_2 L_norm + lambda_3 L_IAC."""
    return (
        gim
        + action
        + weights.smooth * smooth
        + weights.norm * norm
        + weights.contrast * torch.as_tensor(contrast)
    )
