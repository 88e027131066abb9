"""Training GIM from one point per expression, in three stages, and leave-one-subject-out evaluation.

Seeded: a run is a function of its configuration and its items.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from model.errors import ErrorCode, SentilocError
from model.gim.contrast import contrast_loss
from model.gim.items import ExpressionItem
from model.gim.labels import EXPRESSIONS, LabelConfig, PseudoLabels, pseudo_labels
from model.gim.losses import (
    LossWeights,
    action_loss,
    intensity_loss,
    norm_loss,
    refined_scores,
    smooth_loss,
    total_loss,
)
from model.gim.network import GIM, GIMConfig, GIMOutput
from model.gim.spotting import (
    DEFAULT_RULE,
    Counts,
    SpottedExpression,
    SpottingRule,
    add_counts,
    spot,
    video_counts,
)

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GIMTrainConfig:
    """A whole run. Defaults are the paper's (section 4.1); those that it does not give:

    - temperature 0.1 of equation 7; batch_size 8 videos.
    - contrast_frames 64: equation 7 compares all pairs; a video with more reliable frames gives a seeded sample.
    """

    network: GIMConfig
    labels: LabelConfig = field(default_factory=LabelConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    intensity: Literal["mse", "bce"] = "mse"
    norm: Literal["mean", "sum"] = "mean"
    temperature: float = 0.1
    contrast_frames: int = 64
    learning_rate: float = 2.0e-5
    weight_decay: float = 0.1
    batch_size: int = 8
    seed: int = 0

    def quick(self) -> GIMTrainConfig:
        """The same for a CPU: 1 + 4 + 35 epochs of larger steps with less decay; lambda_2 between the paper's two."""
        labels = replace(self.labels, stages=(1, 4, 35), theta_epochs=10)
        weights = replace(self.weights, norm=1.0)
        return replace(
            self, labels=labels, weights=weights, learning_rate=1e-3, weight_decay=1e-3, batch_size=2
        )


@dataclass(slots=True)
class GIMResult:
    """The trained network (evaluation mode) and, by epoch, its mean loss and the mean distance in frames from
    pseudo-apex to true apex (Fig. 7), where the items tell the truth.
    """

    network: GIM
    losses: list[float] = field(default_factory=list)
    apex_errors: list[float] = field(default_factory=list)


def train_gim(
    config: GIMTrainConfig, items: Sequence[ExpressionItem], progress: Progress | None = None
) -> GIMResult:
    """Train on items in memory; raises `invalid_data` where no item has a point or a loss is not finite."""
    if not any(item.points for item in items):
        raise SentilocError(ErrorCode.INVALID_DATA, "no point of any expression to train on")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        run = _Run(config, GIM(config.network).train(), items)
        for epoch in range(config.labels.epochs):
            run.epoch(epoch)
            if progress is not None:
                progress(epoch + 1, config.labels.epochs, {"total": run.result.losses[-1]})
    run.result.network.eval()
    return run.result


class _Run:
    """The state of one training."""

    def __init__(self, config: GIMTrainConfig, network: GIM, items: Sequence[ExpressionItem]) -> None:
        self.config, self.network, self.items = config, network, items
        self.flows = [torch.from_numpy(np.ascontiguousarray(item.flow)) for item in items]
        self.optimizer = torch.optim.Adam(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.result = GIMResult(network)

    def epoch(self, epoch: int) -> None:
        """One pass over the videos; pseudo-labels come from the network as it stands at each step."""
        config = self.config
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self.items)).tolist()
        losses, errors = [], []
        for start in range(0, len(order), config.batch_size):
            terms = []
            for index in order[start : start + config.batch_size]:
                loss, labels = self._video(index, epoch)
                terms.append(loss)
                errors += apex_errors(self.items[index], labels)
            loss = torch.stack(terms).mean()
            if not bool(torch.isfinite(loss)):
                raise SentilocError(ErrorCode.INVALID_DATA, f"loss is {loss.item()} in epoch {epoch}")
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
            losses.append(loss.item())
        self.result.losses.append(float(np.mean(losses)))
        self.result.apex_errors.append(float(np.mean(errors)) if errors else float("nan"))

    def _video(self, index: int, epoch: int) -> tuple[Tensor, PseudoLabels]:
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence((self.config.seed, epoch, index)).generate_state(1)[0])
        )
        output = self.network(self.flows[index][None])
        with torch.no_grad():
            labels = pseudo_labels(
                output.intensity[0].detach(),
                output.features[0].detach(),
                self.items[index].points,
                epoch,
                self.config.labels,
                generator,
            )
        return video_loss(output, labels, self.config, generator), labels


