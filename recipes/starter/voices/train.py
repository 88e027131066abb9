"""Pretrain the audio encoder on acted speech: negative, positive, neutral on speakers it has never heard.

    python -m recipes.starter.voices.train --data SENTILOC_DATA --run RUN

The run folder holds the log-mel cache (430 MB, about 5 minutes of one core, made once), `checkpoint.pt` (the
run goes on from there when it is started again) and, at the end, `speech_encoder.pt`: `{"config", "encoder",
"heads"}`, averaged weights of the encoder (`SpeechEncoder`) and of the pretraining heads (`SpeechHeads`). The
starter build reads it and bakes the encoder into its network. The default steps take about 17 minutes of one
core; everything follows from the seed, and nothing is chosen on the validation speakers.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recipes.starter.splits import FOLDS, folds_of
from recipes.starter.voices.data import LogMels, Utterance, load_versions, read_index
from recipes.starter.voices.net import SpeechNet
from recipes.starter.voices.scores import held_out_items, predict, recalls, unweighted_recall
from recipes.starter.voices.sequences import SpeechBatch, SpeechComposer
from sentiloc.model.extractors.speech import SpeechConfig

AVERAGE_DECAY = 0.995
WARM_UP = 60
COOL_DOWN = 0.35
FOLD_STEPS = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechTraining:
    """How long and how fast: optimiser steps, peak learning rate of AdamW, weight decay, seed.

    `fold`: the training speakers of this fold are left out.
    """

    steps: int = 2000
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0
    save_every: int = 200
    fold: int | None = None

    @property
    def config(self) -> SpeechConfig:
        """Sizes of the encoder: those of a fold hear fewer voices and are smaller."""
        return SpeechConfig() if self.fold is None else SpeechConfig(dim=256, bands=8, hidden=128)


class _Run:
    """Network, average, optimiser and step: what a checkpoint holds."""

    def __init__(self, folder: Path, training: SpeechTraining) -> None:
        torch.manual_seed(training.seed)
        self.folder, self.training, self.step = folder, training, 0
        self.net, self.average = SpeechNet(training.config), SpeechNet(training.config)
        self.average.load_state_dict(self.net.state_dict())
        self.average.eval()
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": training.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ]
        )
        if self._checkpoint.exists():
            self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        if {**state["training"], "steps": self.training.steps} != asdict(self.training):
            raise ValueError(f"{self._checkpoint} belongs to another training: {state['training']}")
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])

    def save(self) -> None:
        """Write checkpoint and averaged weights, each by rename."""
        state = {
            "training": asdict(self.training),
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write(state, self._checkpoint)
        write(
            {
                "config": asdict(self.average.encoder.config),
                "encoder": self.average.encoder.state_dict(),
                "heads": self.average.heads.state_dict(),
            },
            self.folder / "speech_encoder.pt",
        )

    def take_step(self, batch: SpeechBatch) -> float:
        """One optimiser step; returns the loss."""
        torch.manual_seed(self.training.seed + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = _learning_rate(self.training, self.step)
        self.net.train()
        loss = self.net.loss(batch)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return loss.item()

    def _update_average(self) -> None:
        decay = min(AVERAGE_DECAY, self.step / (self.step + 20))
        current = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])


def write(state: Mapping[str, Any], path: Path) -> None:
    """Save a state by rename: the file is whole or not there."""
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def _learning_rate(training: SpeechTraining, step: int) -> float:
    """Linear warm-up, a plateau, and a linear decay to a fiftieth over the last part of the steps."""
    decay = (training.steps - step) / (COOL_DOWN * training.steps)
    return training.learning_rate * max(0.02, min((step + 1) / WARM_UP, decay, 1.0))


def _evaluate(run: _Run, utterances: Sequence[Utterance], versions: Sequence[LogMels]) -> None:
    items = held_out_items(utterances)
    for name, mels in (("clean", versions[0]), ("varied", versions[1])):
        report = recalls(utterances, items, predict(run.average, mels, items).argmax(axis=1))
        means = {corpus: round(float(np.mean(values)), 3) for corpus, values in report.items()}
        logger.info("step %d %s %.3f %s", run.step, name, unweighted_recall(report), json.dumps(means))


def training_items(utterances: Sequence[Utterance], fold: int | None) -> list[int]:
    """Utterances of the speakers that training may hear, without those of `fold`."""
    folds = folds_of((u.corpus, u.speaker) for u in utterances)
    places = [folds.get((u.corpus, u.speaker)) for u in utterances]
    return [i for i, place in enumerate(places) if place is not None and place != fold]


def train(data: Path, folder: Path, training: SpeechTraining, cache: Path | None = None) -> Path:
    """Train, or go on with, the run in `folder`; returns the path of the averaged weights."""
    torch.set_num_threads(1)
    utterances = read_index(data / "speech")
    versions, noise = load_versions(data / "speech", cache or folder / "cache")
    run = _Run(folder, training)
    items = training_items(utterances, training.fold)
    composer = SpeechComposer(utterances, versions, noise, items)
    batches: Iterator[SpeechBatch] = composer.batches(training.seed, run.step)
    losses: list[float] = []
    while run.step < training.steps:
        losses.append(run.take_step(next(batches)))
        if run.step % 50 == 0:
            logger.info("step %d loss %.3f", run.step, np.mean(losses[-50:]))
        if run.step % training.save_every == 0 or run.step == training.steps:
            run.save()
            _evaluate(run, utterances, versions)
    return folder / "speech_encoder.pt"


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds speech/")
    parser.add_argument("--run", type=Path, required=True, help="folder for cache, checkpoint and weights")
    parser.add_argument("--cache", type=Path, help="folder of the log-mels, if another run made them")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="leave out the speakers of a fold")
    parser.add_argument("--steps", type=int, help=f"default {SpeechTraining().steps}, of a fold {FOLD_STEPS}")
    parser.add_argument("--seed", type=int, default=SpeechTraining().seed)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    usual = SpeechTraining().steps if arguments.fold is None else FOLD_STEPS
    training = SpeechTraining(steps=arguments.steps or usual, seed=arguments.seed, fold=arguments.fold)
    train(arguments.data, arguments.run, training, arguments.cache)


if __name__ == "__main__":
    main()
