"""Training CTEN from one label per video: section 3.4, with and without the erasing module.

A run depends only on its configuration and items, even if it is killed and resumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sentiloc.model.cten.detect import EmotionScores, detection_map, emotion_spans, span_class
from sentiloc.model.cten.erasing import erasing_mask
from sentiloc.model.cten.items import EmotionBatch, EmotionItem, collate, drawn
from sentiloc.model.cten.losses import cross_entropy, total_loss
from sentiloc.model.cten.network import CTEN, CTENConfig
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.evaluation.confidence import Confidence, fit_confidence, without_held_out
from sentiloc.model.evaluation.metrics import GroundTruthSegment
from sentiloc.model.segments import Proposal
from sentiloc.model.training.epochs import SELECTION, EpochRun, Progress, check_loss, step_seed
from sentiloc.model.training.parallel import is_first, mean_metrics, own_rows, own_seed, replicated, share
from sentiloc.model.training.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class CTENTrainConfig:
    """A whole run. Defaults are the paper's (section 4.2). Values that it does not give:

    - epochs 100: no number is printed.
    - momentum 0.9: "mini-batch SGD"; the usual one. optimizer "adam" reaches the same in fewer epochs.
    - rounds 1: erasings per step. Equation 12 has one; further ones erase from the rest, with a loss term each.
    - checkpoint_seconds 60: minimum time between two saved states of a run; they are saved between epochs.
    """

    network: CTENConfig
    theta: float = 0.7
    erasing: bool = True
    rounds: int = 1
    optimizer: str = "sgd"
    learning_rate: float = 2e-4
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 32
    epochs: int = 100
    checkpoint_seconds: float = 60.0
    seed: int = 0

    def quick(self) -> CTENTrainConfig:
        """The same for a CPU: Adam at 1e-3, 40 epochs."""
        return replace(self, optimizer="adam", learning_rate=1e-3, weight_decay=1e-4, epochs=40)


@dataclass(slots=True)
class CTENResult:
    """The trained network (evaluation mode), the mean loss of each epoch, and the epoch of the network."""

    network: CTEN
    losses: list[float] = field(default_factory=list)
    best_epoch: int = -1


def train_cten(
    config: CTENTrainConfig,
    items: Sequence[EmotionItem],
    progress: Progress | None = None,
    *,
    val_items: Sequence[EmotionItem] = (),
    run_dir: Path | None = None,
    resume: bool = False,
    record: dict[str, Any] | None = None,
) -> CTENResult:
    """Train on items in memory; raises `invalid_data` without training data or if the loss is not finite.

    val_items: the network of the epoch with the highest accuracy on them is returned; in a tie, the one with the lower
        cross entropy. Without any, the last epoch's network is returned. run_dir: configuration, log, TensorBoard
        scalars, best.pt and last.pt go there; with `resume` a run found there continues. record: the origin of the run
        (`model/training/record.py`).
    """
    if not items:
        raise SentilocError(ErrorCode.INVALID_DATA, "no video to train on")
    fixed = config.network.segments
    for item in (*items, *val_items):
        if fixed is not None and len(item.visual) != fixed:
            detail = f"{item.name}: {len(item.visual)} segments, and the network takes {fixed}"
            raise SentilocError(ErrorCode.INVALID_DATA, detail)
    folder = RunFolder(run_dir, asdict(config), resume=resume, record=record)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = CTEN(config.network)
        optimizer = _optimizer(network, config)
        run = EpochRun(network, optimizer, folder, config.checkpoint_seconds)
        step = replicated(_StepLoss(network, config))
        history = run.run(
            config.epochs,
            lambda epoch: (
                _epoch(step, optimizer, items, epoch, config, progress)
                | _selection(network, val_items if is_first() else ())
            ),
        )
    return CTENResult(network.eval(), [metrics["total"] for metrics in history], run.best_epoch)


def _selection(network: CTEN, items: Sequence[EmotionItem]) -> dict[str, float]:
    """Accuracy on held-out videos, minus a small share of their cross entropy, which breaks ties."""
    if not items:
        return {}
    shares = [
        float(s.video[item.class_index]) for s, item in zip(score_items(network, items), items, strict=True)
    ]
    entropy = float(-np.log(np.clip(shares, 1e-9, 1)).mean())
    right = accuracy(network, items)
    return {
        "val_accuracy": right,
        "val_cross_entropy": entropy,
        # The divisor keeps the second term below the accuracy of one video.
        SELECTION: right - entropy / (100 * len(items)),
    }


class _StepLoss(nn.Module):
    """The network with `step_loss`, as one module to differentiate."""

    def __init__(self, network: CTEN, config: CTENTrainConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, batch: EmotionBatch) -> Tensor:
        return step_loss(self.network, batch, self.config)


def _epoch(
    step_module: nn.Module,
    optimizer: torch.optim.Optimizer,
    items: Sequence[EmotionItem],
    epoch: int,
    config: CTENTrainConfig,
    progress: Progress | None,
) -> dict[str, float]:
    """One pass over the videos; its mean loss."""
    step_module.train()
    steps = math.ceil(len(items) / config.batch_size)
    order = np.random.default_rng((config.seed, epoch)).permutation(len(items))
    losses = []
    for step in range(steps):
        # Per step, so that a resumed run draws the same dropout.
        torch.manual_seed(own_seed(step_seed(config.seed, epoch, step)))
        chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
        # Seeded per video, so that its pictures do not depend on the other videos or on the number of processes.
        shown = [
            drawn(items[place], np.random.default_rng((config.seed, epoch, place)))
            for place in (int(chosen[row]) for row in own_rows(len(chosen)))
        ]
        loss = step_module(collate(shown))
        whole = mean_metrics(loss, len(chosen)).item()
        check_loss(whole, epoch, step, [items[place].name for place in chosen])
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss * share(len(chosen)))
        optimizer.step()
        losses.append(whole)
        if progress is not None:
            progress(epoch * steps + step + 1, config.epochs * steps, {"total": losses[-1]})
    return {"total": float(np.mean(losses))}


def step_loss(network: CTEN, batch: EmotionBatch, config: CTENTrainConfig) -> Tensor:
    """Equation 12 for one batch: the original videos, their keyframes, and what erasing leaves.

    The mask carries no gradient. A video without common keyframes of both modalities has no keyframe video; a video
    that is erased completely has no rest. Such videos do not count in that term.
    """
    output = network(batch.visual, batch.audio, batch.valid)
    terms = [cross_entropy(output.activations, batch.classes)]
    valid, attention = batch.valid, output.attention
    for _ in range(config.rounds if config.erasing else 0):
        # Detached: the mask is a threshold, and attention must not be trained to avoid it.
        erased = erasing_mask(attention[..., 0].detach(), attention[..., 1].detach(), config.theta) & valid
        terms.append(_part_loss(network, batch, erased, erased.any(1)))
        left = valid & ~erased
        counted = left.any(1) & erased.any(1)
        # A video without a rest is passed whole, because an empty one would be NaN; it does not count.
        leftover = network(batch.visual, batch.audio, left | ~left.any(1, keepdim=True))
        terms.append(cross_entropy(leftover.activations, batch.classes, counted))
        valid, attention = left, leftover.attention
    return total_loss(terms)


def _part_loss(network: CTEN, batch: EmotionBatch, part: Tensor, counted: Tensor) -> Tensor:
    """Cross entropy of the videos restricted to `part` (B, T)."""
    shown = part | ~counted[:, None]
    output = network(batch.visual, batch.audio, shown)
    return cross_entropy(output.activations, batch.classes, counted)


def _optimizer(network: nn.Module, config: CTENTrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        network.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
    )


def score_items(network: CTEN, items: Sequence[EmotionItem]) -> list[EmotionScores]:
    """The network's output for each original video (without erasing), section 4.2."""
    network.eval()
    found = []
    with torch.inference_mode():
        for item in items:
            batch = collate([item])
            output = network(batch.visual, batch.audio)
            found.append(
                EmotionScores(
                    video=torch.softmax(output.activations, -1)[0].numpy(),
                    segments=torch.softmax(output.segments, -1)[0].numpy(),
                    attention=output.attention[0].numpy(),
                )
            )
    return found


