"""`sentiloc localize VIDEO`: the service's own pipeline on one file, without a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from model.result import Result

JSON = "json"


def localize(
    video: Annotated[Path, typer.Argument(help="The video file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of to standard output.")
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", "-f", help="json, or any format that the API renders.")
    ] = JSON,
    model: Annotated[
        str | None, typer.Option(help="Model package; default: the setting SENTILOC_MODEL.")
    ] = None,
) -> None:
    """Find the sentiment segments of a video."""
    check_format(output_format)
    result = run_pipeline(video, model)
    write_text(render(result, output_format, video.name), output)


def check_format(name: str) -> None:
    """Refuse an unknown format before any work is done."""
    from app.formats import FORMATS

    if name != JSON and name not in FORMATS:
        raise typer.BadParameter(
            f"{name!r} is not one of {', '.join((JSON, *FORMATS))}", param_hint="--format"
        )


def run_pipeline(video: Path, model: str | None) -> Result:
    """Localize a file with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from app.settings import get_settings
    from worker.pipeline import load_pipeline

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    pipeline = load_pipeline(get_settings(), model)
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("decoding", total=1.0)
        return pipeline.localize(
            video, lambda stage, done: progress.update(task, description=stage, completed=done)
        )


def render(result: Result, output_format: str, title: str) -> str:
    """The result as text in the named format."""
    from app.formats import FORMATS
    from app.formats.timeline import make_timeline

    if output_format == JSON:
        return json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n"
    return FORMATS[output_format].render(make_timeline(title, result.video, result.segments))


def write_text(text: str, output: Path | None) -> None:
    """Write to a file, which appears whole or not at all, or to standard output."""
    if output is None:
        sys.stdout.write(text)
        return
    partial = output.with_name(f".{output.name}.part")
    partial.write_text(text, newline="")
    partial.replace(output)
