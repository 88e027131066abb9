"""Options of a job, and progress on standard error: shared by what runs here and what talks to a server.

The module loads neither the client nor a library for terminals: `sentiloc localize` in a script needs none of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

Threshold = Annotated[float | None, typer.Option(min=0, max=1, help="Minimum confidence of a segment.")]
MinLength = Annotated[float | None, typer.Option(min=0, help="Minimum length of a segment in seconds.")]
MergeGap = Annotated[float | None, typer.Option(min=0, help="Join segments at most this many seconds apart.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="Label to keep: positive, negative or another class of the model. May be repeated."
    ),
]
AudioTrack = Annotated[int | None, typer.Option(min=1, help="Listen to this sound track, counted from 1.")]
Draft = Annotated[bool, typer.Option("--draft", help="Decode keyframes only: a quick, approximate preview.")]


def cut_options(
    threshold: float | None, min_length: float | None, merge_gap: float | None, labels: list[str] | None
) -> dict[str, Any]:
    """Options for cutting segments, as `Cut` and `JobOptions` take them."""
    shown = tuple(labels) if labels else None
    return {"threshold": threshold, "min_length": min_length, "merge_gap": merge_gap, "labels": shown}


def progress_bars(*, transfer: bool = False) -> Progress:
    """Transient progress bars on stderr. Nothing is drawn if stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    tail = (DownloadColumn(), TransferSpeedColumn()) if transfer else (TextColumn("{task.fields[note]}"),)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), *tail)
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
