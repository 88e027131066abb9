"""The temporal erasing module of CTEN, equations 7-9, as pure functions.

Shapes: batch B, segments T, feature width C, hidden width d. `valid` (B, T) marks real segments, as opposed to padding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def temporal_attention(features: Tensor, w1: Tensor, w2: Tensor, valid: Tensor | None = None) -> Tensor:
    """Equation 7: A = ReLU(W1 (W2 (F' + F'')^T)^T); features F' + F'' (B, T, C), w2 (1, C), w1 (T, T) -> (B, T).

    Segments that are not valid, such as erased ones, keep their places in W1, count as 0, and get 0.
    """
    projected = (w2 @ features.mT).mT
    if valid is not None:
        projected = projected * valid.unsqueeze(-1)
    attention = torch.relu(w1 @ projected).squeeze(-1)
    return attention if valid is None else attention * valid


def banded(kernel: Tensor, size: int) -> Tensor:
    """The (T, T) matrix W1 that mixes each segment with its neighbours only, with the same weights everywhere.

    The paper has ten segments and a weight in W1 for each pair of them (`CTENConfig.segments`). Videos of any length
    need a W1 whose size does not depend on it. kernel (k,), k odd; row t holds kernel[j] at column t + j - k // 2.
    """
    offsets = torch.arange(size)[None, :] - torch.arange(size)[:, None] + len(kernel) // 2
    inside = (offsets >= 0) & (offsets < len(kernel))
    return torch.where(inside, kernel[offsets.clamp(0, len(kernel) - 1)], torch.zeros(()))


def banded_attention(features: Tensor, kernel: Tensor, w2: Tensor, valid: Tensor | None = None) -> Tensor:
    """Equation 7 with W1 = `banded(kernel, T)`, as a convolution; (B, T, C) -> (B, T), 0 where not valid."""
    projected = (features @ w2.mT).mT
    if valid is not None:
        projected = projected * valid.unsqueeze(1)
    # PyTorch's conv1d is a correlation, as the matrix product with `banded` is.
    mixed = functional.conv1d(projected, kernel[None, None], padding=kernel.shape[0] // 2).squeeze(1)
    attention = torch.relu(mixed)
    return attention if valid is None else attention * valid


def normalise(attention: Tensor, valid: Tensor | None = None) -> Tensor:
    """Equation 8: (A - min A) / (max A - min A) over each video's segments, (B, T).

    If all are equal the quotient is undefined; no segment stands out then, and all are set to 0.
    """
    if valid is None:
        valid = torch.ones_like(attention, dtype=torch.bool)
    low = attention.masked_fill(~valid, torch.inf).amin(1, keepdim=True)
    high = attention.masked_fill(~valid, -torch.inf).amax(1, keepdim=True)
    span = high - low
    scaled = (attention - low) / torch.where(span > 0, span, torch.ones_like(span))
    return torch.where(valid & (span > 0), scaled, torch.zeros_like(scaled))


def erasing_mask(visual: Tensor, audio: Tensor, theta: float) -> Tensor:
    """Equation 9: E, true where both normalised attentions (B, T) reach theta."""
    return (visual >= theta) & (audio >= theta)
