"""The report's timeline: a lane for each label with its segments and its curve, and a time axis.

Each lane is one SVG picture that is stretched to the page's width, so its words stay outside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sentiloc.app.formats.timeline import Timeline

WIDTH = 1000
_BLOCK, _CURVE = 16, 34
_COLUMNS = 500
# The curves fill their lane, unless their highest value is below this (as on the web page).
_LEAST_SCALE = 0.4
_COLOURS = ("#0068a8", "#b34f00", "#00755a", "#9b3f80", "#5552c4", "#7d6200", "#b8324a", "#55636f")
_NAMED = {"positive": "#0068a8", "negative": "#b34f00"}


def tone(timeline: Timeline, label: str) -> str:
    """The colour of a label."""
    place = timeline.labels.index(label) if label in timeline.labels else 0
    return _NAMED.get(label, _COLOURS[place % len(_COLOURS)])


def lanes_of(timeline: Timeline) -> tuple[str, ...]:
    """The labels from top to bottom: positive is above negative, as on the web page."""
    return tuple(sorted(timeline.labels, key=lambda label: label == "negative"))


def drawing(timeline: Timeline) -> str:
    """The whole timeline as HTML. A segment of higher confidence has a fuller colour.

    If there are two labels, the curve of the second points down from the axis of the first.
    """
    labels = lanes_of(timeline)
    is_mirrored = len(labels) == 2
    lanes = (
        _lane(timeline, label, is_down=is_mirrored and number == 1) for number, label in enumerate(labels)
    )
    times = "".join(f"<span>{clock(timeline.video.duration * part / 4)}</span>" for part in range(5))
    mirrored = " mirrored" if is_mirrored else ""
    return f'<div class="lanes{mirrored}">{"".join(lanes)}</div>\n<p class="axis soft">{times}</p>'


def _has_curves(timeline: Timeline) -> bool:
    return timeline.details is not None and any(timeline.details.curves.values())


def _lane(timeline: Timeline, label: str, *, is_down: bool) -> str:
    """The label, the curve from the axis, and the segments on the curve's other side."""
    values = timeline.details.curves.get(label, ()) if timeline.details is not None else ()
    height = _BLOCK + (_CURVE if _has_curves(timeline) else 0)
    rows = []
    if values:
        base = 0 if is_down else height
        rows.append(_curve(timeline, label, values, base, down=1 if is_down else -1))
    rows += _blocks(timeline, label, height - _BLOCK if is_down else 0)
    name = escape(label.capitalize())
    return (
        f'<div class="lane{" down" if is_down else ""}"><svg viewBox="0 0 {WIDTH} {height}" height="{height}" '
        f'preserveAspectRatio="none" role="img" aria-label="{name} over time">{"".join(rows)}</svg>'
        f'<span aria-hidden="true">{name}</span></div>'
    )


def _curve(timeline: Timeline, label: str, values: Sequence[float], base: int, *, down: int) -> str:
    """The filled curve; each column shows its highest value."""
    details, duration = timeline.details, _duration(timeline)
    assert details is not None  # noqa: S101
    # One scale for all lanes, so that their heights can be compared.
    full = max(_LEAST_SCALE, *(max(series, default=0.0) for series in details.curves.values()))
    columns = min(_COLUMNS, len(values))
    points = []
    for column in range(columns):
        first, last = (len(values) * edge // columns for edge in (column, column + 1))
        x = min(WIDTH, (first + last) / 2 * details.step / duration * WIDTH)
        points.append(f"L{x:.1f} {base + down * _CURVE * max(values[first:last]) / full:.1f}")
    end = min(WIDTH, len(values) * details.step / duration * WIDTH)
    return (
        f'<path d="M0 {base}{"".join(points)}L{end:.1f} {base}Z" fill="{tone(timeline, label)}" '
        f'fill-opacity=".3" stroke="{tone(timeline, label)}" vector-effect="non-scaling-stroke"/>'
    )


def _blocks(timeline: Timeline, label: str, top: int) -> list[str]:
    duration = _duration(timeline)
    blocks = []
    for one in timeline.segments:
        if one.label == label:
            x, width = one.start / duration * WIDTH, (one.end - one.start) / duration * WIDTH
            blocks.append(
                f'<rect x="{x:.2f}" y="{top + 1}" width="{max(1.0, width):.2f}" height="{_BLOCK - 2}" '
                f'fill="{tone(timeline, label)}" fill-opacity="{0.35 + 0.65 * one.confidence:.2f}"/>'
            )
    return blocks


def _duration(timeline: Timeline) -> float:
    return max(timeline.video.duration, 1e-6)


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
