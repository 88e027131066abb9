"""`sentiloc plot RESULT -o timeline.png`: the timeline as a picture for a report or a README."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.drawing import clock, percent
from cli.output import read_result
from model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc_client import Result

_COLOURS = {"positive": "#1f77d0", "negative": "#d9730d"}
_SUFFIXES = (".png", ".svg", ".pdf")


def plot(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="A JSON result; - reads standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png, .svg or .pdf.")],
    title: Annotated[str | None, typer.Option(help="Over the picture; default: the file's name.")] = None,
    width: Annotated[float, typer.Option(min=3, max=40, help="Inches.")] = 11.0,
) -> None:
    """Draw a result: scores above (positive) and below (negative) the axis, segments with their confidence."""
    if output.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(f"must end in {', '.join(_SUFFIXES)}", param_hint="--output")
    heading = title if title is not None else ("" if result == "-" else Path(result).stem)
    _save(_read(result), heading, output, width)


def _read(name: str) -> Result:
    try:
        raw = json.loads(sys.stdin.read() if name == "-" else Path(name).read_text())
    except (OSError, ValueError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{name} is no JSON result: {error}") from error
    if isinstance(raw, dict):
        raw = raw.get("result", raw)
    return read_result(raw)


def _save(result: Result, title: str, output: Path, width: float) -> None:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        detail = "this needs matplotlib; install it with: pip install 'sentiloc[plot]'"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error

    figure = Figure(figsize=(width, 3.2), layout="constrained")
    axes = figure.subplots()
    _draw_curve(axes, result)
    _draw_segments(axes, result)
    _label(axes, result, title)
    figure.savefig(output, dpi=150, metadata=_no_date(output))


def _no_date(output: Path) -> dict[str, Any]:
    """The same result makes the same file."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(output.suffix.lower(), {})


def _draw_curve(axes: Any, result: Result) -> None:
    curve = result.curve
    edges = [min(i * curve.step, result.video.duration) for i in range(len(curve.positive) + 1)]
    for label, sign in (("positive", 1), ("negative", -1)):
        values = [sign * value for value in getattr(curve, label)]
        colour = _COLOURS[label]
        axes.stairs(values, edges, baseline=0, fill=True, alpha=0.25, color=colour)
        axes.stairs(values, edges, baseline=None, color=colour, linewidth=0.8)


def _draw_segments(axes: Any, result: Result) -> None:
    """Blocks at the outer edge, the fainter the less sure, each with its confidence."""
    for segment in result.segments:
        sign, length = (1 if segment.label == "positive" else -1), segment.end - segment.start
        colour = _COLOURS[segment.label]
        axes.broken_barh(
            [(segment.start, length)],
            (sign * 1.18 - 0.09, 0.18),
            facecolor=colour,
            edgecolor=colour,
            alpha=0.25 + 0.75 * segment.confidence,
        )
        axes.axvspan(segment.start, segment.end, 0.5, 0.5 + 0.5 * sign, color=colour, alpha=0.06, linewidth=0)
        if length > result.video.duration / 30:
            middle = segment.start + length / 2
            axes.text(
                middle,
                sign * 1.175,
                percent(segment.confidence),
                ha="center",
                va="center",
                fontsize=7,
                color="white",
            )


def _label(axes: Any, result: Result, title: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlim=(0, result.video.duration), ylim=(-1.3, 1.3), yticks=(-1, -0.5, 0, 0.5, 1))
    axes.set_yticklabels(["1", "0.5", "0", "0.5", "1"])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds).removesuffix(".0")))
    axes.set_ylabel("negative  ·  positive")
    model, cut = result.model, result.options
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    note = (
        f"{model.name} {model.version}; blocks: segments with their confidence, from {cut.threshold:.0%} on"
    )
    axes.set_title(note, loc="right", fontsize=8, color="#555555")
    axes.spines[["top", "right"]].set_visible(False)
