"""`sentiloc plot RESULT -o timeline.png`: the timeline as a picture for a report or a README."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentiloc.cli.destinations import output_file, require_file
from sentiloc.cli.drawing.drawing import clock, lane_scale, percent, strength
from sentiloc.cli.given import finite
from sentiloc.cli.output import read_any_result, whole_file
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.cli.drawing.drawing import Label
    from sentiloc.client import Result
    from sentiloc.model.results.task_result import EmotionResult, ExpressionResult

    AnyRead = Result | EmotionResult | ExpressionResult

_COLOURS = {"positive": "#1f77d0", "negative": "#d9730d"}
_SUFFIXES = (".png", ".svg", ".pdf")


def plot(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="A JSON result; - reads standard input.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=output_file, metavar="FILE", help="A .png, .svg or .pdf.")
    ],
    title: Annotated[str | None, typer.Option(help="Title of the picture; default: the file's name.")] = None,
    width: Annotated[float, typer.Option(min=3, max=40, callback=finite, help="Inches.")] = 11.0,
) -> None:
    """Draw the curves of a result and its segments with their confidence.

    Exit status: 0 drawn, 1 the file is not a result, 2 wrong usage.
    """
    if output.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(f"must end in {', '.join(_SUFFIXES)}", param_hint="--output")
    require_file(output)
    if result != "-" and (not result or not Path(result).exists()):
        raise typer.BadParameter(f"there is no file {result}", param_hint="RESULT")
    heading = title if title is not None else ("" if result == "-" else Path(result).stem)
    _save(_read(result), heading, output, width)


def _read(name: str) -> AnyRead:
    try:
        # "-sig", because editors on Windows write a byte order mark.
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
        raw = json.loads(text.removeprefix("\ufeff"))
        # Python reads NaN and 1e999, which are no numbers of JSON.
        json.dumps(raw, allow_nan=False)
    except (OSError, ValueError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{_shown(name)}: {_why(error)}") from error
    if isinstance(raw, dict):
        # A line of `sentiloc localize --json` holds the file and its result.
        raw = raw.get("result", raw)
    return read_any_result(raw)


def _shown(name: str) -> str:
    return "standard input" if name == "-" else name


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "this is not a JSON result; `sentiloc localize VIDEO -o result.json` writes one"


def _save(result: AnyRead, title: str, output: Path, width: float) -> None:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        detail = "this needs matplotlib; run this in Sentiloc's folder: pip install '.[plot]'"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error

    # Without pyplot, which would look for a screen.
    figure = Figure(figsize=(width, 3.2), layout="constrained")
    axes = figure.subplots()
    _label(axes, result, title, _draw(axes, result))
    suffix = output.suffix.lower()
    with whole_file(output) as path:
        # The format is stated, because the name of the unfinished file does not show it.
        figure.savefig(path, format=suffix.removeprefix("."), dpi=150, metadata=_no_date(suffix))


def _draw(axes: Any, result: AnyRead) -> str:
    """Draw the curve and the segments; returns the caption."""
    from sentiloc.cli.drawing.task_plot import describe, draw_emotions, draw_expressions
    from sentiloc.model.results.task_result import EmotionResult, ExpressionResult

    if isinstance(result, EmotionResult):
        draw_emotions(axes, result)
        return describe(result)
    if isinstance(result, ExpressionResult):
        draw_expressions(axes, result)
        return describe(result)
    _draw_curve(axes, result)
    _draw_segments(axes, result)
    axes.axhline(0, color="black", linewidth=0.8)
    # The curves are scaled to fill their lanes, so numbers at the axis would not be scores. Blocks lie beyond 1.
    axes.set(ylim=(-1.3, 1.3), yticks=(-1, -0.5, 0, 0.5, 1), yticklabels=[""] * 5)
    axes.set_ylabel("strength\nnegative  ·  positive")
    model, threshold = result.model, result.options.threshold
    return f"{model.name} {model.version}; blocks: segments with their confidence, from {threshold:.0%} on"


def _no_date(suffix: str) -> dict[str, Any]:
    """Leave the date out, so that the same result gives the same file."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})


def _draw_curve(axes: Any, result: Result) -> None:
    """The curve that the page draws."""
    curve = result.curve
    # The last snippet may be longer than the rest of the video.
    edges = [min(i * curve.step, result.video.duration) for i in range(len(curve.positive) + 1)]
    full = lane_scale(result)
    sides: tuple[tuple[Label, int], ...] = (("positive", 1), ("negative", -1))
    for label, sign in sides:
        values = [sign * value / full for value in strength(result, label)]
        colour = _COLOURS[label]
        axes.stairs(values, edges, baseline=0, fill=True, alpha=0.25, color=colour)
        axes.stairs(values, edges, baseline=None, color=colour, linewidth=0.8)


def _draw_segments(axes: Any, result: Result) -> None:
    """Blocks at the outer edge with their confidence; less confident ones are fainter."""
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
        # A shorter block has no room for its number.
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


def _label(axes: Any, result: AnyRead, title: str, note: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_xlim(0, result.video.duration)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds).removesuffix(".0")))
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_title(note, loc="right", fontsize=8, color="#555555")
    axes.spines[["top", "right"]].set_visible(False)
