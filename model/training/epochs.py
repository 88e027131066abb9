"""A training by epochs that goes on where a killed one stopped: what CTEN's and GIM's have in common.

Every random number is a function of (seed, epoch, step), so that weights, optimiser and history are the whole state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
from torch import nn
from torch.optim import Optimizer

from sentiloc.model.training.checkpoint import load_checkpoint
from sentiloc.model.training.run_folder import RunFolder

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, dict[str, float]], None]
Figures = dict[str, float]


def step_seed(*key: int) -> int:
    """A seed for one step of a run, from the run's seed and where the step is."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


class EpochRun:
    """Runs epochs, keeps their figures, and writes last.pt at most every `checkpoint_seconds` and at the end."""

    def __init__(
        self, network: nn.Module, optimizer: Optimizer, folder: RunFolder, checkpoint_seconds: float
    ) -> None:
        self.network, self.optimizer, self.folder = network, optimizer, folder
        self.checkpoint_seconds = checkpoint_seconds
        self.history: list[Figures] = []

    def run(self, epochs: int, epoch: Callable[[int], Figures]) -> list[Figures]:
        """Call `epoch` with the number of each epoch that is left; the figures of all of them."""
        self._restore()
        saved_at, left = time.monotonic(), range(len(self.history), epochs)
        for number in left:
            self.history.append(epoch(number))
            self.folder.log({"epoch": number, **self.history[-1]})
            if time.monotonic() - saved_at >= self.checkpoint_seconds:
                self._save()
                saved_at = time.monotonic()
        if left:
            self._save()
        self.folder.close()
        return self.history

    def _save(self) -> None:
        self.folder.save_last(
            {
                "weights": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "history": self.history,
            }
        )

    def _restore(self) -> None:
        path = self.folder.resumed_checkpoint()
        if path is None:
            return
        state = load_checkpoint(path)
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = state["history"]
        self.folder.forget_after(len(self.history))
        logger.info("resumed at epoch %d", len(self.history))
