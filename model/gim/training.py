"""Trains GIM from one point per expression, in three stages.

A run depends only on its configuration and items, even if it is killed and resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.gim.contrast import contrast_loss
from sentiloc.model.gim.evaluation import evaluate_items
from sentiloc.model.gim.items import ExpressionItem
from sentiloc.model.gim.labels import EXPRESSIONS, LabelConfig, PseudoLabels, mean_features, pseudo_labels
from sentiloc.model.gim.losses import (
    LossWeights,
    action_loss,
    intensity_loss,
    norm_loss,
    refined_scores,
    smooth_loss,
    total_loss,
)
from sentiloc.model.gim.network import GIM, GIMConfig, GIMOutput
from sentiloc.model.training.epochs import SELECTION, EpochRun, Progress, check_loss, step_seed
from sentiloc.model.training.parallel import (
    is_first,
    joined_lists,
    mean_metrics,
    own_rows,
    own_seed,
    replicated,
    share,
)
from sentiloc.model.training.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class GIMTrainConfig:
    """A whole run. Defaults are the paper's (section 4.1). Values that it does not give:

    - temperature 0.1 of equation 7; batch_size 8 videos.
    - contrast_frames 64: equation 7 compares all pairs; a video with more reliable frames gives a seeded sample,
      whose sum over frames is scaled up to that of all of them.
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
    checkpoint_seconds: float = 60.0
    seed: int = 0

    def quick(self) -> GIMTrainConfig:
        """The same for a CPU: 1 + 4 + 35 epochs of larger steps, with more decay and a smaller lambda_2.

        Equation 13 pulls every reliable frame towards 1: with little decay intensities end as pulses, 0 or 1, whose
        length no longer follows the expression's.
        """
        labels = replace(self.labels, stages=(1, 4, 35), theta_epochs=10)
        weights = replace(self.weights, norm=0.1)
        return replace(
            self, labels=labels, weights=weights, learning_rate=1e-3, weight_decay=0.2, batch_size=2
        )


@dataclass(slots=True)
class GIMResult:
    """The trained network (evaluation mode) and, by epoch, its mean loss and the mean distance in frames from pseudo-
    apex to true apex (Fig.

    7), if the items have ground truth.
    """

    network: GIM
    losses: list[float] = field(default_factory=list)
    apex_errors: list[float] = field(default_factory=list)
    best_epoch: int = -1


def train_gim(
    config: GIMTrainConfig,
    items: Sequence[ExpressionItem],
    progress: Progress | None = None,
    *,
    val_items: Sequence[ExpressionItem] = (),
    run_dir: Path | None = None,
    resume: bool = False,
    record: dict[str, Any] | None = None,
) -> GIMResult:
    """Train on items in memory; raises `invalid_data` where no item has a point or a loss is not finite.

    val_items: the network of the third stage's epoch with the highest F1 on them is returned; without any that have
    expressions, the last epoch's.
    run_dir: configuration, log, TensorBoard scalars and last.pt go there; with `resume`, a run found there continues.
    record: what the run is made from (`model/training/record.py`).
    """
    if not any(item.points for item in items):
        raise SentilocError(ErrorCode.INVALID_DATA, "no point of any expression to train on")
    folder = RunFolder(run_dir, asdict(config), resume=resume, record=record)
    labelled = [item for item in val_items if item.expressions]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        run = _Run(config, GIM(config.network), items, progress)
        epochs = EpochRun(run.network, run.optimizer, folder, config.checkpoint_seconds)
        history = epochs.run(
            config.labels.epochs,
            lambda epoch: (
                run.epoch(epoch) | _selection(run.network, labelled if is_first() else (), epoch, config)
            ),
        )
    return GIMResult(
        run.network.eval(),
        [metrics["total"] for metrics in history],
        [metrics.get("apex_error", float("nan")) for metrics in history],
        epochs.best_epoch,
    )


def _selection(
    network: GIM, items: Sequence[ExpressionItem], epoch: int, config: GIMTrainConfig
) -> dict[str, float]:
    """F1 on held-out videos, in the third stage."""
    if not items or config.labels.stage(epoch) < 3:
        return {}
    found = evaluate_items(network, items)["overall"].f1
    return {"val_f1": found, SELECTION: found}


