"""Training losses of FSENet, equations 4-6, 11, 12 and the base loss, as pure functions.

Shapes: batch B, time T, C sentiment classes (plus one for non-sentiment), feature width D. `valid` (B, T)
marks the steps that are not padding; no loss reads the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sentiloc.model.fsenet.network import FSENetOutput
from sentiloc.model.fsenet.pseudo_labels import PseudoLabel, pseudo_labels

Distance = Literal["cosine", "dot", "l1", "l2"]
Supervision = Literal["point", "video", "full"]
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights and switches of the objective; every default is the paper's value where the paper has one.

    Not in the paper, chosen here:

    - contrast "anchor": eq. 6 compares the negatives with the prototype that they are pushed away from, as its
      text says; "own" is the formula's other reading (k = j), whose two class terms cancel at balance.
    - base "paper": the printed formula; "bce" adds its (1 - avg) term. None: the printed one under full
      supervision, else "bce": where labels are the model's own scores or absent, the printed one-sided form is
      minimal at a score of one everywhere.
    - pool "mean": over time, as printed; "topk" averages the top T / k steps. None: "topk" for video supervision.
    - add_inside False: eq. 8's sum is taken outside the windows; inside, non-sentiment is 1 - s alone. Added
      there as printed, its label is never below the model's own score and drives it to one everywhere
      (`experiments/readings.py` measures both).
    - erasing None: CTEN's erasing under video supervision, by its theta (`model/fsenet/erasing.py`); not FSENet's.
    """

    supervision: Supervision = "point"
    pseudo_label: PseudoLabel = "full"
    w: int = 7
    beta: float = 0.6
    tau: float = 0.95
    distance: Distance = "cosine"
    k: int = 8
    gamma: float = 2.0
    lambda1: float = 1.0
    lambda2: float = 0.05
    frame: bool = True
    frame_glo: bool = True
    sc: bool = True
    contrast: Literal["anchor", "own"] = "anchor"
    base: Literal["paper", "bce"] | None = None
    pool: Literal["mean", "topk"] | None = None
    add_inside: bool = False
    erasing: float | None = None

    def resolve(self) -> tuple[Literal["paper", "bce"], Literal["mean", "topk"]]:
        """Form and pooling of the base loss where they are None."""
        base: Literal["paper", "bce"] = "paper" if self.supervision == "full" else "bce"
        pool: Literal["mean", "topk"] = "topk" if self.supervision == "video" else "mean"
        return self.base or base, self.pool or pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What supervision gives a batch: points (B, T, C) bool, video_classes (B, C), frames (B, T, C + 1) or
    None.

    Under video supervision `points` is all False; `frames` is set under full supervision only. Steps that are
    not `used` (B, T) count as padding; None means that all are used.
    """

    points: Tensor
    video_classes: Tensor
    frames: Tensor | None = None
    used: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerms:
    """Scalars of equation 12; a switched-off term is 0."""

    total: Tensor
    base: Tensor
    frame: Tensor
    frame_glo: Tensor
    sc: Tensor

    def items(self) -> dict[str, float]:
        """Values for a log."""
        return {
            name: float(getattr(self, name).detach())
            for name in ("total", "base", "frame", "frame_glo", "sc")
        }


def time_mean(x: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid steps: x (B, T, n), valid (B, T) -> (B, n)."""
    mask = valid.unsqueeze(-1).to(x.dtype)
    return (x * mask).sum(1) / mask.sum(1).clamp(min=1)


