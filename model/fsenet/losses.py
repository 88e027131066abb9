"""Training losses of FSENet, equations 11, 12 and the base loss, as pure functions.

Shapes: batch B, time T, C sentiment classes (plus one for non-sentiment), feature width D. `valid` (B, T)
marks the steps that are not padding; the losses ignore the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sentiloc.model.fsenet.contrast import ContrastConfig, Distance, ranked, semantics_contrast
from sentiloc.model.fsenet.network import FSENetOutput
from sentiloc.model.fsenet.pseudo_labels import Inside, PseudoLabel, pseudo_labels

Supervision = Literal["point", "video", "full"]
TERMS = ("total", "base", "frame", "frame_glo", "sc")
"""Names of equation 12's terms in a log."""
# Keeps logarithms finite at scores of exactly 0 or 1, and the slope of a root at a distance of 0.
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights and switches of the objective; every default is the paper's value where the paper has one.

    Not in the paper, chosen here:

    - contrast "anchor": eq. 6 compares the negatives with the prototype that they are pushed away from, as the text
    before it says; "own" is eq. 6 as printed (k = j: each negative with its own class's prototype), whose two class
    terms cancel at balance.
    - prototypes "batch": means and negatives come from all videos of the batch; if it has one class only, all other
    unannotated steps of the video are the negatives. "video" is as printed: if a video's points have one class (144 of
    TSL300's 200 training videos), the loss is 0.
    - negatives "class": the near steps of the other class; "rest", as in the introduction, all other unannotated steps.
    - disjoint True: a step is positive for the nearest class only; False, as printed: it can be positive and negative.
    - temperature 0.2: cosines differ by less than one, so without (1, as printed) the loss is nearly flat.
    - unit_length True: raw dot products of 1024 features saturate the exponential.
    - base "paper": the printed formula; "bce" adds its (1 - avg) term. None: the printed one under full supervision,
    else "bce". If labels are the model's own scores or absent, the printed one-sided form has its minimum at a score of
    one everywhere.
    - pool "mean": over time, as printed; "topk" averages the top T / k steps. None: "topk" for video supervision.
    - add_inside False: eq. 8 adds the model's scores outside the windows only; inside, non-sentiment is 1 - s alone. If
    they are added there as printed, the label is never below the model's own score and drives it to one everywhere
      (`experiments/readings.py` measures both).
    - inside "sum": eq. 8's label of the named class inside windows is y + s, clipped. It follows the model's own
      score up to 1. "max" takes the larger of y and s, "step" s alone.
    - focal "soft": weight |target - p|^gamma, whose minimum is at p = target also for soft targets; "usual": (1 -
    p)^gamma and
      p^gamma, as for hard targets.
    - erasing None: CTEN's erasing under video supervision, by its theta (`model/fsenet/step.py`); not FSENet's.
    - saliency_base True: video supervision also applies the base loss to the global scores (eq. 10). As printed, no
    loss trains W_sent there, although it is half of the served curve.
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
    prototypes: Literal["video", "batch"] = "batch"
    negatives: Literal["class", "rest"] = "class"
    disjoint: bool = True
    temperature: float = 0.2
    unit_length: bool = True
    base: Literal["paper", "bce"] | None = None
    pool: Literal["mean", "topk"] | None = None
    add_inside: bool = False
    inside: Inside = "sum"
    focal: Literal["soft", "usual"] = "soft"
    erasing: float | None = None
    saliency_base: bool = True

    @property
    def contrast_config(self) -> ContrastConfig:
        """The fields that concern equation 6."""
        return ContrastConfig(
            contrast=self.contrast,
            prototypes=self.prototypes,
            negatives=self.negatives,
            disjoint=self.disjoint,
            temperature=self.temperature,
            unit_length=self.unit_length,
        )

    def resolve(self) -> tuple[Literal["paper", "bce"], Literal["mean", "topk"]]:
        """Form and pooling of the base loss, with the defaults for None."""
        base: Literal["paper", "bce"] = "paper" if self.supervision == "full" else "bce"
        pool: Literal["mean", "topk"] = "topk" if self.supervision == "video" else "mean"
        return self.base or base, self.pool or pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of a batch: points (B, T, C) bool, video_classes (B, C), frames (B, T, C + 1) or
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
        return dict(zip(TERMS, self.stacked().tolist(), strict=True))

    def stacked(self) -> Tensor:
        """The terms in the order of `TERMS`, (5,), without gradients."""
        return torch.stack([getattr(self, name).detach() for name in TERMS])


def time_mean(x: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid steps: x (B, T, n), valid (B, T) -> (B, n)."""
    mask = valid.unsqueeze(-1).to(x.dtype)
    return (x * mask).sum(1) / mask.sum(1).clamp(min=1)


def top_mean(x: Tensor, valid: Tensor, k: int) -> Tensor:
    """Mean of the top max(1, T // k) valid steps: x (B, T, n), valid (B, T) -> (B, n)."""
    # Ranks instead of `topk`, because the number of steps differs between the videos of a batch.
    ranks = ranked(x.detach().masked_fill(~valid.unsqueeze(-1), -torch.inf))
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


def focal_loss(
    predicted: Tensor, target: Tensor, gamma: float, weights: Literal["soft", "usual"] = "soft"
) -> Tensor:
    """Focal loss per element. "soft": |target - p|^gamma BCE(p, target), the usual one for targets 0 and 1.

    Soft targets need this form: with "usual", target (1 - p)^gamma and (1 - target) p^gamma, the minimum is not at p =
    target, and a pseudo-label equal to the prediction would still push it.
    """
    predicted = predicted.clamp(_EPSILON, 1 - _EPSILON)
    named, rest = -target * predicted.log(), -(1 - target) * (1 - predicted).log()
    if weights == "usual":
        return (1 - predicted) ** gamma * named + predicted**gamma * rest
    distance = (target - predicted).abs()
    if 0 < gamma < 1:
        # At a distance of 0, as for a pseudo-label that equals the prediction, the power has an infinite slope.
        distance = distance.clamp(min=_EPSILON)
    return distance**gamma * (named + rest)


def alignment_loss(
    predicted: Tensor,
    target: Tensor,
    valid: Tensor,
    gamma: float,
    weights: Literal["soft", "usual"] = "soft",
) -> Tensor:
    """Equation 11: focal loss summed over the C + 1 classes, averaged over valid steps; (B, T, C + 1) ->
    scalar.
    """
    return time_mean(focal_loss(predicted, target, gamma, weights), valid).sum(-1).mean()


def total_loss(output: FSENetOutput, labels: Labels, valid: Tensor, config: LossConfig) -> LossTerms:
    """Equation 12: L_base + lambda1 (L_frame + L_frame_glo) + lambda2 L_sc for one batch.

    Video supervision has no frame losses (Table 7 row e has the numbers of Table 1's video row).
    """
    # Losses are summed in float32: under autocast, thousands of half-precision terms lose their small ones.
    valid = valid if labels.used is None else valid & labels.used
    scores, overall = output.scores.float(), output.global_scores.float()
    target = frame_targets(scores, labels, config, output.fused, valid)
    form, pool = config.resolve()
    classes = scores[..., :-1]
    predicted = time_mean(classes, valid) if pool == "mean" else top_mean(classes, valid, config.k)
    wanted = (
        labels.video_classes.float() if config.supervision == "video" else time_mean(target[..., :-1], valid)
    )
    base = base_loss(predicted, wanted, form)
    if config.supervision == "video" and config.saliency_base and config.frame_glo:
        # The only term under video supervision that reaches W_sent.
        base = base + base_loss(top_mean(overall[..., :-1], valid, config.k), wanted, form)
    zero = base.new_zeros(())
    framed = config.supervision != "video"
    aligned = (target, valid, config.gamma, config.focal)
    frame = alignment_loss(scores, *aligned) if framed and config.frame else zero
    glo = alignment_loss(overall, *aligned) if framed and config.frame_glo else zero
    # A point on an unused step must neither be a prototype nor claim neighbours.
    points = labels.points & valid.unsqueeze(-1)
    sc = (
        semantics_contrast(output, points, valid, config.k, config.distance, config.contrast_config)
        if config.sc
        else zero
    )
    total = base + config.lambda1 * (frame + glo) + config.lambda2 * sc
    return LossTerms(total=total, base=base, frame=frame, frame_glo=glo, sc=sc)


def frame_targets(
    scores: Tensor,
    labels: Labels,
    config: LossConfig,
    features: Tensor | None = None,
    valid: Tensor | None = None,
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
        inside=config.inside,
        features=features,
        valid=valid,
    )
