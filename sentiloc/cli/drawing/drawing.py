"""Draws a result with text characters: positive scores above the axis, negative ones below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentiloc.client import Result, Segment

Label = Literal["negative", "positive"]
# Nearly everyone can distinguish blue and orange, and the side of the axis shows the label without colour.
COLOURS: dict[Label, str] = {"positive": "dodger_blue1", "negative": "dark_orange"}
_ROWS = 3
# Segments below this confidence are drawn fainter.
_UNSURE = 0.6
_PROBABILITY = (
    "confidence: the share of such segments that is right on test videos; on other real video it is lower"
)
_SCORE = "confidence: how sure the model is, to compare segments; it is not a probability"
# Wider curves are hard to follow with the eye.
WIDEST = 160


class _Marks:
    """Full and half cells above and below the axis; ASCII for terminals without Unicode."""

    def __init__(self, encoding: str) -> None:
        plain = "utf" not in encoding.lower()
        self.full, self.upper, self.lower = ("#", "'", ".") if plain else ("█", "▀", "▄")
        self.axis, self.solid, self.light = ("-", "=", "~") if plain else ("─", "━", "╌")


def draw(result: Result, title: str, width: int, encoding: str = "utf-8") -> RenderableType:
    """The timeline, its scale, and the segments; `width` in characters."""
    columns, marks = max(20, min(width, WIDEST) - 2), _Marks(encoding)
    # Both lanes have the same scale, so that the stronger side looks stronger.
    full = lane_scale(result)
    above, below = (
        _levels([value / full for value in strength(result, label)], result, columns)
        for label in ("positive", "negative")
    )
    rows: list[RenderableType] = [_heading(result, title)]
    rows += [_row(above, row, marks, "positive") for row in reversed(range(_ROWS))]
    rows.append(_axis(result, columns, marks))
    rows += [_row(below, row, marks, "negative") for row in range(_ROWS)]
    rows.append(scale(result.video.duration, columns))
    if result.segments:
        rows.append(_table(result))
    return Group(*rows, _note(result))


LEAST_SCALE = 0.4
"""The curves fill their lane, unless their highest value is below this (as on the web page)."""


def strength(result: Result, label: Label) -> list[float]:
    """The curve from which segments are cut and which the page draws, one value per snippet (`rule.fuse`)."""
    curve = result.curve
    weights = zip(getattr(curve, label), curve.non_sentiment, curve.saliency, strict=False)
    return [score * (1 - none + salient) / 2 for score, none, salient in weights]


def lane_scale(result: Result) -> float:
    """The strength that fills a lane."""
    return max(LEAST_SCALE, *(max(strength(result, label), default=0.0) for label in COLOURS))


def _heading(result: Result, title: str) -> Text:
    found = len(result.segments)
    words = f"{found} segment{'' if found == 1 else 's'} in {clock(result.video.duration)}"
    return Text.assemble((title, "bold"), f"  {words}")


def _levels(scores: Sequence[float], result: Result, columns: int) -> list[int]:
    """Each column's highest score, in half cells."""
    seconds = result.video.duration / columns
    heights = []
    for column in range(columns):
        first = int(column * seconds / result.curve.step)
        # A column of a short video is narrower than a snippet.
        last = max(first + 1, int((column + 1) * seconds / result.curve.step))
        heights.append(round(max(scores[first:last], default=0.0) * 2 * _ROWS))
    return heights


def _row(levels: list[int], row: int, marks: _Marks, label: Label) -> Text:
    half = marks.lower if label == "positive" else marks.upper
    cells = (marks.full if n >= 2 * row + 2 else half if n == 2 * row + 1 else " " for n in levels)
    return Text(" " + "".join(cells), style=COLOURS[label])


def _axis(result: Result, columns: int, marks: _Marks) -> Text:
    """Segments on the axis: solid with a high confidence, broken with a low one."""
    text = Text(" ")
    for column in range(columns):
        time = (column + 0.5) * result.video.duration / columns
        segment = _at(result.segments, time, result.video.duration / columns)
        if segment is None:
            text.append(marks.axis, "dim")
        else:
            sure = segment.confidence >= _UNSURE
            text.append(
                marks.solid if sure else marks.light,
                f"bold {COLOURS[segment.label]}" if sure else COLOURS[segment.label],
            )
    return text


def _at(segments: Sequence[Segment], time: float, width: float) -> Segment | None:
    """The segment with the highest confidence that this column touches."""
    touching = [s for s in segments if s.start < time + width / 2 and s.end > time - width / 2]
    return max(touching, key=lambda segment: segment.confidence, default=None)


def scale(duration: float, columns: int) -> Text:
    """Times under the axis, as many as fit."""
    line = ""
    # A time has up to ten characters, so 16 columns leave room between two.
    parts = max(1, columns // 16)
    for part in range(parts + 1):
        word = clock(duration * part / parts)
        # The outer times end at the ends of the axis; the others are centred.
        at = round(part * columns / parts) - (
            0 if part == 0 else len(word) if part == parts else len(word) // 2
        )
        line = line.ljust(1 + at) + word
    return Text(line, style="dim")


def _table(result: Result) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for name in ("start", "end"):
        table.add_column(name, justify="right")
    table.add_column("sentiment")
    table.add_column("confidence", justify="right")
    table.add_column("from")
    for segment in result.segments:
        style = "" if segment.confidence >= _UNSURE else "dim"
        table.add_row(
            clock(segment.start),
            clock(segment.end),
            Text(segment.label, COLOURS[segment.label]),
            percent(segment.confidence),
            _evidence(segment),
            style=style,
        )
    return table


def percent(confidence: float) -> str:
    """A confidence in percent, such as `87%`; never 100, because no model is certain."""
    # 0.995 and more would be rounded to 100 %.
    return f"{confidence:.0%}" if confidence < 0.995 else ">99%"


def _evidence(segment: Segment) -> str:
    if segment.evidence is None:
        return ""
    shares = {name: getattr(segment.evidence, name) for name in ("face", "audio", "visual")}
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.01)


def _note(result: Result) -> Text:
    model, cut = result.model, result.options
    words = [f"{model.name} {model.version}", hidden(cut.threshold)]
    if result.segments:
        # Unknown in results of old releases, whose packages were all calibrated.
        measured = result.calibration.calibrated is not False
        words.insert(1, _PROBABILITY if measured else _SCORE)
    return Text("; ".join(words), style="dim")


def hidden(threshold: float) -> str:
    """Which segments a threshold hides."""
    return f"segments below {threshold:.0%} are not shown"


def clock(seconds: float, *, fine: bool = False) -> str:
    """`1:02:03.4`, without leading zero parts; `fine` adds hundredths."""
    digits = 2 if fine else 1
    # Rounded first: 59.96 s is 1:00.0, not 0:60.0.
    minutes, ticks = divmod(round(seconds * 10**digits), 60 * 10**digits)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{ticks // 10**digits:02}.{ticks % 10**digits:0{digits}}"