class _Run:
    """The state of one training. Several processes share the videos of a batch."""

    def __init__(
        self,
        config: GIMTrainConfig,
        network: GIM,
        items: Sequence[ExpressionItem],
        progress: Progress | None = None,
    ) -> None:
        self.config, self.network, self.items, self.progress = config, network, items, progress
        self.flows = [torch.from_numpy(np.ascontiguousarray(item.flow)) for item in items]
        self.optimizer = torch.optim.Adam(
            network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.batch_loss = replicated(_BatchLoss(self))
        self.class_means: dict[int, Tensor] = {}

    def epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the videos; pseudo-labels come from the network as it stands at each step, no dropout."""
        config = self.config
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self.items)).tolist()
        losses, errors = [], []
        if config.labels.strategy == "class-wise" and config.labels.stage(epoch) == 3:
            self.class_means = self._class_means()
        for start in range(0, len(order), config.batch_size):
            # Per step, so that a resumed run draws the same dropout.
            torch.manual_seed(own_seed(step_seed(config.seed, epoch, start)))
            batch = order[start : start + config.batch_size]
            weight = share(len(batch))
            loss, found = self.batch_loss([batch[row] for row in own_rows(len(batch))], epoch)
            errors += joined_lists(found if weight else [])
            whole = mean_metrics(loss, len(batch)).item()
            check_loss(whole, epoch, start // config.batch_size, [self.items[place].name for place in batch])
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss * weight)
            self.optimizer.step()
            losses.append(whole)
        if self.progress is not None:
            self.progress(epoch + 1, config.labels.epochs, {"total": losses[-1]})
        metrics = {"total": float(np.mean(losses))}
        return metrics | ({"apex_error": float(np.mean(errors))} if errors else {})

    def _class_means(self) -> dict[int, Tensor]:
        """The mean feature of each class's points in all videos, by the network at the start of the epoch."""
        self.network.eval()
        with torch.no_grad():
            # Every process reads all videos, so all processes have the same means.
            return mean_features(
                (self.network(flow[None]).features[0], item.points)
                for flow, item in zip(self.flows, self.items, strict=True)
                if item.points
            )

    def video(self, index: int, epoch: int) -> tuple[Tensor, PseudoLabels]:
        """Loss and pseudo-labels of one video."""
        generator = torch.Generator().manual_seed(step_seed(self.config.seed, epoch, index))
        flow, points = self.flows[index][None], self.items[index].points
        with torch.no_grad():
            # Without dropout, because random holes would move the pseudo-apex.
            seen = self.network.eval()(flow)
            labels = pseudo_labels(
                seen.fine_intensity[0],
                seen.features[0],
                points,
                epoch,
                self.config.labels,
                generator,
                self.class_means,
            )
        return video_loss(self.network.train()(flow), labels, self.config, generator), labels


class _BatchLoss(nn.Module):
    """Mean loss of some videos, and how far pseudo-apexes are off, as one module to differentiate."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self.network, self.run = run.network, run

    def forward(self, videos: list[int], epoch: int) -> tuple[Tensor, list[float]]:
        terms, errors = [], []
        for index in videos:
            loss, labels = self.run.video(index, epoch)
            terms.append(loss)
            errors += apex_errors(self.run.items[index], labels)
        return torch.stack(terms).mean(), errors


def apex_errors(item: ExpressionItem, labels: PseudoLabels) -> list[float]:
    """Frames between each pseudo-apex and the true apex of the expression in which its point lies."""
    found = []
    for point, apex in zip(item.points, labels.apexes, strict=True):
        # Matched by frame, because the files of points and of expressions may have different orders.
        around = [
            row.apex
            for row in item.expressions
            if row.class_index == point.class_index and row.onset <= point.frame <= row.offset
        ]
        if around:
            found.append(float(abs(apex - min(around, key=lambda true: abs(true - point.frame)))))
    return found


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
    whole = len(chosen)
    if whole > config.contrast_frames:
        chosen = chosen[torch.randperm(whole, generator=generator)[: config.contrast_frames]]
    loss = contrast_loss(embedded[chosen], strongest[chosen], classes[chosen], config.temperature)
    return loss * (whole / max(len(chosen), 1))
