"""Multi-head cross attention over time: over the whole video, or over a band at linear cost."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sentiloc.model.fsenet.streams import Dropout

AttentionKind = Literal["normalized", "plain"]

_ALL = slice(None)
# Lower than for text (10000), because videos have hundreds of snippets, not tens of thousands.
_ROTARY_BASE = 500.0
_LEAST_RMS = 0.02
"""Added to the norm of a query or key, so that a step that equals its video's mean attends uniformly."""
_LOCALITY = 6.0
"""Initial logit of the most local head for its own step, relative to distant steps."""


class CrossAttention(nn.Module):
    """MHAttn(query, key, value) of equations 1 and 2, with padded keys masked.

    The paper does not say how its queries and keys are scaled. "plain" is the textbook form. After a ReLU its logits
    hardly differ between steps (standard deviation 0.15 at the start), so it starts as a mean over time. The gradients
    that could change this are smaller than a coupled weight decay. "normalized" subtracts the video's mean from queries
    and keys, normalizes each step, and learns one temperature per head. Logits then start with a standard deviation of
    one, whatever the size of the weights.

    With `rotary`, half of each head's features are rotated with time. Learned offsets of queries and keys turn this
    into a preference for a distance in time; heads start between "anywhere" and "near". "plain" rotates all features.
    With `window`, a query at t sees keys with |t - s| <= window only, in blocks, so that cost and memory grow linearly
    with T. Dropout is applied to the output, not to the attention weights, which stay inside the fused kernel, whose
    memory is linear in T.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        dropout: float = 0.0,
        rotary: bool = False,
        window: int | None = None,
        kind: AttentionKind = "plain",
    ) -> None:
        super().__init__()
        if window is not None and window < 1:
            raise ValueError("attention window must be at least 1")
        self.heads, self.rotary, self.window, self.kind = heads, rotary, window, kind
        # A bias would be removed by the subtraction of the mean.
        self.query = nn.Linear(width, width, bias=kind == "plain")
        self.key = nn.Linear(width, width, bias=kind == "plain")
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        if kind == "normalized":
            start = _near_start(heads, width // heads) if rotary else torch.zeros(heads, width // heads)
            self.query_offset, self.key_offset = nn.Parameter(start), nn.Parameter(start.clone())
            # As a logarithm, so that the temperature stays positive.
            self.log_temperature = nn.Parameter(torch.zeros(heads, 1))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None) -> Tensor:
        """query, key, value (B, T, d), valid keys (B, T) or None -> (B, T, d)."""
        q, k = self.compared(query, key, valid)
        v = self._split(self.value(value))
        if self.window is None:
            # Without a mask the fused kernel takes its fastest path; even a mask of ones would prevent that.
            mask = None if valid is None else valid[:, None, None, :]
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            attended = band_attention(q, k, v, valid, self.window)
        merged: Tensor = self.dropout(self.output(attended.transpose(1, 2).flatten(2)))
        return merged

    def compared(self, query: Tensor, key: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Queries and keys as they are multiplied: (B, T, d) twice -> (B, heads, T, d / heads) twice."""
        q, k = self._split(self.query(query)), self._split(self.key(key))
        if self.kind == "plain":
            return (rotate(q), rotate(k)) if self.rotary else (q, k)
        turned = [
            prepared(q, valid, self.log_temperature.exp()[:, None], self.query_offset, rotary=self.rotary),
            prepared(k, valid, None, self.key_offset, rotary=self.rotary),
        ]
        # Sizes and angles are computed in float32; the kernel wants one type for q, k and v.
        return turned[0].to(q.dtype), turned[1].to(k.dtype)

    def weights(
        self, query: Tensor, key: Tensor, valid: Tensor | None = None, rows: slice = _ALL
    ) -> tuple[Tensor, Tensor]:
        """Attention weights of the queries in `rows`, (B, heads, rows, T), and the keys visible to each (B, rows, T).

        For inspection only: cost and memory grow with rows times T. A query without visible keys sees all, as in the
        kernel.
        """
        q, k = self.compared(query, key, valid)
        steps = torch.arange(query.shape[1], device=query.device)
        seen = steps[rows, None] >= -steps if valid is None else valid[:, None, :]
        seen = seen.expand(len(query), len(steps[rows]), -1)
        if self.window is not None:
            seen = seen & ((steps[rows, None] - steps).abs() <= self.window)
        # A softmax over an empty set is NaN. Such rows belong to padding and are never read.
        seen = seen | ~seen.any(-1, keepdim=True)
        logits = (q[:, :, rows] @ k.mT).float() / q.shape[-1] ** 0.5
        return logits.masked_fill(~seen[:, None], -torch.inf).softmax(-1), seen

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, heads, T, d / heads)."""
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)


def prepared(x: Tensor, valid: Tensor | None, size: Tensor | None, offset: Tensor, *, rotary: bool) -> Tensor:
    """Queries or keys x (B, heads, T, n) as they are multiplied: `standard_size`, plus an offset, half of it rotated.

    size (heads, 1, 1) or None, offset (heads, n). Training takes `fused_preparation`, which has the same values in a
    third of the passes over memory; export and compilation take the plain operations.
    """
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        return fused_preparation(x, valid, size, offset, _turning(x.shape[-1]) if rotary else 0)
    turned = standard_size(x, valid, size) + offset[:, None]
    return _rotate_half(turned) if rotary else turned


def standard_size(x: Tensor, valid: Tensor | None, size: Tensor | None = None) -> Tensor:
    """x (B, heads, T, n) minus its mean over the valid steps, with a root mean square of `size` for each step.

    size (heads, 1, 1), one where it is None.
    """
    x = x.float()
    if valid is None:
        rest = x - x.mean(2, keepdim=True)
    else:
        mask = valid[:, None, :, None].to(x.dtype)
        rest = x - (x * mask).sum(2, keepdim=True) / mask.sum(2, keepdim=True).clamp(min=1)
    scale = torch.rsqrt(rest.square().mean(-1, keepdim=True) + _LEAST_RMS**2)
    # One product over all features, not one for each factor.
    return rest * (scale if size is None else scale * size)


class _Preparation(torch.autograd.Function):
    """`prepared` with its own gradient: one pass over the features where separate operations take three."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, valid: Tensor | None, size: Tensor, offset: Tensor, turning: int
    ) -> Tensor:
        """x (B, heads, T, n), valid (B, T) or None, size (heads, 1, 1), offset (heads, n) -> float32, shaped as x."""
        # (B, T, d) in memory: what the linear layer wrote, and what the attention kernel reads.
        steps = x.transpose(1, 2).float()
        batch, time, heads, width = steps.shape
        share = _share_of_mean(valid, batch, time, steps)
        mean = share.mT @ steps.reshape(batch, time, -1)
        rest = steps - mean.reshape(batch, 1, heads, width)
        squares = torch.linalg.vector_norm(rest, dim=-1, keepdim=True).square_()
        scale = torch.rsqrt(squares / width + _LEAST_RMS**2)
        factor = size.reshape(heads, 1)
        turned = torch.addcmul(offset, rest, scale * factor)
        if turning:
            _turn_in_place(turned, turning, 1.0)
        ctx.save_for_backward(rest, scale, factor, share)
        ctx.turning, ctx.dtype = turning, x.dtype
        return turned.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, size and offset."""
        rest, scale, factor, share = ctx.saved_tensors
        # A copy, because it is turned back in place.
        back = gradient.transpose(1, 2).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        if ctx.turning:
            _turn_in_place(back, ctx.turning, -1.0)
        offset = back.sum((0, 1))
        # scale = (mean(rest^2) + e^2)^-1/2, so its derivative by rest is -scale^3 rest / n.
        along = (back * rest).sum(-1, keepdim=True)
        size = (along * scale).sum((0, 1)).reshape(-1, 1, 1)
        bend = along * factor * scale.pow(3) / -rest.shape[-1]
        flat = torch.addcmul(rest.mul_(bend), back, scale * factor).flatten(2)
        # The mean was subtracted from every step, and each step contributed to it.
        flat.baddbmm_(share, flat.sum(1, keepdim=True), alpha=-1.0)
        x = flat.reshape(rest.shape).transpose(1, 2).to(ctx.dtype)
        return x, None, size, offset, None


def fused_preparation(
    x: Tensor, valid: Tensor | None, size: Tensor | None, offset: Tensor, turning: int
) -> Tensor:
    """`prepared` for training; the first `turning` features of each head are rotated."""
    size = x.new_ones(x.shape[1], 1, 1, dtype=torch.float32) if size is None else size
    prepared: Tensor = _Preparation.apply(x, valid, size, offset, turning)  # type: ignore[no-untyped-call]
    return prepared


def _share_of_mean(valid: Tensor | None, batch: int, time: int, like: Tensor) -> Tensor:
    """The weight of each step in its video's mean, (B, T, 1): 1 / (number of valid steps), or 0."""
    if valid is None:
        return like.new_full((batch, time, 1), 1 / time)
    mask = valid.unsqueeze(-1).to(like.dtype)
    return mask / mask.sum(1, keepdim=True).clamp(min=1)


