"""Temporal correlation learning of CTEN, equations 1-6, as pure functions.

Shapes: batch B, segments T, feature width C. `valid` (B, T) marks real segments; padding is ignored.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Projected(NamedTuple):
    """Query, key and value of one modality, each (B, T, C)."""

    query: Tensor
    key: Tensor
    value: Tensor


def project(features: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Projected:
    """Equation 1: Q = theta(F), K = phi(F), V = g(F); features (B, T, C), weights (C, C) as of a linear layer."""
    return Projected(features @ theta.mT, features @ phi.mT, features @ g.mT)


def correlation(query: Tensor, key: Tensor, valid: Tensor | None = None) -> Tensor:
    """Equation 2: S(Q, K) = softmax(Q K^T / sqrt(d_k)) over each row, (B, T, T)."""
    logits = query @ key.mT / query.shape[-1] ** 0.5
    if valid is not None:
        # Finite, because a row of -inf alone would be NaN.
        logits = logits.masked_fill(~valid[:, None, :], -1e9)
    return torch.softmax(logits, dim=-1)


def gather(weights: Tensor, value: Tensor) -> Tensor:
    """Equation 3: Z = S V, (B, T, C)."""
    return weights @ value


def add_residual(features: Tensor, gathered: Tensor, weight: Tensor) -> Tensor:
    """Equations 4 and 6: F + W Z; weight (C, C)."""
    return features + gathered @ weight.mT


def intra_modal(features: Tensor, parts: Projected, weight: Tensor, valid: Tensor | None = None) -> Tensor:
    """Equations 2-4: F' of one modality, each segment informed by the others of its own modality."""
    return add_residual(features, gather(correlation(parts.query, parts.key, valid), parts.value), weight)


def inter_modal(
    features: Tensor, own: Projected, other: Projected, weight: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Equations 5 and 6: F'' of one modality, U = S(Q_own, K_other) V_other."""
    return add_residual(features, gather(correlation(own.query, other.key, valid), other.value), weight)
