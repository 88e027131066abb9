"""Draws emotions and expressions with text characters: a line for each series, the segments, and a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentiloc.cli.drawing.drawing import WIDEST, clock, hidden, percent, scale
from sentiloc.model.results.task_result import EmotionResult, ExpressionResult
from sentiloc.model.segments import Segment

# Distinguishable with every kind of colour vision; names are shown next to them.
_COLOURS = (
    "dodger_blue1",
    "dark_orange",
    "spring_green3",
    "orchid",
    "gold3",
    "slate_blue1",
    "indian_red1",
    "grey70",
)
# The likeliest emotions come first; more lines cannot be compared at a glance.
_MOST_LINES = 6


class _Marks:
    """Heights and strokes; ASCII for terminals without Unicode."""

    def __init__(self, encoding: str) -> None:
        plain = "utf" not in encoding.lower()
        self.heights = " .:-=+*#" if plain else " ▁▂▃▄▅▆▇█"
        self.axis, self.solid, self.apex = ("-", "=", "^") if plain else ("─", "━", "◆")


def draw_task(
    result: EmotionResult | ExpressionResult, title: str, width: int, encoding: str = "utf-8"
) -> RenderableType:
    """The timeline of either task; `width` in characters."""
    is_emotion = isinstance(result, EmotionResult)
    lines = _emotion_lines(result) if isinstance(result, EmotionResult) else ["intensity"]
    rows = ["found"] if is_emotion else list(result.classes)
    margin = max(len(name) for name in (*lines, *rows, "attention")) + 2
    columns, marks = max(20, min(width, WIDEST) - margin - 1), _Marks(encoding)
    parts: list[RenderableType] = [_heading(result, title)]
    parts += [_line(name, _values(result, name), result, margin, columns, marks) for name in lines]
    parts += [_found(result, name, margin, columns, marks) for name in rows]
    parts.append(Text(" " * (margin - 1)).append_text(scale(result.video.duration, columns)))
    if result.segments:
        parts.append(_table(result))
    return Group(*parts, _note(result))


def _emotion_lines(result: EmotionResult) -> list[str]:
    likely = sorted(result.classes, key=lambda name: -result.probabilities[name])
    return [*likely[:_MOST_LINES], "attention"]


def _values(result: EmotionResult | ExpressionResult, name: str) -> Sequence[float]:
    series = result.curve.series
    if name != "attention":
        return series[name]
    pairs = zip(series["attention_visual"], series["attention_audio"], strict=True)
    return [(seen + heard) / 2 for seen, heard in pairs]


def _colour(result: EmotionResult | ExpressionResult, name: str) -> str:
    known = name in result.classes
    return _COLOURS[result.classes.index(name) % len(_COLOURS)] if known else "grey62"


def _heading(result: EmotionResult | ExpressionResult, title: str) -> Text:
    count, length = len(result.segments), clock(result.video.duration)
    if isinstance(result, ExpressionResult):
        return Text.assemble((title, "bold"), f"  {count} expression{'' if count == 1 else 's'} in {length}")
    likely = sorted(result.probabilities.items(), key=lambda pair: -pair[1])[:3]
    moods = ", ".join(f"{name} {percent(share)}" for name, share in likely)
    return Text.assemble(
        (title, "bold"), f"  {moods}; {count} segment{'' if count == 1 else 's'} in {length}"
    )


def _line(
    name: str,
    values: Sequence[float],
    result: EmotionResult | ExpressionResult,
    margin: int,
    columns: int,
    marks: _Marks,
) -> Text:
    """A series as one line of heights; each column shows its highest value."""
    seconds, step, top = result.video.duration / columns, result.curve.step, len(marks.heights) - 1
    cells = ""
    for column in range(columns):
        first = int(column * seconds / step)
        # A column of a short video is narrower than a step of the curve.
        last = max(first + 1, int((column + 1) * seconds / step))
        cells += marks.heights[round(max(values[first:last], default=0.0) * top)]
    return Text.assemble((name.rjust(margin - 1) + " ", "dim"), (cells, _colour(result, name)))


def _found(
    result: EmotionResult | ExpressionResult, name: str, margin: int, columns: int, marks: _Marks
) -> Text:
    """The segments along the time axis; for expressions also the apex."""
    text = Text(name.rjust(margin - 1) + " ", "dim")
    is_expression = isinstance(result, ExpressionResult)
    mine = [one for one in result.segments if not is_expression or one.label == name]
    for column in range(columns):
        start = column * result.video.duration / columns
        end = start + result.video.duration / columns
        segment = _at(mine, start, end)
        if segment is None:
            text.append(marks.axis, "dim")
        elif is_expression and start <= segment.peak < end:
            text.append(marks.apex, "bold")
        else:
            text.append(marks.solid, _colour(result, segment.label))
    return text


def _at(segments: Sequence[Segment], start: float, end: float) -> Segment | None:
    """The segment that this column shows: one with its peak here, else the one with the highest confidence."""
    touching = [one for one in segments if one.start < end and one.end > start]
    # An apex lies in one column only, so a neighbour must not hide it.
    return max(touching, key=lambda one: (start <= one.peak < end, one.confidence), default=None)


def _table(result: EmotionResult | ExpressionResult) -> Table:
    is_expression = isinstance(result, ExpressionResult)
    times = ("onset", "apex", "offset") if is_expression else ("start", "strongest", "end")
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for name in times:
        table.add_column(name, justify="right")
    table.add_column("expression" if is_expression else "emotion")
    table.add_column("confidence", justify="right")
    for one in result.segments:
        # A micro-expression lasts less than half a second, so tenths would be too coarse.
        moments = (clock(moment, fine=is_expression) for moment in (one.start, one.peak, one.end))
        table.add_row(*moments, Text(one.label, _colour(result, one.label)), percent(one.confidence))
    return table


def _note(result: EmotionResult | ExpressionResult) -> Text:
    model, cut = result.model, result.options
    return Text(f"{model.name} {model.version}; {hidden(cut.threshold)}", style="dim")
