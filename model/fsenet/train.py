"""Trains FSENet: seeded, bit-exactly resumable, selected on held-out training videos.

Every random number is a function of (seed, epoch, step), so the state of a run is its weights, its optimiser and its
position. A run that is killed at any time and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sentiloc.model.data.items import Item
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.evaluation.metrics import DetectionMetrics
from sentiloc.model.fsenet.batching import Batch, collate, epoch_batches
from sentiloc.model.fsenet.checkpoint import network_state
from sentiloc.model.fsenet.diagnostics import attention_entropy
from sentiloc.model.fsenet.losses import TERMS
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.fsenet.recipes import AS_PRINTED, RECIPES, TrainConfig, build_optimizer, pick_precision
from sentiloc.model.fsenet.scoring import evaluate_items
from sentiloc.model.fsenet.step import BatchLoss
from sentiloc.model.training.checkpoint import contents_of, load_checkpoint
from sentiloc.model.training.epochs import Progress, check_loss, resumed_state, step_seed
from sentiloc.model.training.parallel import (
    from_first,
    is_first,
    mean_metrics,
    own_rows,
    own_seed,
    processes,
    replicated,
    share,
)
from sentiloc.model.training.run_folder import RunFolder

__all__ = ["AS_PRINTED", "RECIPES", "TrainConfig", "TrainResult", "split_items", "train"]

logger = logging.getLogger(__name__)

_ENTROPY_VIDEOS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """The selected network (evaluation mode), its held-out metrics and epoch, and the last epoch's losses."""

    network: FSENet
    best_epoch: int
    best_map: float
    losses: dict[str, float]