def apex_errors(item: ExpressionItem, labels: PseudoLabels) -> list[float]:
    """Frames between each pseudo-apex and its expression's true apex."""
    return [
        float(abs(apex - item.expressions[number].apex))
        for number, apex in enumerate(labels.apexes)
        if number < len(item.expressions)
    ]


def video_loss(
    output: GIMOutput, labels: PseudoLabels, config: GIMTrainConfig, generator: torch.Generator
) -> Tensor:
    """Equation 14 for one video."""
    intensity, scores = output.intensity[0], output.actions[0]
    refined = refined_scores(scores, intensity)
    reliable = labels.reliable
    return total_loss(
        intensity_loss(intensity, labels.labels, labels.counted, config.intensity),
        action_loss(refined, reliable.to(refined.dtype), reliable.any(1), labels.neutral),
        smooth_loss(intensity),
        norm_loss(intensity, config.norm),
        _contrast(output.embedded[0], labels, config, generator),
        config.weights,
    )


def _contrast(
    embedded: Tensor, labels: PseudoLabels, config: GIMTrainConfig, generator: torch.Generator
) -> Tensor:
    """Equation 7 over the reliable expression frames and the neutral ones of a video."""
    strongest, column = (labels.labels * labels.reliable).max(1)
    neutral = len(EXPRESSIONS)
    classes = torch.where(labels.neutral, torch.full_like(column, neutral), column)
    chosen = (labels.reliable.any(1) | labels.neutral).nonzero().flatten()
    if len(chosen) > config.contrast_frames:
        chosen = chosen[torch.randperm(len(chosen), generator=generator)[: config.contrast_frames]]
    return contrast_loss(embedded[chosen], strongest[chosen], classes[chosen], config.temperature)


def spot_items(
    network: GIM, items: Sequence[ExpressionItem], rule: SpottingRule = DEFAULT_RULE
) -> list[list[SpottedExpression]]:
    """Expressions that the network finds in each video."""
    network.eval()
    found = []
    with torch.inference_mode():
        for item in items:
            output = network(torch.from_numpy(np.ascontiguousarray(item.flow))[None])
            found.append(spot(output.intensity[0].numpy(), output.actions[0].numpy(), rule))
    return found


def evaluate_items(
    network: GIM, items: Sequence[ExpressionItem], rule: SpottingRule = DEFAULT_RULE
) -> dict[str, Counts]:
    """Counts by class and overall over some videos."""
    rows = [
        video_counts(found, [(e.onset, e.offset, e.class_index) for e in item.expressions])
        for item, found in zip(items, spot_items(network, items, rule), strict=True)
    ]
    return {name: add_counts(row[name] for row in rows) for name in (*EXPRESSIONS, "overall")}


def leave_one_subject_out(
    config: GIMTrainConfig, items: Sequence[ExpressionItem], rule: SpottingRule = DEFAULT_RULE
) -> tuple[dict[str, Counts], list[GIMResult]]:
    """MEGC2021: each subject is spotted by a network that never saw them; counts are added up over all."""
    rows, runs = [], []
    for subject in sorted({item.subject for item in items}):
        run = train_gim(config, [item for item in items if item.subject != subject])
        rows.append(evaluate_items(run.network, [item for item in items if item.subject == subject], rule))
        runs.append(run)
    return {name: add_counts(row[name] for row in rows) for name in (*EXPRESSIONS, "overall")}, runs
