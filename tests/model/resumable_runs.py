"""Small trainings, also in a separate process, so that they can be killed.

python -m tests.model.resumable_runs FOLDER cten|gim|fsenet STEP: after STEP steps it waits for the kill.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sentiloc.model.cten.network import CTENConfig
from sentiloc.model.cten.synthetic import PlantedEmotions, planted_emotions
from sentiloc.model.cten.training import CTENTrainConfig, train_cten
from sentiloc.model.fsenet.train import train as train_fsenet
from sentiloc.model.gim.labels import LabelConfig
from sentiloc.model.gim.network import GIMConfig
from sentiloc.model.gim.synthetic import PlantedExpressions, planted_expressions
from sentiloc.model.gim.training import GIMTrainConfig, train_gim
from sentiloc.model.training.epochs import Progress
from tests.model.tiny_items import LONG_TRAINING, tiny_items

EMOTIONS = PlantedEmotions(classes=3, visual_dim=8, audio_dim=6)
CTEN_RUN = replace(
    CTENTrainConfig(network=CTENConfig(visual_dim=8, audio_dim=6, classes=3, width=8)).quick(),
    epochs=6,
    batch_size=8,
    checkpoint_seconds=0.0,
)
FACES = PlantedExpressions(grid=2, resolutions=1, frames=(120, 160))
GIM_RUN = replace(
    GIMTrainConfig(network=GIMConfig(inputs=16, width=8)).quick(),
    labels=LabelConfig(stages=(1, 1, 4), theta_epochs=3),
    checkpoint_seconds=0.0,
)


def train(
    system: str, run_dir: Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Tensor]:
    """The final weights of a run. It uses one thread, because sums of floats depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if system == "cten":
            videos = planted_emotions(EMOTIONS, 24, "train")
            result = train_cten(CTEN_RUN, videos, progress, run_dir=run_dir, resume=resume)
            return result.network.state_dict()
        if system == "fsenet":
            items = tiny_items(12, seed=4)
            trained = train_fsenet(
                LONG_TRAINING, items[:9], items[9:], progress=progress, run_dir=run_dir, resume=resume
            )
            return trained.network.state_dict()
        faces = planted_expressions(FACES, 2, 3)
        return train_gim(GIM_RUN, faces, progress, run_dir=run_dir, resume=resume).network.state_dict()
    finally:
        torch.set_num_threads(threads)


def _main(folder: str, system: str, last: str) -> None:
    def progress(step: int, _steps: int, _losses: dict[str, float]) -> None:
        if step == int(last):
            sys.stdout.write(f"{step}\n")
            sys.stdout.flush()
            sys.stdin.readline()

    train(system, Path(folder), progress=progress)


if __name__ == "__main__":
    _main(*sys.argv[1:])
