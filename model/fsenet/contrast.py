"""Point-aware sentiment semantics contrast (PSSC), equations 4-6, as pure functions.

Shapes: batch B, time T, C sentiment classes, feature width D. `valid` (B, T) marks the steps that are not padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sentiloc.model.fsenet.network import FSENetOutput
from sentiloc.model.training.parallel import anywhere, stacked, total

Distance = Literal["cosine", "dot", "l1", "l2"]
# Finite instead of -inf, which would turn the gradient of an empty sum into NaN.
_NOTHING = -1e4
_LEAST_NORM = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastConfig:
    """The interpretation of equation 6. `LossConfig` has fields of the same names and gives the reasons."""

    contrast: Literal["anchor", "own"] = "anchor"
    prototypes: Literal["video", "batch"] = "video"
    negatives: Literal["class", "rest"] = "class"
    disjoint: bool = False
    temperature: float = 1.0
    unit_length: bool = True


def similarity(features: Tensor, points: Tensor, kind: Distance) -> Tensor:
    """sim(f_t, p_n) of equation 4, in [0, 1]: features (B, T, D), points (B, N, D) -> (B, T, N).

    Cosine is mapped by (1 + cos) / 2, dot by a sigmoid of dot / sqrt(D), distances by 1 / (1 + mean |f -
    p|) and 1 / (1 + rms(f - p)): the paper states [0, 1], and equation 5 multiplies by W_sent.
    """
    width = float(features.shape[-1])
    if kind == "cosine":
        cosine = features @ functional.normalize(points, dim=-1).mT / norms(features)
        return (1 + cosine) / 2
    if kind == "dot":
        return torch.sigmoid(features @ points.mT / width**0.5)
    norm, scale = (1.0, width) if kind == "l1" else (2.0, width**0.5)
    return torch.reciprocal(1 + torch.cdist(features, points, p=norm) / scale)


def point_distances(features: Tensor, points: Tensor, kind: Distance = "cosine") -> Tensor:
    """Equation 4: d_t^c, the mean similarity of f_t to the points of class c (the sum, scaled to [0, 1]).

    features (B, T, D), points (B, T, C) bool -> (B, T, C); 0 for a class without points.
    """
    annotated = points.any(-1)
    most = max(int(annotated.sum(1).max()), 1)
    # Gather the few annotated steps first: similarities to all T steps would be T x T.
    # Videos with fewer points also get unannotated steps; `owned` gives them weight 0.
    index = annotated.int().topk(most, dim=1).indices
    chosen = features.gather(1, index.unsqueeze(-1).expand(-1, -1, features.shape[-1]))
    owned = points.gather(1, index.unsqueeze(-1).expand(-1, -1, points.shape[-1])).to(features.dtype)
    # A class without points has a sum of 0, which must stay 0.
    counts = owned.sum(1, keepdim=True).clamp(min=1)
    return similarity(features, chosen, kind) @ owned / counts


def nearest_steps(
    distances: Tensor, saliency: Tensor, points: Tensor, valid: Tensor, k: int, *, disjoint: bool = False
) -> Tensor:
    """Equation 5: U+_c, the top K = T // k (at least 1) steps by W_sent * d, annotated steps left out.

    distances (B, T, C), saliency (B, T, 1), points (B, T, C), valid (B, T) -> bool (B, T, C); a class
    without points has none, and a video has at most as many as it has unannotated steps. `disjoint`: a step that
    several classes claim stays with the one that it is nearest to.
    """
    candidates = (valid & ~points.any(-1)).unsqueeze(-1)
    # -inf ranks last; `candidates` below still removes such steps where a video has fewer than K others.
    ranks = ranked((saliency * distances).masked_fill(~candidates, -torch.inf))
    count = (valid.sum(1) // k).clamp(min=1)[:, None, None]
    near = (ranks < count) & candidates & points.any(1, keepdim=True)
    if not disjoint:
        return near
    nearest = distances.masked_fill(~near, -torch.inf).argmax(-1, keepdim=True)
    return near & (torch.arange(near.shape[-1], device=near.device) == nearest)


def contrast_loss(
    features: Tensor,
    points: Tensor,
    near: Tensor,
    config: ContrastConfig = ContrastConfig(),
    valid: Tensor | None = None,
) -> Tensor:
    """Equation 6: -sum_c log of the share of exp(f_t . p_c) that U+_c holds against the negatives.

    features (B, T, D), points and near (B, T, C) bool, valid (B, T) or None -> scalar, mean over the videos. A video
    without points of a class contributes nothing for it; so does one without negatives.
    """
    # Dividing the few products by the norms is a small part of the work of dividing the features themselves.
    lengths = norms(features) if config.unit_length else features.new_ones(())
    valid = torch.ones_like(points[..., 0]) if valid is None else valid
    prototypes = _prototypes(features, points / lengths, config.prototypes)
    logits = features @ prototypes.mT / (lengths * config.temperature)
    loss = logits.new_zeros(())
    for index in range(points.shape[-1]):
        positive = _log_sum(logits[..., index], near[..., index])
        against = _against(logits, near, valid & ~points.any(-1), index, config)
        # -log(p / (p + n)) from log p and log n, computed in log space for numerical stability.
        share = torch.stack([positive, *against]).logsumexp(0) - positive
        loss = loss + torch.where(near[..., index].any(1), share, torch.zeros_like(share)).mean()
    return loss


def norms(features: Tensor) -> Tensor:
    """Euclidean norms of features (B, T, D), at least 1e-12: (B, T, 1)."""
    lengths: Tensor = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    return lengths.clamp(min=_LEAST_NORM)


def _prototypes(features: Tensor, weights: Tensor, over: Literal["video", "batch"]) -> Tensor:
    """p_c, the mean of a class's annotated features in each video or in the batch: (B, C, D).

    weights (B, T, C): the factor of each step, 0 where it has no point of the class.
    """
    sums, counts = weights.to(features.dtype).mT @ features, (weights > 0).sum(1).to(features.dtype)
    if over == "batch":
        sums, counts = total(sums.sum(0, keepdim=True)), total(counts.sum(0, keepdim=True))
    return (sums / counts.clamp(min=1).unsqueeze(-1)).expand(len(features), -1, -1)


def _against(
    logits: Tensor, near: Tensor, unannotated: Tensor, index: int, config: ContrastConfig
) -> list[Tensor]:
    """Log sums (B,) of the negatives of class `index` in each video, the second part of the denominator."""
    rest = unannotated & ~near[..., index]
    if config.negatives == "rest":
        return [_log_sum(logits[..., index], rest)]
    terms, others = [], [c for c in range(near.shape[-1]) if c != index]
    for other in others:
        compared = logits[..., index if config.contrast == "anchor" else other]
        term = _log_sum(compared, near[..., other])
        # With prototypes of the batch, the negatives are those of all its videos, too.
        terms.append(term if config.prototypes == "video" else _over_batch(term))
    # A batch of one class has no negatives of another; without this its loss and gradient would be 0.
    if config.prototypes == "batch" and not anywhere(near[..., others]):
        return [_log_sum(logits[..., index], rest)]
    return terms


def semantics_contrast(
    output: FSENetOutput, points: Tensor, valid: Tensor, k: int, distance: Distance, config: ContrastConfig
) -> Tensor:
    """PSSC on F_mix: points (B, T, C), valid (B, T) -> scalar; the choice of steps carries no gradient."""
    # In half precision, differences of cosines would be lost.
    features = output.fused.float()
    # The choice of near steps must not be optimized: its gradient would pull all steps together.
    with torch.no_grad():
        distances = point_distances(features, points, distance)
        near = nearest_steps(distances, output.saliency.float(), points, valid, k, disjoint=config.disjoint)
    return contrast_loss(features, points, near, config, valid)


def ranked(x: Tensor) -> Tensor:
    """Rank of each step over time, 0 for the largest; ties in time order: (B, T, n) -> (B, T, n)."""
    return x.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def _over_batch(terms: Tensor) -> Tensor:
    """Log sums (B,) of single videos -> that of all videos of the batch, in whatever process, for each (B,)."""
    return stacked(terms.logsumexp(0)).logsumexp(0).expand(len(terms))


def _log_sum(logits: Tensor, chosen: Tensor) -> Tensor:
    """log sum exp over the chosen steps, (B, T) -> (B,); a very small number if there are none."""
    return logits.masked_fill(~chosen, _NOTHING).logsumexp(1)
