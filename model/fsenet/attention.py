"""Multi-head cross attention over time: whole video, or a band of it at linear cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_ROTARY_BASE = 10_000.0


class CrossAttention(nn.Module):
    """MHAttn(query, key, value) of equations 1 and 2, with padded keys left out.

    With `rotary`, scores depend on the time between query and key (rotary embedding); with `window`, a
    query at t sees keys with |t - s| <= window only, in blocks, so that cost and memory grow linearly with
    T. Dropout falls on the output, not on the attention weights: those stay inside the fused kernel, whose
    memory is linear in T.
    """

    def __init__(
        self, width: int, heads: int, *, dropout: float = 0.0, rotary: bool = False, window: int | None = None
    ) -> None:
        super().__init__()
        if window is not None and window < 1:
            raise ValueError("attention window must be at least 1")
        self.heads, self.rotary, self.window = heads, rotary, window
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None) -> Tensor:
        """query, key, value (B, T, d), valid keys (B, T) or None -> (B, T, d)."""
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        if self.rotary:
            q, k = rotate(q), rotate(k)
        if self.window is None:
            mask = None if valid is None else valid[:, None, None, :]
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            attended = band_attention(q, k, v, valid, self.window)
        merged: Tensor = self.dropout(self.output(attended.transpose(1, 2).flatten(2)))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, heads, T, d / heads)."""
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)


def rotate(x: Tensor) -> Tensor:
    """Rotary position embedding of x (B, heads, T, n): pairs of features turn with time."""
    half = x.shape[-1] // 2
    steps = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)
    rates = _ROTARY_BASE ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = steps[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def band_attention(q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None, window: int) -> Tensor:
    """Attention with |t - s| <= window; q, k, v (B, heads, T, n), valid (B, T) -> (B, heads, T, n).

    Time is cut in blocks of `window`; a block's queries see the previous, own and next block, masked to the
    band.
    """
    time = q.shape[2]
    pad = -time % window
    if valid is None:
        valid = torch.ones_like(q[:, 0, :, 0], dtype=torch.bool)
    blocks_q = torch.unflatten(_pad_time(q, 0, pad), 2, (-1, window)).transpose(1, 2)
    blocks_k = _neighbours(_pad_time(k, window, pad + window), window)
    blocks_v = _neighbours(_pad_time(v, window, pad + window), window)
    usable = functional.pad(valid.float(), (window, pad + window))[:, None, :, None]
    mask = (_neighbours(usable, window)[..., 0] > 0)[..., None, :] & _band(window, q.device)
    mask = mask | ~mask.any(-1, keepdim=True)
    attended = functional.scaled_dot_product_attention(
        blocks_q.flatten(0, 1), blocks_k.flatten(0, 1), blocks_v.flatten(0, 1),
        attn_mask=mask.flatten(0, 1),
    )  # fmt: skip
    merged = torch.unflatten(attended, 0, (q.shape[0], -1)).transpose(1, 2).flatten(2, 3)
    return merged[:, :, :time]


def _pad_time(x: Tensor, before: int, after: int) -> Tensor:
    return functional.pad(x, (0, 0, before, after))


def _neighbours(x: Tensor, window: int) -> Tensor:
    """(B, heads, (blocks + 2) * window, n) -> (B, blocks, heads, 3 * window, n)."""
    blocks = torch.unflatten(x, 2, (-1, window)).transpose(1, 2)
    return torch.cat([blocks[:, :-2], blocks[:, 1:-1], blocks[:, 2:]], dim=3)


def _band(window: int, device: torch.device) -> Tensor:
    """Which of 3 * window keys a block's query may see, (window, 3 * window)."""
    query = torch.arange(window, device=device)[:, None] + window
    key = torch.arange(3 * window, device=device)[None, :]
    return (query - key).abs() <= window
