"""Small trainings of all three systems, by one process or by several that `torchrun` starts.

python -m torch.distributed.run --nproc-per-node 2 -m tests.model.parallel_runs FOLDER

Gradients of single batches come first. Each training runs without interruption (FOLDER/SYSTEM), and again with an
interruption half-way and a resumption (FOLDER/SYSTEM-resumed).
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sentiloc.model.cten.synthetic import planted_emotions
from sentiloc.model.cten.training import train_cten
from sentiloc.model.fsenet.batching import collate
from sentiloc.model.fsenet.losses import LossConfig, Supervision
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.fsenet.step import BatchLoss
from sentiloc.model.fsenet.train import train
from sentiloc.model.gim.synthetic import planted_expressions
from sentiloc.model.gim.training import train_gim
from sentiloc.model.training.epochs import Progress
from sentiloc.model.training.parallel import is_first, joined, own_rows, replicated, share
from tests.model.resumable_runs import CTEN_RUN, EMOTIONS, FACES, GIM_RUN
from tests.model.tiny_items import TINY_TRAINING, tiny_items

BATCHES: tuple[tuple[Supervision, int], ...] = (("point", 5), ("point", 1), ("full", 2), ("video", 3))
"""Supervision and videos. Two processes get unequal parts of 5 and 3; of 1, the second gets none."""
SYSTEMS = ("fsenet", "cten", "gim")
FSENET_RUN = replace(
    TINY_TRAINING,
    network=replace(TINY_TRAINING.network, dropout=0.0),
    loss=LossConfig(sc=True, prototypes="batch"),
    epochs=2,
    stream_dropout=0.3,
    checkpoint_seconds=0.0,
    validate_every=1,
    clip=1.0,
)
"""Nine videos in batches of four: the last batch has one, so a second process has none of its own."""


def run(system: str, folder: Path, *, resume: bool = False, progress: Progress | None = None) -> None:
    """One training; dropout is off, because each process has its own random numbers."""
    if system == "fsenet":
        items = tiny_items(12, seed=4)
        train(
            FSENET_RUN, items[:9], items[9:], run_dir=folder, resume=resume, progress=progress, device="cpu"
        )
    elif system == "cten":
        config = replace(CTEN_RUN, network=replace(CTEN_RUN.network, dropout=0.0), epochs=2)
        videos = planted_emotions(EMOTIONS, 25, "train")
        val = planted_emotions(EMOTIONS, 6, "test")
        train_cten(config, videos, progress, val_items=val, run_dir=folder, resume=resume)
    else:
        config_of_gim = replace(GIM_RUN, network=replace(GIM_RUN.network, dropout=0.0))
        faces = planted_expressions(FACES, 1, 3)
        train_gim(config_of_gim, faces, progress, run_dir=folder, resume=resume)


class StoppedError(Exception):
    """Ends a run half-way, in every process at the same step."""


def stop_half_way(step: int, steps: int, _losses: dict[str, float]) -> None:
    if step > steps // 2:
        raise StoppedError


def gradients(supervision: Supervision, videos: int) -> dict[str, Tensor]:
    """Gradients of one batch for all parameters that the loss reaches, as seen by the optimiser of each process."""
    torch.manual_seed(0)
    network = FSENet(replace(FSENET_RUN.network, visual_dim=None))
    loss = replace(FSENET_RUN.loss, supervision=supervision, saliency_base=False)
    module = replicated(BatchLoss(network, loss, None))
    batch = collate(tiny_items(videos, seed=4), network.config, supervision)
    counted = share(videos)
    own = batch.part(own_rows(videos), counted=counted > 0)
    torch.autograd.backward(module(own)[0] * counted)
    return {name: x.grad for name, x in network.named_parameters() if x.grad is not None}


def main(folder: Path) -> None:
    """Gradients, then all systems, with and without an interruption."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for supervision, videos in BATCHES:
        found = gradients(supervision, videos)
        if is_first():
            torch.save(found, folder / f"{supervision}-{videos}.gradients")
    for system in SYSTEMS:
        run(system, folder / system)
        try:
            run(system, folder / f"{system}-resumed", progress=stop_half_way)
        except StoppedError:
            run(system, folder / f"{system}-resumed", resume=True)


if __name__ == "__main__":
    with joined():
        main(Path(sys.argv[1]))
        sys.stderr.write("done\n")
    # Threads of gloo sometimes abort the process while the interpreter shuts down; all files are written by now.
    sys.stderr.flush()
    os._exit(0)
