"""Boundary-aware sentiment pseudo-labels (BSPG), equations 7 and 8. Shapes: batch B, time T, C sentiment
classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sentiloc.model.gim.gaussian import gaussian_labels, proposal_frames, pseudo_apex, rough_duration

PseudoLabel = Literal["full", "threshold", "step", "none", "gaussian"]
Inside = Literal["sum", "max", "step"]
GAUSSIAN_THETA, GAUSSIAN_DELTA = 0.5, 1.2
"""GIM's values: the threshold of its last epochs (eq. 3) and how far a proposal is expanded (eq. 4)."""


def boundary_scores(points: Tensor, w: int, beta: float) -> Tensor:
    """Equation 7: s = beta + (1 - beta)(1 - |t - t_p| / w) within w steps of a point, else 0.

    points (B, T, C) 0/1 -> (B, T, C); where windows of one class overlap, the maximum.
    """
    offsets = torch.arange(-w, w + 1, device=points.device, dtype=torch.float32).abs()
    # w = 0 keeps the annotated step alone, with s = 1.
    scores = beta + (1 - beta) * (1 - offsets / max(w, 1))
    # Every step looks at the 2 w + 1 points around it; the kernel is symmetric, so its direction does not matter.
    around = functional.pad(points.float(), (0, 0, w, w)).unfold(1, 2 * w + 1, 1)
    return (around * scores).amax(dim=-1)


def gaussian_scores(
    scores: Tensor, features: Tensor, points: Tensor, w: int, valid: Tensor | None = None
) -> Tensor:
    """GIM's soft labels (its eq. 1-5) in place of equation 7: scores (B, T, C + 1), features (B, T, D), points
    (B, T, C) -> (B, T, C); where two claim a step, the maximum. Carries no gradient.

    A video ends with its last `valid` step (B, T): scores and features of padding are never read.

    A class's own score is its intensity, 2 w snippets its general duration k_c. The annotated step itself is certain.
    """
    scores, features = scores.detach(), features.detach().float()
    labels = points.to(scores.dtype)
    ends = lengths(valid) if valid is not None else [scores.shape[1]] * len(scores)
    for video, step, index in points.nonzero().tolist():
        intensity = scores[video, : ends[video], index]
        apex = pseudo_apex(intensity, step, 2 * w)
        # The apex can move away from the annotated step, towards the strongest response near it.
        rough = rough_duration(intensity, apex, 2 * w, GAUSSIAN_THETA)
        first, last = proposal_frames(apex, rough, GAUSSIAN_DELTA, len(intensity))
        soft = gaussian_labels(features[video], apex, (first, last), GAUSSIAN_DELTA * rough)
        span = labels[video, first : last + 1, index]
        labels[video, first : last + 1, index] = torch.maximum(span, soft.to(span.dtype))
    return labels


def lengths(valid: Tensor) -> list[int]:
    """Steps of each video up to its last valid one, from valid (B, T)."""
    places = torch.arange(1, valid.shape[1] + 1, device=valid.device)
    ends: list[int] = (valid * places).amax(1).tolist()
    return ends


def threshold_scores(scores: Tensor, tau: float) -> Tensor:
    """The function I of equation 8: the model's own scores (B, T, C + 1), detached; the sentiment classes
    are 0 where non-sentiment exceeds tau.
    """
    scores = scores.detach()
    kept = scores[..., :-1] * (scores[..., -1:] <= tau)
    return torch.cat([kept, scores[..., -1:]], dim=-1)


def combine(own: Tensor, boundary: Tensor, *, add_inside: bool = True, inside: Inside = "sum") -> Tensor:
    """Equation 8: own (B, T, C + 1) plus s for the point's class and 1 - s for non-sentiment, clipped to 1.

    boundary (B, T, C) is equation 7, 0 outside all windows. Where windows of two classes overlap,
    non-sentiment takes 1 - the larger s. With `add_inside` False the non-sentiment score of a step inside a
    window is 1 - s alone. `inside`: the label of a class in its own window is y + s ("sum", as printed), the larger
    of both ("max"), or s alone ("step").
    """
    strongest = boundary.amax(dim=-1, keepdim=True)
    covered = strongest > 0
    rest = own[..., -1:] if add_inside else own[..., -1:] * ~covered
    rest = rest + torch.where(covered, 1 - strongest, torch.zeros_like(strongest))
    named = own[..., :-1] + boundary
    if inside != "sum":
        alone = boundary if inside == "step" else torch.maximum(own[..., :-1], boundary)
        named = torch.where(boundary > 0, alone, named)
    return torch.cat([named, rest], dim=-1).clamp(max=1.0)


def pseudo_labels(
    scores: Tensor,
    points: Tensor,
    video_classes: Tensor,
    *,
    kind: PseudoLabel = "full",
    w: int = 7,
    beta: float = 0.6,
    tau: float = 0.95,
    add_inside: bool = True,
    inside: Inside = "sum",
    features: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Soft frame labels (B, T, C + 1), detached, from scores (B, T, C + 1), points (B, T, C), video_classes
    (B, C).

    The rows of Table 6: `full` is equation 8; `step` leaves the model's scores out; `threshold` and `none`
    keep the annotated steps themselves but no window around them, with and without tau. `gaussian` shapes the
    windows by `features` (B, T, D) instead of by distance (`gaussian_scores`), within the `valid` steps. A class that
    the video's points do not name is known to be absent, so the model's own score of it never becomes a label.
    """
    window = w if kind in ("full", "step") else 0
    own = threshold_scores(scores, 1.0 if kind == "none" else tau)
    # Known absent: a false response to another class must not teach itself.
    own = torch.cat([own[..., :-1] * video_classes[:, None, :], own[..., -1:]], dim=-1)
    if kind == "step":
        own = torch.zeros_like(own)
    if kind == "gaussian":
        if features is None:
            raise ValueError("gaussian pseudo-labels need features")
        boundary = gaussian_scores(scores, features, points, w, valid)
    else:
        boundary = boundary_scores(points, window, beta)
    return combine(own, boundary, add_inside=add_inside, inside=inside)