def _turn_in_place(x: Tensor, turning: int, direction: float) -> None:
    """`rotate` the first `turning` features of x (B, T, heads, n) in place; direction -1 turns them back."""
    half = turning // 2
    cos, sin = (table[:, None].to(x.dtype) for table in _turns(x.shape[1], half, x.device))
    first, second = x[..., :half], x[..., half:turning]
    turned = first * cos - second * (direction * sin)
    second.mul_(cos).addcmul_(first, direction * sin)
    first.copy_(turned)


def rotate(x: Tensor) -> Tensor:
    """Rotary position embedding of x (B, heads, T, n): pairs of features are rotated with time."""
    half = x.shape[-1] // 2
    cos, sin = (table.to(x.dtype) for table in _turns(x.shape[-2], half, x.device))
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def _turns(time: int, pairs: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each step's angle for each pair of features, both (T, pairs)."""
    steps = torch.arange(time, device=device, dtype=torch.float32)
    angles = steps[:, None] * _rates(pairs).to(device)
    return angles.cos(), angles.sin()


def _rotate_half(x: Tensor) -> Tensor:
    """Rotate the first half of the features. The others compare the content of steps wherever they are."""
    # If all features were rotated, two equal steps far apart would not look equal.
    turning = _turning(x.shape[-1])
    return torch.cat([rotate(x[..., :turning]), x[..., turning:]], dim=-1)


def _turning(features: int) -> int:
    return max(features // 4, 1) * 2


def _rates(pairs: int) -> Tensor:
    """Radians per snippet of each pair of rotated features."""
    return _ROTARY_BASE ** (-torch.arange(pairs, dtype=torch.float32) / pairs)


def _near_start(heads: int, features: int) -> Tensor:
    """Offsets (heads, features) for queries and keys: from none in the first head to `_LOCALITY` in the last."""
    pairs = _turning(features) // 2
    peaks = torch.linspace(0, _LOCALITY, heads) if heads > 1 else torch.tensor([_LOCALITY / 2])
    offsets = torch.zeros(heads, features)
    # The product of both offsets, summed over the pairs and divided by sqrt(n), is the logit at distance zero.
    offsets[:, :pairs] = (peaks * features**0.5 / pairs).sqrt()[:, None]
    return offsets


def band_attention(q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None, window: int) -> Tensor:
    """Attention with |t - s| <= window; q, k, v (B, heads, T, n), valid (B, T) -> (B, heads, T, n).

    Time is cut in blocks of `window`; a block's queries see the previous, own and next block, masked to the
    band.
    """
    time = q.shape[2]
    # Whole blocks only: the last one is padded with steps that no query may see.
    pad = -time % window
    if valid is None:
        valid = torch.ones_like(q[:, 0, :, 0], dtype=torch.bool)
    blocks_q = torch.unflatten(_pad_time(q, 0, pad), 2, (-1, window)).transpose(1, 2)
    blocks_k = _neighbours(_pad_time(k, window, pad + window), window)
    blocks_v = _neighbours(_pad_time(v, window, pad + window), window)
    usable = functional.pad(valid.float(), (window, pad + window))[:, None, :, None]
    mask = (_neighbours(usable, window)[..., 0] > 0)[..., None, :] & _band(window, q.device)
    # A softmax over an empty set is NaN, and NaN times zero would reach the gradients of valid steps.
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
    """The keys, of 3 * window, that a block's query may see, (window, 3 * window)."""
    query = torch.arange(window, device=device)[:, None] + window
    key = torch.arange(3 * window, device=device)[None, :]
    return (query - key).abs() <= window
