"""Train the expression net: `python -m recipes.starter.faces.train --data DIR --run DIR [--start FILE.onnx]`.

Four lessons at once (`lessons.py`): soft cross-entropy on emotions and on sentiment, squared error of the blendshapes
in units of their spread, and face or no face. AdamW with a warm-up and a cosine for each cycle (Loshchilov & Hutter
2017); an exponential average of the weights is what gets exported. A checkpoint after every epoch holds the whole
state, and every epoch has its own seed, so a resumed run equals an uninterrupted one. `--start` starts from the weights
of a shipped network.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from recipes.starter.faces.augment import augment, remask
from recipes.starter.faces.faces import FaceSet
from recipes.starter.faces.lessons import Lessons, outlines_of
from recipes.starter.faces.material import WILD_SHARES, gather
from recipes.starter.folded import load_folded
from recipes.starter.sources.picture_packages import unpack_all
from sentiloc.model.extractors.expression import BLENDSHAPES, FACE_SIZE, NETS, Readings, build_net

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionRecipe:
    """All hyperparameters of a run.

    `sides` are (epochs, image side) in order. `cycles` are (epochs, peak learning rate); the rate of each falls to 0 by
    a cosine.
    """

    net: str = "small"
    # An epoch at 32 pixels takes less than half of the work of one at 48.
    sides: tuple[tuple[int, int], ...] = ((11, 32), (7, 40), (24, 48))
    cycles: tuple[tuple[int, float], ...] = ((22, 2e-3), (20, 1.2e-3))
    batch: int = 128
    weight_decay: float = 0.05
    warmup: float = 0.06
    average: float = 0.995
    sentiment: float = 0.7
    blendshapes: float = 0.3
    face: float = 0.5
    seed: int = 0

    @property
    def epochs(self) -> int:
        """All epochs of the run."""
        return sum(count for count, _ in self.sides)

    def side(self, epoch: int) -> int:
        """Image side in pixels of an epoch, counted from 0."""
        for count, side in self.sides:
            if epoch < count:
                return side
            epoch -= count
        return self.sides[-1][1]

    def rate(self, epoch: float) -> float:
        """Learning rate at a time in epochs: linear warm-up in the first cycle, and cosines down to 0."""
        for index, (count, peak) in enumerate(self.cycles):
            if epoch < count or index == len(self.cycles) - 1:
                warmup = 0.0 if index else self.warmup
                return _cosine(epoch / count, peak, warmup)
            epoch -= count
        raise ValueError("a recipe needs a cycle")


def _cosine(progress: float, peak: float, warmup: float) -> float:
    if progress < warmup:
        return peak * progress / warmup
    return peak * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2


class ExpressionTrainer:
    """Network, averaged network and optimizer of one run; `fit` trains from the last checkpoint to the end."""

    def __init__(self, recipe: ExpressionRecipe, run: Path, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.run, self.device = recipe, run, torch.device(device)
        self.net = build_net(recipe.net).to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.net).eval().requires_grad_(False)
        # The rate is set before every step.
        self.optimizer = torch.optim.AdamW(self._groups(), lr=0.0, weight_decay=0.0)
        self.epoch = 0
        self._outlines = torch.zeros(0, 1, 1, dtype=torch.bool)
        self._spread = torch.ones(len(BLENDSHAPES))

    def start_from(self, network: Path, train: Lessons) -> list[str]:
        """Load the weights of a shipped network; batch norms are measured on 2,000 training faces.

        Returns the names of new weights.
        """
        # The faces for the batch norms are the same in every run.
        torch.manual_seed(self.recipe.seed)
        chosen = torch.randperm(len(train)).numpy()[:2000].reshape(-1, 200)
        batches = (augment(self._pictures(train, part), FACE_SIZE) for part in chosen)
        missing = load_folded(self.net, network, batches)
        self.averaged.load_state_dict(self.net.state_dict())
        return missing

    @property
    def checkpoint(self) -> Path:
        """The file that holds the run's whole state."""
        return self.run / "last.pt"

    def resume(self) -> None:
        """Continue from the run's checkpoint, if there is one; raises ValueError if its recipe differs."""
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if state["recipe"] != json.dumps(asdict(self.recipe)):
            # Continuing it would mix two recipes in one result.
            raise ValueError(f"{self.checkpoint} was made by another recipe: {state['recipe']}")
        self.net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]

    def fit(self, train: Lessons, watched: dict[str, FaceSet]) -> None:
        """Train to the last epoch; `watched` sets are scored after every epoch for information only."""
        self.run.mkdir(parents=True, exist_ok=True)
        while self.epoch < self.recipe.epochs:
            started = time.monotonic()
            loss = self.train_epoch(train)
            scores = {name: accuracy(self.averaged, faces) for name, faces in watched.items()}
            self.epoch += 1
            self._save()
            seconds = time.monotonic() - started
            self._log({"epoch": self.epoch, "loss": loss, "seconds": round(seconds, 1), **scores})

    def train_epoch(self, train: Lessons) -> float:
        """One pass over the training set; returns the mean loss."""
        torch.manual_seed(self.recipe.seed * 1000 + self.epoch + 1)
        self.net.train()
        self._spread = spread_of(train)
        self._outlines = (
            torch.from_numpy(outlines_of(train.images[train.masked]))
            if train.masked.any()
            else self._outlines
        )
        total, batches = 0.0, self._draw(train)
        for step, chosen in enumerate(batches):
            self._set_rate(self.epoch + step / len(batches))
            faces = augment(self._pictures(train, chosen), self.recipe.side(self.epoch))
            total += self.train_step(faces, train.take(chosen))
        return total / len(batches)

    def train_step(self, faces: Tensor, lessons: Lessons) -> float:
        """One step on faces `(batch, 1, side, side)` and their lessons; returns the loss."""
        readings = self.net(faces.to(self.device, memory_format=torch.channels_last))
        loss = lesson_loss(readings, lessons, self.recipe, self._spread.to(self.device))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self._average()
        return float(loss.detach())

    def _pictures(self, train: Lessons, chosen: NDArray[np.int64]) -> Tensor:
        """Grey pictures `(batch, 1, 48, 48)` in [0, 1], with augmented cut-outs if there are any."""
        faces = torch.from_numpy(train.images[chosen]).unsqueeze(1).float() / 255
        if not len(self._outlines):
            return faces
        return remask(faces, torch.from_numpy(train.masked[chosen]), self._outlines)

    def _draw(self, train: Lessons) -> list[NDArray[np.int64]]:
        """Indices of an epoch's batches: shuffled; each face is present with the probability of its set."""
        order = torch.randperm(len(train)).numpy()
        order = order[torch.rand(len(train)).numpy() < train.shares[order]]
        # A last small batch would give poor batch-norm statistics.
        whole = len(order) - len(order) % self.recipe.batch
        return list(order[:whole].reshape(-1, self.recipe.batch))

    def _average(self) -> None:
        """Exponential average of weights and batch-norm statistics."""
        with torch.no_grad():
            pairs = zip(self.averaged.state_dict().values(), self.net.state_dict().values(), strict=True)
            for mean, value in pairs:
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - self.recipe.average)
                else:
                    mean.copy_(value)

    def _groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices and kernels only, not for biases and batch norm."""
        parameters = list(self.net.parameters())
        decayed = {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.recipe.weight_decay}
        return [decayed, {"params": [p for p in parameters if p.ndim <= 1]}]

    def _set_rate(self, epoch: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(epoch)

    def _save(self) -> None:
        state = {"epoch": self.epoch, "recipe": json.dumps(asdict(self.recipe))}
        modules = {"net": self.net, "averaged": self.averaged, "optimizer": self.optimizer}
        partial = self.checkpoint.with_suffix(".part")
        torch.save({**state, **{name: module.state_dict() for name, module in modules.items()}}, partial)
        partial.replace(self.checkpoint)

    def _log(self, record: dict[str, Any]) -> None:
        logger.info("%s", record)
        with (self.run / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def spread_of(train: Lessons) -> Tensor:
    """Standard deviation of each blendshape `(52,)`, at least 0.05, so that nearly constant ones do not dominate the
    loss.
    """
    taught = train.blendshapes[train.blendshapes_weight > 0]
    spread = taught.std(0) if len(taught) else np.ones(train.blendshapes.shape[1])
    return torch.from_numpy(np.maximum(spread, 0.05).astype(np.float32))


def lesson_loss(readings: Readings, lessons: Lessons, recipe: ExpressionRecipe, spread: Tensor) -> Tensor:
    """The weighted sum of the four losses, each a mean over the whole batch."""

    def to(values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(values).to(readings.embedding.device)

    emotion = functional.cross_entropy(readings.emotion, to(lessons.emotion), reduction="none")
    sentiment = functional.cross_entropy(readings.sentiment, to(lessons.sentiment), reduction="none")
    shapes = ((readings.blendshapes.sigmoid() - to(lessons.blendshapes)) / spread).square().mean(1)
    face = functional.binary_cross_entropy_with_logits(readings.face, to(lessons.face))
    weighted = emotion * to(lessons.emotion_weight) + recipe.sentiment * sentiment * to(
        lessons.sentiment_weight
    )
    weighted = weighted + recipe.blendshapes * shapes * to(lessons.blendshapes_weight)
    return weighted.mean() + recipe.face * face


def accuracy(net: nn.Module, faces: FaceSet, batch: int = 256) -> float:
    """Share of faces `(n, 48, 48)` whose likeliest class is the majority label."""
    images = torch.from_numpy(faces.images).unsqueeze(1)
    device = next(net.parameters()).device
    with torch.inference_mode():
        parts = torch.split(images, batch)
        found = [net(part.to(device).float() / 255).emotion.argmax(-1).cpu() for part in parts]
    return float((torch.cat(found) == torch.from_numpy(faces.labels)).float().mean())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train the expression network on faces with several tasks each."
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds faces/, faces_wild/ and the rest"
    )
    parser.add_argument("--run", type=Path, required=True, help="folder for material, checkpoints and log")
    parser.add_argument(
        "--pictures", type=Path, help="folder of pictures without people; default: beside the run"
    )
    parser.add_argument("--start", type=Path, help="ONNX file of a shipped network to start from")
    parser.add_argument("--net", choices=NETS, default="small")
    parser.add_argument("--epochs", type=int, help="number of epochs, all at the full side")
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate with --start")
    parser.add_argument(
        "--without", nargs="*", choices=WILD_SHARES, default=(), help="sources of faces_wild to leave out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def make_recipe(net: str, epochs: int | None, seed: int, *, tuned: float | None = None) -> ExpressionRecipe:
    """The recipe of a network: growing sides for the small one, the full side and a lower rate for ResEmoteNet.

    A `tuned` network starts from shipped weights, with fewer epochs and that lower rate.
    """
    if net == "resemotenet":
        count = epochs or 80
        return ExpressionRecipe(net=net, sides=((count, 48),), cycles=((count, 5e-4),), seed=seed)
    if tuned:
        count = epochs or 6
        sides = ((count // 3, 40), (count - count // 3, 48))
        return ExpressionRecipe(net=net, sides=sides, cycles=((count, tuned),), seed=seed)
    if epochs:
        return ExpressionRecipe(net=net, sides=((epochs, 48),), cycles=((epochs, 2e-3),), seed=seed)
    return ExpressionRecipe(net=net, seed=seed)


def main() -> None:
    """Train, or resume training, until the recipe's last epoch."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    pictures = unpack_all(arguments.pictures or arguments.run.parent / "pictures")
    material = gather(arguments.data, pictures, arguments.run / "material")
    train = material.training(without=arguments.without)
    recipe = make_recipe(
        arguments.net, arguments.epochs, arguments.seed, tuned=arguments.rate if arguments.start else None
    )
    trainer = ExpressionTrainer(recipe, arguments.run, arguments.device)
    if arguments.start is not None:
        logger.info("new in the network: %s", trainer.start_from(arguments.start, train))
    trainer.resume()
    trainer.fit(
        train,
        {"ferplus_selection": material.ferplus.selection, "photos_selection": material.photos.selection},
    )


if __name__ == "__main__":
    main()
