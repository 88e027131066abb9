"""The report's timeline as SVG: a lane for each label with its segments and its curve, and a time axis."""

from __future__ import annotations

from collections.abc import Sequence

from sentiloc.app.formats.timeline import Timeline

WIDTH = 1000
_BLOCK, _CURVE, _GAP, _AXIS = 16, 34, 6, 22
_COLUMNS = 500
# The curves fill their lane, unless their highest value is below this (as on the web page).
_LEAST_SCALE = 0.4
_COLOURS = ("#0068a8", "#b34f00", "#00755a", "#9b3f80", "#5552c4", "#7d6200", "#b8324a", "#55636f")
_NAMED = {"positive": "#0068a8", "negative": "#b34f00"}
_SOFT, _GROUND = "#4a5868", "#f0f3f6"


def tone(timeline: Timeline, label: str) -> str:
    """The colour of a label."""
    place = timeline.labels.index(label) if label in timeline.labels else 0
    return _NAMED.get(label, _COLOURS[place % len(_COLOURS)])


def lanes_of(timeline: Timeline) -> tuple[str, ...]:
    """The labels from top to bottom: positive is above negative, as on the web page."""
    return tuple(sorted(timeline.labels, key=lambda label: label == "negative"))


def drawing(timeline: Timeline) -> str:
    """The whole timeline. A segment of higher confidence has a fuller colour.

    Of two labels, the second one's curve points down from the first one's axis.
    """
    labels = lanes_of(timeline)
    mirrored = len(labels) == 2
    lane = _BLOCK + (_CURVE if _has_curves(timeline) else 0) + 2
    height = max(1, len(labels)) * (lane + (0 if mirrored else _GAP)) + _AXIS
    rows = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Segments over time" font-size="12">']
    for number, label in enumerate(labels):
        top = number * (lane + (0 if mirrored else _GAP))
        rows += _lane(timeline, label, top, lane, is_down=mirrored and number == 1)
    return "".join([*rows, *_axis(timeline, height), "</svg>"])


def _has_curves(timeline: Timeline) -> bool:
    return timeline.details is not None and any(timeline.details.curves.values())


def _lane(timeline: Timeline, label: str, top: int, height: int, *, is_down: bool) -> list[str]:
    """The ground, the curve from the axis, and the segments on the curve's other side."""
    blocks = top + height - _BLOCK if is_down else top
    rows = [f'<rect y="{top}" width="{WIDTH}" height="{height}" fill="{_GROUND}"/>']
    values = timeline.details.curves.get(label, ()) if timeline.details is not None else ()
    if values:
        base = top if is_down else top + height
        rows.append(_curve(timeline, label, values, base, down=1 if is_down else -1))
        rows.append(f'<path d="M0 {base}H{WIDTH}" stroke="{_SOFT}" stroke-opacity=".4"/>')
    return rows + _blocks(timeline, label, blocks)


def _curve(timeline: Timeline, label: str, values: Sequence[float], base: int, *, down: int) -> str:
    """The filled curve; each column shows its highest value."""
    details, duration = timeline.details, _duration(timeline)
    assert details is not None  # noqa: S101
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
        f'fill-opacity=".3" stroke="{tone(timeline, label)}"/>'
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


def _axis(timeline: Timeline, height: int) -> list[str]:
    words = []
    for part in range(5):
        anchor = ("start", "middle", "middle", "middle", "end")[part]
        words.append(
            f'<text x="{part * WIDTH / 4:g}" y="{height - 6}" text-anchor="{anchor}" fill="{_SOFT}">'
            f"{clock(timeline.video.duration * part / 4)}</text>"
        )
    return words


def _duration(timeline: Timeline) -> float:
    return max(timeline.video.duration, 1e-6)


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
