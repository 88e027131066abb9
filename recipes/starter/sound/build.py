"""Build the audio encoder of the starter in one command; finished steps are skipped.

    python -m recipes.starter.sound.build --data SENTILOC_DATA --run RUN

1. `RUN/speech/speech_encoder.pt`: acted voices alone (`recipes.starter.voices.train`).
2. `RUN/sound/packages`, `RUN/sound/bank`: packages by name, version and digest; the sound bank and its labels.
3. `RUN/sound/sound_encoder.pt`: further trained on all sounds (`recipes.starter.sound.train`).
4. `RUN/sound/fold0`, `fold1`: small encoders trained without the speakers of a fold (`recipes.starter.splits`). An
interrupted step resumes from its checkpoint. On one free core: log-mels 15 minutes, voices 17, sounds 12 and folds 4.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recipes.starter.sound.train import SoundTraining, train
from recipes.starter.splits import FOLDS
from recipes.starter.voices.train import SpeechTraining
from recipes.starter.voices.train import train as train_voices

INDEXES: Mapping[str, str] = {
    "speech/index.csv": "e923496d26f499743ee2aff135202605de1344d7887221cbef88a711c3c85130",
    "sounds/index.csv": "534155ccace734a90764a34b77124cc8bfe8c92c47c65cf5313a4e4da143206f",
    "weights/yamnet.onnx": "ad8e239dc65b0a56ae2d956cbc47fc6e93ced2ac0405ee85081aa77c7b34f4fa",
    "weights/yamnet_class_map.csv": "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
}
"""SHA-256 of the data folder's index files, and of the teacher."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Optimiser steps of each training; the defaults make the shipped encoder."""

    voices: int = 2000
    sounds: int = SoundTraining().steps
    fold: int = 500


def check_indexes(data: Path, indexes: Mapping[str, str] = INDEXES) -> None:
    """Raise `ValueError` if the data folder differs from the one that the recipe was made with."""
    for name, known in indexes.items():
        digest = hashlib.sha256((data / name).read_bytes()).hexdigest()
        if digest != known:
            raise ValueError(f"{name} has the digest {digest}, not {known}")


def build(data: Path, run: Path, plan: Plan | None = None, seed: int = 0) -> Path:
    """Train what is missing; returns the path of the encoder."""
    plan = plan or Plan()
    voices = run / "speech" / "speech_encoder.pt"
    cache, sound = voices.parent / "cache", run / "sound"
    train_voices(data, voices.parent, SpeechTraining(steps=plan.voices, seed=seed), cache)

    def listen(folder: Path, training: SoundTraining, start: Path | None) -> Path:
        caches = {"voices": cache, "bank": sound / "bank", "packages": sound / "packages"}
        return train(data, folder, training, start=start, **caches)

    training = SoundTraining(steps=plan.sounds, seed=seed)
    encoder = listen(sound, training, voices)
    for fold in range(FOLDS):
        # From scratch, so with the rate of the first stage.
        training = SoundTraining(steps=plan.fold, learning_rate=2e-3, seed=seed + fold + 1, fold=fold)
        logger.info("fold %d: %s", fold, listen(sound / f"fold{fold}", training, None))
    return encoder


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds speech/ sounds/ weights/")
    parser.add_argument("--run", type=Path, required=True, help="folder for caches, checkpoints and weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--other-data", action="store_true", help="allow other data than the recipe's")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if not given.other_data:
        check_indexes(given.data)
    logger.info("%s", build(given.data, given.run, seed=given.seed))


if __name__ == "__main__":
    main()
