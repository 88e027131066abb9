"""Progress of training and of extraction, on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def training_progress() -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """A callback (step, steps, losses) that draws the bar; nothing is drawn if stderr is not a terminal."""
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, TextColumn("{task.fields[loss]}"), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("training", loss="", total=None)

        def advance(step: int, steps: int, losses: dict[str, float]) -> None:
            bar.update(task, completed=step, total=steps, loss=f"loss {losses['total']:.3f}")

        yield advance


LINE_SECONDS = 30.0
"""Without a terminal, the seconds between two lines of extraction: long enough for a log of several hours."""


@contextmanager
def extraction_progress(videos: int) -> Iterator[Callable[[int, int], None]]:
    """A callback (ended, failed) that draws a bar, or writes a line now and then if stderr is not a terminal."""
    columns = (TextColumn("extracting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    last = time.monotonic()
    with Progress(
        *columns, TextColumn("{task.fields[failed]} failed"), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("extracting", failed=0, total=videos)

        def advance(ended: int, failed: int) -> None:
            nonlocal last
            bar.update(task, completed=ended, failed=failed)
            if not console.is_terminal and time.monotonic() - last >= LINE_SECONDS:
                last = time.monotonic()
                console.print(f"extracting: {ended} of {videos}, {failed} failed")

        yield advance