def split_items(items: Sequence[Item], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Hold out a share of the items for model selection; the same names for the same seed."""
    ordered = sorted(items, key=lambda item: item.name)
    # Sort the names first: the split must not depend on the order in which a folder was listed.
    held = set(
        np.random.default_rng(seed).permutation(len(ordered))[: round(fraction * len(ordered))].tolist()
    )
    kept = [item for index, item in enumerate(ordered) if index not in held]
    return kept, [item for index, item in enumerate(ordered) if index in held]


def train(
    config: TrainConfig,
    train_items: Sequence[Item],
    val_items: Sequence[Item],
    *,
    run_dir: Path | None = None,
    resume: bool = False,
    audio_encoder: nn.Module | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    record: dict[str, Any] | None = None,
    initial: Mapping[str, Tensor] | None = None,
) -> TrainResult:
    """Train on items in memory and return the network that was best on `val_items` (the last, if there are
    none).

    run_dir: configuration, log, TensorBoard scalars, best.pt and last.pt go there; with `resume`, a run found there
        continues. progress(step, steps, losses) is called after each step. record: what the run is made from
        (`model/training/record.py`), for its config.json. initial: weights to begin with, instead of drawn ones. Raises
        `invalid_data` for nothing to train on, unlabelled `val_items` or a loss that is not finite.
    """
    if not train_items or (val_items and not any(item.segments for item in val_items)):
        raise SentilocError(ErrorCode.INVALID_DATA, "no training videos, or no segments in the held-out ones")
    # Restore the caller's random state afterwards, as if no training had happened.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = FSENet(config.network, audio_encoder)
        if initial is not None:
            network.load_state_dict(initial)
        folder = RunFolder(run_dir, asdict(config), resume=resume, record=record)
        trainer = _Trainer(config, network, device, folder)
        return trainer.fit(train_items, val_items, progress or _no_progress)


def _no_progress(_step: int, _steps: int, _losses: dict[str, float]) -> None:
    pass


class _Trainer:
    """The state of one run and the step that advances it."""

    def __init__(self, config: TrainConfig, network: FSENet, device: str | None, folder: RunFolder) -> None:
        self.config, self.folder = config, folder
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.network = network.to(self.device)
        # Without GSP the global scores equal the class scores, so their loss would count equation 11 twice.
        self.loss = replace(config.loss, frame_glo=config.loss.frame_glo and config.network.gsp)
        self.optimizer = build_optimizer(network, config)
        self.precision = pick_precision(config.precision, self.device)
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        self.batch_loss = replicated(BatchLoss(network, self.loss, half, compiled=config.compile))
        # Only fp16 has such a small range that gradients vanish; bf16 has the range of float32.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.epoch, self.step, self.best_epoch, self.best_map = 0, 0, -1, -math.inf
        self.sums: dict[str, float] = {}
        self.losses: dict[str, float] = {}
        self.best_state: dict[str, Any] | None = None
        self.saved_at = time.monotonic()

    def fit(self, items: Sequence[Item], held_out: Sequence[Item], progress: Progress) -> TrainResult:
        """Train from the state in the run folder to the last epoch."""
        self._restore()
        steps = math.ceil(len(items) / self.config.batch_size)
        for epoch in range(self.epoch, self.config.epochs):
            self.epoch = epoch
            self._run_epoch(items, steps, progress)
            self._finish_epoch(items, held_out, steps)
        self._save()
        self.folder.close()
        chosen = (self.best_state, self.best_epoch, self.best_map)
        self.best_state, self.best_epoch, self.best_map = from_first(chosen)
        if self.best_state is not None:
            self.network.load_state_dict(self.best_state)
        return TrainResult(
            network=self.network.cpu().eval(),
            best_epoch=self.best_epoch,
            best_map=self.best_map,
            losses=self.losses,
        )

    def _run_epoch(self, items: Sequence[Item], steps: int, progress: Progress) -> None:
        config = self.config
        lengths = [len(item.features) for item in items]
        batches = epoch_batches(lengths, config.batch_size, config.seed, self.epoch, bucket=config.bucket)
        self.network.train()
        while self.step < steps:
            chosen = [items[index] for index in batches[self.step]]
            batch = collate(chosen, config.network, self.loss.supervision)
            losses = self._train_step(batch, steps, [item.name for item in chosen])
            for name, value in losses.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.step += 1
            progress(self.epoch * steps + self.step, config.epochs * steps, losses)
            if time.monotonic() - self.saved_at >= config.checkpoint_seconds:
                self._save()

    def _train_step(self, batch: Batch, steps: int, names: Sequence[str]) -> dict[str, float]:
        """One step on the videos with these names; the terms of the loss."""
        config = self.config
        seed = step_seed(config.seed, self.epoch, self.step)
        # Dropout draws from this seed, so a resumed step draws what the interrupted one would have.
        torch.manual_seed(own_seed(seed))
        if config.stream_dropout > 0:
            batch = batch.without_streams(config.stream_dropout, torch.Generator().manual_seed(seed))
        videos = len(batch.valid)
        weight = share(videos)
        if processes() > 1:
            batch = batch.part(own_rows(videos), counted=weight > 0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.epoch * steps + self.step, steps)
        loss, terms = self.batch_loss(batch.to(self.device))
        losses = dict(zip(TERMS, mean_metrics(terms, videos).tolist(), strict=True))
        check_loss(losses["total"], self.epoch, self.step, names)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss if weight == 1 else loss * weight))
        if config.clip > 0:
            # The norm must be that of the true gradients, not of the scaled ones.
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return losses

    def _learning_rate(self, step: int, steps: int) -> float:
        if self.config.schedule == "constant":
            return self.config.learning_rate
        return self.config.learning_rate * (1 + math.cos(math.pi * step / (self.config.epochs * steps))) / 2

    def _finish_epoch(self, items: Sequence[Item], held_out: Sequence[Item], steps: int) -> None:
        self.losses = {name: value / steps for name, value in self.sums.items()}
        if is_first():
            self._validate(items, held_out)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        if time.monotonic() - self.saved_at >= self.config.checkpoint_seconds:
            self._save()

    def _validate(self, items: Sequence[Item], held_out: Sequence[Item]) -> None:
        """Log the epoch, and keep its weights if they are the best on held-out videos."""
        record: dict[str, float] = {"epoch": self.epoch, **self.losses}
        # An entropy of one means that attention is a plain mean over time, which the losses do not show.
        seen = attention_entropy(self.network, (held_out or items)[:_ENTROPY_VIDEOS])
        record |= {f"entropy_{name}": value for name, value in seen.items()}
        last = self.epoch + 1 == self.config.epochs
        if held_out and (last or (self.epoch + 1) % self.config.validate_every == 0):
            metrics = evaluate_items(self.network, held_out)
            record |= {"mAP": metrics.average_map, "recall": float(np.mean(metrics.recall))}
            record |= {"F2": float(np.mean(metrics.f2))}
            self._keep_best(metrics)
        self.folder.log(record)

    def _keep_best(self, metrics: DetectionMetrics) -> None:
        if metrics.average_map > self.best_map:
            self.best_epoch, self.best_map = self.epoch, metrics.average_map
            weights = self.network.state_dict()
            # A copy, because state_dict returns the tensors that the next step changes.
            self.best_state = {name: value.detach().cpu().clone() for name, value in weights.items()}
            self.folder.save_best(network_state(self.network) | {"epoch": self.epoch, "mAP": self.best_map})

    def _save(self) -> None:
        names = ("epoch", "step", "best_epoch", "best_map", "sums", "losses")
        state = {name: getattr(self, name) for name in names}
        state |= {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        self.folder.save_last(network_state(self.network) | state)
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        state = resumed_state(self.folder)
        if state is None:
            return
        with contents_of(self.folder.last, "a run that can go on"):
            self.network.load_state_dict(state["weights"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            for name in ("epoch", "step", "best_epoch", "best_map", "sums", "losses"):
                setattr(self, name, state[name])
        if self.best_epoch >= 0 and is_first():
            self.best_state = load_checkpoint(self.folder.best)["weights"]
        # The log may contain epochs after the last checkpoint. They are run and logged again.
        self.folder.forget_after(self.epoch)
        logger.info("resumed at epoch %d, step %d", self.epoch, self.step)
