"""Pseudo-labels of the three training stages (section 3.6.2), with the ablations of Table 3.

A point is one labelled frame of an expression and its class; labels are (T, C), a column per class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sentiloc.model.gim.contrast import pseudo_neutral
from sentiloc.model.gim.gaussian import (
    frames_within,
    gaussian_labels,
    proposal_frames,
    pseudo_apex,
    rough_duration,
    soft_labels,
    spread,
)

MACRO, MICRO = 0, 1
EXPRESSIONS = ("macro", "micro")
Strategy = Literal["gim", "hard", "cosine", "class-wise", "video-wise"]
Overlap = Literal["random", "higher", "lower"]
RELIABLE = 0.5


class Point(NamedTuple):
    """One labelled frame and its class (0 macro, 1 micro)."""

    frame: int
    class_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """The paper's values, in frames at 30 a second, for macro and micro.

    strategy: the rows of Table 3: "gim"; "hard": label 1 over the same frames; "cosine": similarity to the apex;
    "class-wise" with the mean feature of the class's points in all training videos instead of the apex's; "video-wise"
    with that of the class's points in the video, which is not in the paper. Around both, K is centred on the apex.
    overlap: the rows of Table 4: the label of a frame that two expressions of one class claim.
    threshold falls from `theta_start` to `theta_end` over `theta_epochs` epochs of the third stage.
    """

    durations: tuple[int, int] = (32, 16)
    hard_reach: tuple[int, int] = (5, 3)
    soft_reach: tuple[int, int] = (4, 2)
    delta: float = 1.2
    theta_start: float = 0.8
    theta_end: float = 0.5
    theta_epochs: int = 30
    stages: tuple[int, int, int] = (1, 4, 95)
    strategy: Strategy = "gim"
    overlap: Overlap = "random"

    @property
    def epochs(self) -> int:
        """All three stages."""
        return sum(self.stages)

    def stage(self, epoch: int) -> int:
        """1, 2 or 3, of an epoch counted from 0."""
        return 1 + (epoch >= self.stages[0]) + (epoch >= self.stages[0] + self.stages[1])

    def theta(self, epoch: int) -> float:
        """Equation 3's threshold in an epoch."""
        done = min(max(epoch - self.stages[0] - self.stages[1], 0) / max(self.theta_epochs, 1), 1.0)
        return self.theta_start + (self.theta_end - self.theta_start) * done


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoLabels:
    """The labels of an epoch: labels (T, C) in [0, 1], expression bool (T, C) where there is one, neutral (T,), and the
    pseudo-apex of each point.
    """

    labels: Tensor
    expression: Tensor
    neutral: Tensor
    apexes: list[int] = field(default_factory=list)

    @property
    def counted(self) -> Tensor:
        """Frames and classes of equation 9, (T, C); a neutral frame counts once."""
        counted = self.expression.clone()
        counted[:, 0] |= self.neutral
        return counted

    @property
    def reliable(self) -> Tensor:
        """Expression frames and classes whose label exceeds 0.5, (T, C)."""
        return self.expression & (self.labels > RELIABLE)


def pseudo_labels(
    intensity: Tensor,
    features: Tensor,
    points: Sequence[Point],
    epoch: int,
    config: LabelConfig,
    generator: torch.Generator | None = None,
    class_means: Mapping[int, Tensor] | None = None,
) -> PseudoLabels:
    """Labels of one video in an epoch, from intensity (T,) and features X (T, D) of the network as it stands.

    class_means: the mean feature (D,) of each class's points, which "class-wise" needs in the third stage. If two
    expressions of a class claim a frame, `config.overlap` says which label stays (appendix A.1).
    """
    total = len(intensity)
    labels = torch.zeros(total, len(EXPRESSIONS))
    expression = torch.zeros(total, len(EXPRESSIONS), dtype=torch.bool)
    apexes = []
    means = class_means or {}
    if config.strategy == "video-wise":
        means = mean_features([(features, points)])
    for point in points:
        apex, frames, values = _instance(intensity, features, point, epoch, config, means)
        span, column = slice(frames[0], frames[1] + 1), point.class_index
        claimed = expression[span, column]
        kept = claimed & _stays(labels[span, column], values, config.overlap, generator)
        labels[span, column] = torch.where(kept, labels[span, column], values)
        expression[span, column] = True
        apexes.append(apex)
    return PseudoLabels(
        labels=labels,
        expression=expression,
        neutral=pseudo_neutral(intensity, expression.any(1)),
        apexes=apexes,
    )


def _stays(first: Tensor, second: Tensor, overlap: Overlap, generator: torch.Generator | None) -> Tensor:
    """Whether the label `first` of each frame stays, (frames,) bool."""
    if overlap == "random":
        return torch.rand(len(first), generator=generator) < 0.5
    return first >= second if overlap == "higher" else first <= second


def _instance(
    intensity: Tensor,
    features: Tensor,
    point: Point,
    epoch: int,
    config: LabelConfig,
    means: Mapping[int, Tensor],
) -> tuple[int, tuple[int, int], Tensor]:
    """Centre, frames and labels of one expression in an epoch's stage."""
    total, index, stage = len(intensity), point.class_index, config.stage(epoch)
    if stage == 1:
        frames = frames_within(point.frame, config.hard_reach[index], total)
        return point.frame, frames, torch.ones(frames[1] - frames[0] + 1)
    if stage == 2:
        frames = frames_within(point.frame, config.soft_reach[index], total)
        count = frames[1] - frames[0] + 1
        if config.strategy == "hard":
            return point.frame, frames, torch.ones(count)
        return point.frame, frames, gaussian_labels(features, point.frame, frames, count)
    duration = config.durations[index]
    apex = pseudo_apex(intensity, point.frame, duration)
    rough = rough_duration(intensity, apex, duration, config.theta(epoch))
    frames = proposal_frames(apex, rough, config.delta, total)
    return (
        apex,
        frames,
        _strategy_labels(features, apex, frames, config.delta * rough, config, means.get(index)),
    )


def _strategy_labels(
    features: Tensor,
    apex: int,
    frames: tuple[int, int],
    count: float,
    config: LabelConfig,
    class_mean: Tensor | None,
) -> Tensor:
    """The labels of a proposal's frames by Table 3's strategies."""
    inside = features[frames[0] : frames[1] + 1]
    if config.strategy == "hard":
        return torch.ones(len(inside))
    if config.strategy == "cosine":
        return functional.cosine_similarity(inside, features[apex][None], dim=-1).clamp(0, 1)
    if config.strategy in ("class-wise", "video-wise"):
        if class_mean is None:
            raise ValueError(f"{config.strategy} labels need the mean feature of the class")
        return soft_labels(features, class_mean, spread(features, class_mean, frames, count), frames)
    return gaussian_labels(features, apex, frames, count)


def mean_features(videos: Iterable[tuple[Tensor, Sequence[Point]]]) -> dict[int, Tensor]:
    """The mean feature (D,) over the points of each class, from features X (T, D) and points of videos."""
    found: defaultdict[int, list[Tensor]] = defaultdict(list)
    for features, points in videos:
        for point in points:
            found[point.class_index].append(features[point.frame])
    return {index: torch.stack(rows).mean(0) for index, rows in found.items()}
