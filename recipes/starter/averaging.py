"""A training run on one core: AdamW, an average of the weights as the outcome, atomic checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)
# Gradients above this norm are scaled down, so that one bad batch does not undo many good ones.
GRADIENT_NORM = 5.0
AVERAGE_WARM_UP = 20


class Settings(Protocol):
    """The settings that a run needs from its training."""

    @property
    def steps(self) -> int:
        """Total number of optimiser steps."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""

    @property
    def weight_decay(self) -> float:
        """Decay of weights of more than one dimension."""

    @property
    def seed(self) -> int:
        """Seed of dropout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`warm_up` steps up, `cool_down` share of the steps down to a fiftieth; `decay` of the weights' average."""

    warm_up: int
    cool_down: float
    decay: float

    def rate(self, settings: Settings, step: int) -> float:
        """Learning rate of a step: linear warm-up, a plateau, linear decay."""
        falling = (settings.steps - step) / (self.cool_down * settings.steps)
        return settings.learning_rate * max(0.02, min((step + 1) / self.warm_up, falling, 1.0))


class AveragedRun(Generic[Net]):
    """Network, average, optimiser and step, as stored in `folder`/checkpoint.pt; an unfinished run is resumed.

    `identity` names the training: a checkpoint of another one raises `ValueError`. `average` starts as `net`.
    """

    def __init__(
        self,
        folder: Path,
        net: Net,
        average: Net,
        settings: Settings,
        schedule: Schedule,
        identity: Mapping[str, Any],
    ) -> None:
        self.folder, self.net, self.average, self.step = folder, net, average, 0
        self.settings, self.schedule, self.identity = settings, schedule, dict(identity)
        average.load_state_dict(net.state_dict())
        average.eval()
        decayed = [p for p in net.parameters() if p.ndim > 1]
        # Decay would only pull biases and the scales of norms towards zero.
        plain = [p for p in net.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        # Without a learning rate, because every step sets its own.
        self.optimiser = torch.optim.AdamW(groups)
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        """The file from which an interrupted run resumes."""
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        if state["training"] != self.identity:
            raise ValueError(f"{self.checkpoint} belongs to another training: {state['training']}")
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])

    def save(self) -> None:
        """Write the checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "training": self.identity,
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write(state, self.checkpoint)

    def take_step(self, loss_of: Callable[[Net], Tensor]) -> float:
        """One optimiser step on `loss_of` the network; returns the loss."""
        # By step, so that a resumed run draws the same dropout as an uninterrupted one.
        torch.manual_seed(self.settings.seed + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(self.settings, self.step)
        self.net.train()
        loss = loss_of(self.net)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return loss.item()

    def _update_average(self) -> None:
        # The decay is small at first. Otherwise the average would contain the random start for thousands of steps.
        decay = min(self.schedule.decay, self.step / (self.step + AVERAGE_WARM_UP))
        current = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - decay)
            else:
                # Counters of batch norms are integers and have no average.
                value.copy_(current[name])


def write(state: Mapping[str, Any], path: Path) -> None:
    """Save a state and rename it into place, so that the file is complete or absent."""
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)
