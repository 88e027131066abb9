"""First training stage of the audio encoder: negative, positive and neutral acted speech.

    python -m recipes.starter.voices.train --data SENTILOC_DATA --run RUN

The run folder holds the log-mel cache (430 MB, about 5 minutes of one core, computed once), `checkpoint.pt` (an
interrupted run resumes from it) and, at the end, `speech_encoder.pt`: `{"config", "encoder", "heads"}`, averaged
weights of the encoder (`SpeechEncoder`) and of the pretraining heads (`SpeechHeads`), with which
`recipes.starter.sound.train` continues. The default steps take about 17 minutes of one core. Everything depends only on
the seed, and the validation speakers are not used for any choice.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.starter.averaging import AveragedRun, Schedule, write
from recipes.starter.voices.data import LogMels, Utterance, load_versions, read_index, training_items
from recipes.starter.voices.net import SpeechNet
from recipes.starter.voices.scores import held_out_items, predict, recalls, unweighted_recall
from recipes.starter.voices.sequences import SpeechBatch, SpeechComposer

SCHEDULE = Schedule(warm_up=60, cool_down=0.35, decay=0.995)
FILE = "speech_encoder.pt"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechTraining:
    """Optimiser steps, peak learning rate of AdamW, weight decay and seed."""

    steps: int = 2000
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0
    save_every: int = 200


def open_run(folder: Path, training: SpeechTraining) -> AveragedRun[SpeechNet]:
    """A new run, or the unfinished one in `folder`, which may be resumed with more steps."""
    torch.manual_seed(training.seed)
    # Without the steps, so that a finished run can be continued.
    identity = {name: value for name, value in asdict(training).items() if name != "steps"}
    return AveragedRun(folder, SpeechNet(), SpeechNet(), training, SCHEDULE, identity)


def _save(run: AveragedRun[SpeechNet]) -> None:
    run.save()
    net = run.average
    state = {
        "config": asdict(net.encoder.config),
        "encoder": net.encoder.state_dict(),
        "heads": net.heads.state_dict(),
    }
    write(state, run.folder / FILE)


def _evaluate(
    run: AveragedRun[SpeechNet], utterances: Sequence[Utterance], versions: Sequence[LogMels]
) -> None:
    items = held_out_items(utterances)
    for name, mels in (("clean", versions[0]), ("varied", versions[1])):
        report = recalls(utterances, items, predict(run.average, mels, items).argmax(axis=1))
        means = {corpus: round(float(np.mean(values)), 3) for corpus, values in report.items()}
        logger.info("step %d %s %.3f %s", run.step, name, unweighted_recall(report), json.dumps(means))


def _loss(batch: SpeechBatch, net: SpeechNet) -> Tensor:
    return net.loss(batch)


def train(data: Path, folder: Path, training: SpeechTraining, cache: Path | None = None) -> Path:
    """Train or resume the run in `folder`; returns the path of the averaged weights."""
    # Sums of several threads round differently, and a resumed run must equal an uninterrupted one.
    torch.set_num_threads(1)
    utterances = read_index(data / "speech")
    versions, noise = load_versions(data / "speech", cache or folder / "cache")
    run = open_run(folder, training)
    composer = SpeechComposer(utterances, versions, noise, training_items(utterances))
    batches: Iterator[SpeechBatch] = composer.batches(training.seed, run.step)
    losses: list[float] = []
    while run.step < training.steps:
        losses.append(run.take_step(partial(_loss, next(batches))))
        if run.step % 50 == 0:
            logger.info("step %d loss %.3f", run.step, np.mean(losses[-50:]))
        if run.step % training.save_every == 0 or run.step == training.steps:
            _save(run)
            _evaluate(run, utterances, versions)
    return folder / FILE


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds speech/")
    parser.add_argument("--run", type=Path, required=True, help="folder for cache, checkpoint and weights")
    parser.add_argument("--cache", type=Path, help="folder of the log-mels, if another run made them")
    parser.add_argument("--steps", type=int, default=SpeechTraining().steps)
    parser.add_argument("--seed", type=int, default=SpeechTraining().seed)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(given.data, given.run, SpeechTraining(steps=given.steps, seed=given.seed), given.cache)


if __name__ == "__main__":
    main()