def top_mean(x: Tensor, valid: Tensor, k: int) -> Tensor:
    """Mean of the top max(1, T // k) valid steps: x (B, T, n), valid (B, T) -> (B, n)."""
    ranks = _ranks(x.detach().masked_fill(~valid.unsqueeze(-1), -torch.inf))
    counts = (valid.sum(1) // k).clamp(min=1)[:, None, None]
    chosen = ((ranks < counts) & valid.unsqueeze(-1)).to(x.dtype)
    return (x * chosen).sum(1) / chosen.sum(1).clamp(min=1)


def base_loss(predicted: Tensor, target: Tensor, form: Literal["paper", "bce"] = "paper") -> Tensor:
    """L_base = -sum_c avg(target_c) log avg(predicted_c) over the C sentiment classes; both (B, C) -> scalar.

    "bce" adds -(1 - avg(target_c)) log(1 - avg(predicted_c)).
    """
    predicted = predicted.clamp(_EPSILON, 1 - _EPSILON)
    loss = -target * predicted.log()
    if form == "bce":
        loss = loss - (1 - target) * (1 - predicted).log()
    return loss.sum(-1).mean()


def focal_loss(predicted: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Focal loss per element, |target - p|^gamma BCE(p, target): the usual one for targets 0 and 1.

    Soft targets need this form: with (1 - p)^gamma and p^gamma the minimum is not at p = target, and a
    pseudo-label equal to the prediction would still push it.
    """
    predicted = predicted.clamp(_EPSILON, 1 - _EPSILON)
    entropy = -target * predicted.log() - (1 - target) * (1 - predicted).log()
    return (target - predicted).abs() ** gamma * entropy


def alignment_loss(predicted: Tensor, target: Tensor, valid: Tensor, gamma: float) -> Tensor:
    """Equation 11: focal loss summed over the C + 1 classes, averaged over valid steps; (B, T, C + 1) ->
    scalar.
    """
    return time_mean(focal_loss(predicted, target, gamma), valid).sum(-1).mean()


def similarity(features: Tensor, points: Tensor, kind: Distance) -> Tensor:
    """sim(f_t, p_n) of equation 4, in [0, 1]: features (B, T, D), points (B, N, D) -> (B, T, N).

    Cosine is mapped by (1 + cos) / 2, dot by a sigmoid of dot / sqrt(D), distances by 1 / (1 + mean |f -
    p|) and 1 / (1 + rms(f - p)): the paper states [0, 1], and equation 5 multiplies by W_sent.
    """
    width = float(features.shape[-1])
    if kind == "cosine":
        cosine = functional.normalize(features, dim=-1) @ functional.normalize(points, dim=-1).mT
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
    index = annotated.int().topk(most, dim=1).indices
    chosen = features.gather(1, index.unsqueeze(-1).expand(-1, -1, features.shape[-1]))
    owned = points.gather(1, index.unsqueeze(-1).expand(-1, -1, points.shape[-1])).to(features.dtype)
    counts = owned.sum(1, keepdim=True).clamp(min=1)
    return similarity(features, chosen, kind) @ owned / counts


def nearest_steps(distances: Tensor, saliency: Tensor, points: Tensor, valid: Tensor, k: int) -> Tensor:
    """Equation 5: U+_c, the top K = T // k (at least 1) steps by W_sent * d, annotated steps left out.

    distances (B, T, C), saliency (B, T, 1), points (B, T, C), valid (B, T) -> bool (B, T, C); a class
    without points has none, and a video has at most as many as it has unannotated steps.
    """
    candidates = (valid & ~points.any(-1)).unsqueeze(-1)
    ranks = _ranks((saliency * distances).masked_fill(~candidates, -torch.inf))
    count = (valid.sum(1) // k).clamp(min=1)[:, None, None]
    return (ranks < count) & candidates & points.any(1, keepdim=True)


def contrast_loss(
    features: Tensor, points: Tensor, near: Tensor, contrast: Literal["anchor", "own"] = "anchor"
) -> Tensor:
    """Equation 6: -sum_c log of the share of exp(f_t . p_c) that U+_c holds against the other class's U.

    features (B, T, D), points and near (B, T, C) bool -> scalar, mean over the videos. Features have unit
    length, so that exp cannot overflow; p_c is the average of the class's annotated features. A class
    without points contributes nothing.
    """
    units = functional.normalize(features, dim=-1)
    members = points.to(units.dtype)
    prototypes = members.mT @ units / members.sum(1).clamp(min=1).unsqueeze(-1)
    logits = units @ prototypes.mT
    loss = logits.new_zeros(())
    for index in range(points.shape[-1]):
        positive = _log_sum(logits[..., index], near[..., index])
        terms = [positive]
        for other in (c for c in range(points.shape[-1]) if c != index):
            against = logits[..., index if contrast == "anchor" else other]
            terms += [_log_sum(against, near[..., other])]
        share = torch.stack(terms).logsumexp(0) - positive
        loss = loss + torch.where(near[..., index].any(1), share, torch.zeros_like(share)).mean()
    return loss


def total_loss(output: FSENetOutput, labels: Labels, valid: Tensor, config: LossConfig) -> LossTerms:
    """Equation 12: L_base + lambda1 (L_frame + L_frame_glo) + lambda2 L_sc for one batch.

    Video supervision has no frame losses (Table 7 row e has the numbers of Table 1's video row).
    """
    valid = valid if labels.used is None else valid & labels.used
    scores, overall = output.scores.float(), output.global_scores.float()
    target = frame_targets(scores, labels, config, output.fused)
    form, pool = config.resolve()
    classes = scores[..., :-1]
    predicted = time_mean(classes, valid) if pool == "mean" else top_mean(classes, valid, config.k)
    wanted = (
        labels.video_classes.float() if config.supervision == "video" else time_mean(target[..., :-1], valid)
    )
    base = base_loss(predicted, wanted, form)
    zero = base.new_zeros(())
    framed = config.supervision != "video"
    frame = alignment_loss(scores, target, valid, config.gamma) if framed and config.frame else zero
    glo = alignment_loss(overall, target, valid, config.gamma) if framed and config.frame_glo else zero
    sc = semantics_contrast(output, labels.points & valid.unsqueeze(-1), valid, config) if config.sc else zero
    total = base + config.lambda1 * (frame + glo) + config.lambda2 * sc
    return LossTerms(total=total, base=base, frame=frame, frame_glo=glo, sc=sc)


def frame_targets(
    scores: Tensor, labels: Labels, config: LossConfig, features: Tensor | None = None
) -> Tensor:
    """Frame labels (B, T, C + 1): given under full supervision, else equation 8; features (B, T, D) are for
    `gaussian` pseudo-labels.
    """
    if labels.frames is not None:
        return labels.frames
    return pseudo_labels(
        scores,
        labels.points,
        labels.video_classes,
        kind=config.pseudo_label,
        w=config.w,
        beta=config.beta,
        tau=config.tau,
        add_inside=config.add_inside,
        features=features,
    )


def semantics_contrast(output: FSENetOutput, points: Tensor, valid: Tensor, config: LossConfig) -> Tensor:
    """PSSC, equations 4-6 on F_mix; the choice of steps carries no gradient."""
    features = output.fused.float()
    with torch.no_grad():
        distances = point_distances(features, points, config.distance)
        near = nearest_steps(distances, output.saliency.float(), points, valid, config.k)
    return contrast_loss(features, points, near, config.contrast)


def _ranks(x: Tensor) -> Tensor:
    """Rank of each step over time, 0 for the largest; ties in time order: (B, T, n) -> (B, T, n)."""
    return x.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def _log_sum(logits: Tensor, chosen: Tensor) -> Tensor:
    """log sum exp over the chosen steps, (B, T) -> (B,); a very small number if there are none."""
    return logits.masked_fill(~chosen, -1e4).logsumexp(1)
