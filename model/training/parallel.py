"""Training by several processes that `torchrun` starts, one for each GPU: how they share the videos of a batch and
combine their results.

Each process takes some videos of every batch. A batch has as many videos as with one process. Losses are means over
videos, so each process weighs its own by `share`, and DistributedDataParallel averages the gradients. Only the first
process writes files and scores held-out videos. With one process, every function here returns its argument.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
_LONGEST_WAIT = timedelta(hours=12)
"""How long processes wait for each other. The others wait while the first one scores held-out videos."""


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that `torchrun` started (its WORLD_SIZE); NCCL between GPUs, else gloo.

    All but the first process print nothing. Without `torchrun` nothing happens.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if on_gpus else "gloo", timeout=_LONGEST_WAIT)
    try:
        if is_first():
            yield
            return
        # Otherwise every line of progress would appear once per GPU.
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            yield
    finally:
        distributed.destroy_process_group()


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _is_joined() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if _is_joined() else 0


def is_first() -> bool:
    """Whether this process writes files and scores held-out videos."""
    return rank() == 0


def own_rows(videos: int) -> range:
    """The videos of a batch that this process takes.

    If there are none left for it, it takes the first one with a share of 0.
    """
    start, stop = (videos * place // processes() for place in (rank(), rank() + 1))
    return range(start, stop) if stop > start else range(1)


def share(videos: int) -> float:
    """Weight of this process's mean over its `own_rows`: the mean over all processes is then the batch's."""
    start, stop = (videos * place // processes() for place in (rank(), rank() + 1))
    # DistributedDataParallel divides by the number of processes; this factor undoes it.
    return (stop - start) * processes() / videos


def own_seed(seed: int) -> int:
    """A step's seed for random numbers of this process's videos, dropout for example.

    The first process keeps the seed.
    """
    return seed + rank()


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes. Gradients of a loss in any process flow back to x in all of them."""
    if processes() < 2:
        return x
    summed: Tensor = _Total.apply(x)  # type: ignore[no-untyped-call]
    return summed


def stacked(x: Tensor) -> Tensor:
    """x of every process, (processes, *x.shape), with gradients as `total`."""
    if processes() < 2:
        return x[None]
    own = torch.arange(processes(), device=x.device) == rank()
    # A sum of mostly zeros instead of all_gather, which does not propagate gradients.
    return total(torch.where(own.reshape(-1, *[1] * x.ndim), x, torch.zeros_like(x)))


def anywhere(x: Tensor) -> bool:
    """Whether x is true at any place of any process."""
    return bool(total(x.any().float().detach()) > 0)


def mean_metrics(values: Tensor, videos: int) -> Tensor:
    """Means over this process's videos -> means over the batch's videos."""
    return total(values.detach() * share(videos)) / processes()


def from_first(content: T) -> T:
    """The first process's content, in all processes."""
    if processes() < 2:
        return content
    box = [content]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def joined_lists(values: list[T]) -> list[T]:
    """The lists of all processes, one after another."""
    if processes() < 2:
        return values
    found: list[list[T]] = [[] for _ in range(processes())]
    distributed.all_gather_object(found, values)
    return [value for part in found for value in part]


def replicated(module: nn.Module) -> nn.Module:
    """The module, with gradients averaged over the processes."""
    if processes() < 2:
        return module
    # A network without a stream has parameters that no loss reaches. Where all are reached, PyTorch would warn.
    warnings.filterwarnings("ignore", message=".*find_unused_parameters=True.*")
    return DistributedDataParallel(module, find_unused_parameters=True)


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class _Total(torch.autograd.Function):
    """Sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: FunctionCtx, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(_context: FunctionCtx, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(x: Tensor) -> Tensor:
    # all_reduce works in place; autograd may still need the input.
    x = x.contiguous().clone()
    distributed.all_reduce(x)
    return x