def accuracy(network: CTEN, items: Sequence[EmotionItem]) -> float:
    """Share of videos whose emotion is recognized."""
    scores = score_items(network, items)
    return float(
        np.mean([int(s.video.argmax()) == item.class_index for s, item in zip(scores, items, strict=True)])
    )


def detection(network: CTEN, items: Sequence[EmotionItem]) -> dict[float, float]:
    """mAP per tIoU (section 4.5) over the items that have annotated segments."""
    labelled = [item for item in items if item.segments]
    spans = [emotion_spans(scores) for scores in score_items(network, labelled)]
    return detection_map(
        {item.name: found for item, found in zip(labelled, spans, strict=True)},
        {item.name: item.segments for item in labelled},
        {item.name: item.segment_seconds for item in labelled},
    )


def held_out_confidence(network: CTEN, items: Sequence[EmotionItem], classes: Sequence[str]) -> Confidence:
    """Fit a calibration on the spans found in held-out videos with annotated segments. A span is correct if it overlaps
    a segment and has the video's emotion.
    """
    labelled = [item for item in items if item.segments]
    if not labelled:
        return without_held_out("no held-out video with annotated segments")
    found, truth = {}, {}
    for item, scores in zip(labelled, score_items(network, labelled), strict=True):
        step = item.segment_seconds
        found[item.name] = [
            Proposal(classes[span_class(scores, span)], span.score, span.start * step, span.stop * step)
            for span in emotion_spans(scores)
        ]
        truth[item.name] = [GroundTruthSegment(classes[item.class_index], *times) for times in item.segments]
    return fit_confidence(found, truth)
