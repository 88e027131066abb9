"""Second training stage of the audio encoder: voices, calm speech, bursts, music, noise, and their sentiment.

    python -m recipes.starter.sound.train --data SENTILOC_DATA --run RUN --start RUN/speech/speech_encoder.pt

`--start` is an encoder from `recipes.starter.voices.train`, trained on acted voices alone; this stage continues its
training. The run folder holds the caches (log-mels of voices and of the sound bank), `checkpoint.pt` (an interrupted
run resumes from it) and at the end `sound_encoder.pt`: averaged weights of encoder and heads. Everything depends only
on the seed, and held-out speakers and sounds are not used for any choice.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.starter.averaging import AveragedRun, Schedule, write
from recipes.starter.sound.bank import open_bank
from recipes.starter.sound.compose import SoundComposer
from recipes.starter.sound.net import SoundNet, encoder_state, load_sound_net
from recipes.starter.sound.overdriven import load_overdriven
from recipes.starter.sound.rows import SoundBatch
from recipes.starter.sound.scores import false_sentiment, voice_recall
from recipes.starter.splits import FOLDS
from recipes.starter.voices.data import load_versions, read_index, training_items
from sentiloc.model.extractors.speech import SpeechConfig

# A faster average than the first stage's: this one is shorter and starts from trained weights.
SCHEDULE = Schedule(warm_up=60, cool_down=0.5, decay=0.99)
# Smaller than the served encoder: each fold is one more training.
FOLD_CONFIG = SpeechConfig(dim=256, bands=8, hidden=128)
FILE = "sound_encoder.pt"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTraining:
    """Optimiser steps, peak learning rate of AdamW, weight decay and seed.

    `fold`: the training speakers of this fold are left out.
    """

    steps: int = 1400
    learning_rate: float = 7e-4
    weight_decay: float = 0.02
    seed: int = 0
    save_every: int = 100
    fold: int | None = None


def open_run(folder: Path, training: SoundTraining, start: Path | None) -> AveragedRun[SoundNet]:
    """A new run, which starts from the encoder `start` if it is given; or the unfinished run in `folder`."""
    torch.manual_seed(training.seed)
    net = load_sound_net(start) if start else SoundNet(None if training.fold is None else FOLD_CONFIG)
    return AveragedRun(folder, net, SoundNet(net.encoder.config), training, SCHEDULE, asdict(training))


def _loss(batch: SoundBatch, net: SoundNet) -> Tensor:
    return net.loss(batch)


def train(
    data: Path,
    folder: Path,
    training: SoundTraining,
    *,
    start: Path | None = None,
    voices: Path | None = None,
    bank: Path | None = None,
    packages: Path | None = None,
) -> Path:
    """Train or resume the run in `folder`; returns the path of the averaged weights.

    `voices`, `bank`, `packages` are the caches of acted voices, of sounds, and the unpacked packages; by default they
    are in the run folder.
    """
    # Sums of several threads round differently, and a resumed run must equal an uninterrupted one.
    torch.set_num_threads(1)
    utterances = read_index(data / "speech")
    versions, synthetic = load_versions(data / "speech", voices or folder / "voices")
    takes = [*versions, load_overdriven(data / "speech", voices or folder / "voices")]
    sounds = open_bank(data, packages or folder / "packages", bank or folder / "bank")
    run = open_run(folder, training, start)
    items = training_items(utterances, training.fold)
    composer = SoundComposer(utterances, takes, synthetic, items, sounds)
    batches = composer.batches(training.seed, run.step)
    losses: list[float] = []
    while run.step < training.steps:
        losses.append(run.take_step(partial(_loss, next(batches))))
        if run.step % 25 == 0:
            logger.info("step %d loss %.3f", run.step, np.mean(losses[-25:]))
        if run.step % training.save_every == 0 or run.step == training.steps:
            run.save()
            write(encoder_state(run.average), folder / FILE)
            report = {
                **voice_recall(run.average, utterances, versions[0]),
                **false_sentiment(run.average, sounds),
            }
            logger.info("step %d %s", run.step, json.dumps(report))
    return folder / FILE


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds speech/ sounds/ weights/")
    parser.add_argument("--run", type=Path, required=True, help="folder for caches, checkpoint and weights")
    parser.add_argument("--start", type=Path, help="an encoder of acted voices to start from")
    parser.add_argument("--voices", type=Path, help="cache of acted voices, if another run made it")
    parser.add_argument("--bank", type=Path, help="cache of the sound bank, if another run made it")
    parser.add_argument("--packages", type=Path, help="folder of the Debian packages")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="leave out the speakers of a fold")
    parser.add_argument("--steps", type=int, default=SoundTraining().steps)
    parser.add_argument("--rate", type=float, default=SoundTraining().learning_rate)
    parser.add_argument("--seed", type=int, default=SoundTraining().seed)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    training = SoundTraining(steps=given.steps, learning_rate=given.rate, seed=given.seed, fold=given.fold)
    train(
        given.data,
        given.run,
        training,
        start=given.start,
        voices=given.voices,
        bank=given.bank,
        packages=given.packages,
    )


if __name__ == "__main__":
    main()
