"""A progress bar for training, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def training_progress() -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """A callback (step, steps, losses) that draws the bar; nothing is drawn if stderr is not a terminal."""
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, TextColumn("{task.fields[loss]}"), console=console) as bar:
        task = bar.add_task("training", loss="", total=None)

        def advance(step: int, steps: int, losses: dict[str, float]) -> None:
            bar.update(task, completed=step, total=steps, loss=f"loss {losses['total']:.3f}")

        yield advance
