"""Resumable training by epochs, shared by CTEN and GIM.

Every random number is a function of (seed, epoch, step), so that weights, optimiser and history are the whole state.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from sentiloc.model.data.text import listed
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.training.checkpoint import contents_of, load_checkpoint
from sentiloc.model.training.parallel import from_first
from sentiloc.model.training.run_folder import RunFolder

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, dict[str, float]], None]
Figures = dict[str, float]


def step_seed(*key: int) -> int:
    """A seed for one step of a run, from the run's seed and where the step is."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def resumed_state(folder: RunFolder) -> dict[str, Any] | None:
    """The last checkpoint of a run that is resumed, in every process; None if all epochs have to run."""
    path = folder.resumed_checkpoint()
    # Only the first process has the file: the others may run on another machine.
    state = from_first(None if path is None else load_checkpoint(path))
    if state is None:
        # A run that was killed before its first checkpoint has logged epochs, which all run again.
        folder.forget_after(0)
    return state


def check_loss(loss: float, epoch: int, step: int, videos: Sequence[str]) -> None:
    """Raise `invalid_data` that names the step's videos if its loss is not finite."""
    if math.isfinite(loss):
        return
    raise SentilocError(
        ErrorCode.INVALID_DATA,
        f"the loss is {loss} in epoch {epoch}, step {step} ({listed(videos)}); if their features and labels are right, "
        "a smaller learning rate may help",
    )


SELECTION = "selection"
"""Name of the metric that selects the best epoch, measured on held-out videos; higher is better."""


class EpochRun:
    """Runs epochs, records their metrics, and writes last.pt at most every `checkpoint_seconds` and at the end.

    If an epoch's metrics have a `selection`, best.pt has the weights of the best epoch, under `content`.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        folder: RunFolder,
        checkpoint_seconds: float,
        content: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.network, self.optimizer, self.folder = network, optimizer, folder
        self.checkpoint_seconds, self.content = checkpoint_seconds, content
        self.history: list[Figures] = []
        self.best_state: dict[str, Any] | None = None

    def run(self, epochs: int, epoch: Callable[[int], Figures]) -> list[Figures]:
        """Call `epoch` with the number of each remaining epoch; returns the metrics of all epochs.

        Afterwards the network has the weights of the best epoch, or of the last one without a selection.
        """
        self._restore()
        saved_at, left = time.monotonic(), range(len(self.history), epochs)
        for number in left:
            before = self.best_value
            # The first process measured the selection; all must agree on which epoch is the best.
            self.history.append(from_first(epoch(number)))
            self._keep_best(before)
            self.folder.log({"epoch": number, **self.history[-1]})
            if time.monotonic() - saved_at >= self.checkpoint_seconds:
                self._save()
                saved_at = time.monotonic()
        if left:
            self._save()
        self.folder.close()
        if self.best_state is not None:
            self.network.load_state_dict(self.best_state)
        return self.history

    @property
    def best_value(self) -> float:
        """The best selection so far."""
        return max((metrics.get(SELECTION, -math.inf) for metrics in self.history), default=-math.inf)

    @property
    def best_epoch(self) -> int:
        """The first epoch with the best selection; the last epoch without a selection."""
        values = [metrics.get(SELECTION, -math.inf) for metrics in self.history]
        return values.index(self.best_value) if self.best_value > -math.inf else len(values) - 1

    def _keep_best(self, before: float) -> None:
        if self.history[-1].get(SELECTION, -math.inf) <= before:
            return
        weights = self.network.state_dict()
        # A copy: state_dict() returns the tensors that the next step changes.
        self.best_state = {name: value.detach().cpu().clone() for name, value in weights.items()}
        if self.content is not None:
            self.folder.save_best(self.content())

    def _save(self) -> None:
        self.folder.save_last(
            {
                "weights": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "history": self.history,
                "best": self.best_state,
            }
        )

    def _restore(self) -> None:
        state = resumed_state(self.folder)
        if state is None:
            return
        with contents_of(self.folder.last, "a run that can go on"):
            self.network.load_state_dict(state["weights"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.history, self.best_state = state["history"], state.get("best")
        # The log may be ahead of the checkpoint, which is written less often.
        self.folder.forget_after(len(self.history))
        logger.info("resumed at epoch %d", len(self.history))
