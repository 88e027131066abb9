"""A result as one HTML page that prints to a clean PDF: timeline, best moments, confidences.

The page is self-contained: it needs no scripts, pictures or other files.
"""

from __future__ import annotations

from html import escape

from sentiloc.app.formats.timeline import Timeline, describe, sureness
from sentiloc.model.segments import Evidence, Segment

_BEST = 5
_COLOURS = ("#0068a8", "#b34f00", "#00755a", "#9b3f80", "#5552c4", "#7d6200", "#b8324a", "#55636f")
_NAMED = {"positive": "#0068a8", "negative": "#b34f00"}
_BECAUSE = {"face": "the face", "audio": "the voice", "visual": "the picture"}
_PARTLY = 0.2
_WIDTH, _LANE = 1000, 26
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #14202c; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
p { margin: .3rem 0; } .soft { color: #4a5868; } svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ccd4dd; }
td:nth-child(4), th:nth-child(4) { text-align: right; padding-right: 1.4rem; }
tr, svg { break-inside: avoid; } b::before { content: "■ "; color: var(--tone); }
@media screen and (max-width: 34rem) {
table { font-size: 11px; } th, td, td:nth-child(4), th:nth-child(4) { padding-right: .3rem; }
svg text { font-size: 18px; }
b { overflow-wrap: anywhere; } }
@page { margin: 15mm; } @media print { body { margin: 0; max-width: none; } }
"""
_HOW_SURE = {
    "sentiment": "A confidence of 80 % means that about 80 of 100 such segments are right: they have the right label "
    "and share at least a third of their time with what people marked. This was measured on other videos. The model "
    "sees faces and hears voices; it does not understand words, plots or irony.",
    "emotion": "Confidence says how sure the model is of a segment; it compares segments.",
    "expression": "Confidence says how sure the model is of an expression; it compares expressions.",
}


def html_report(timeline: Timeline) -> str:
    """The report as one HTML document."""
    title = escape(timeline.title)
    segments = timeline.segments
    best = sorted((one for one in segments if one.source == "model"), key=lambda one: -one.confidence)[:_BEST]
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{_clock(timeline.video.duration)} · {escape(describe(timeline.base))} · '
        f"{timeline.video.width}×{timeline.video.height}</p>",
        *(f"<p>{line}</p>" for line in _summary(timeline)),
        "<h2>Timeline</h2>",
        _drawing(timeline),
        *(("<h2>Best moments</h2>", _table(timeline, best)) if best else ()),
        *(
            ("<h2>All segments</h2>", _table(timeline, segments))
            if segments
            else ("<p>Nothing stands out.</p>",)
        ),
        "<h2>How sure</h2>",
        f"<p>{_HOW_SURE.get(timeline.kind, _HOW_SURE['emotion'])}</p>",
    ]
    head = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _tone(timeline: Timeline, label: str) -> str:
    place = timeline.labels.index(label) if label in timeline.labels else 0
    return _NAMED.get(label, _COLOURS[place % len(_COLOURS)])


def _summary(timeline: Timeline) -> list[str]:
    """One line per label: the number of segments and their total length."""
    lines = []
    for label in timeline.labels:
        mine = [one for one in timeline.segments if one.label == label]
        seconds = sum(one.end - one.start for one in mine)
        count = f"{len(mine)} segment{'' if len(mine) == 1 else 's'}"
        lines.append(f"{_named(timeline, label)}: {count}, {_clock(seconds)} in all")
    return lines


def _named(timeline: Timeline, label: str) -> str:
    return f'<b style="--tone: {_tone(timeline, label)}">{escape(label.capitalize())}</b>'


def _drawing(timeline: Timeline) -> str:
    """A lane for each label with its segments and a time axis. A higher confidence has a fuller colour."""
    labels, duration = timeline.labels, max(timeline.video.duration, 1e-6)
    height = _LANE * max(1, len(labels)) + 24
    rows = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Segments over time" font-size="12">',
    ]
    for lane, label in enumerate(labels):
        top, tone = lane * _LANE, _tone(timeline, label)
        rows.append(f'<rect y="{top + 2}" width="{_WIDTH}" height="{_LANE - 4}" fill="#f0f3f6"/>')
        for one in timeline.segments:
            if one.label == label:
                x, width = one.start / duration * _WIDTH, (one.end - one.start) / duration * _WIDTH
                rows.append(
                    f'<rect x="{x:.2f}" y="{top + 2}" width="{max(1.0, width):.2f}" height="{_LANE - 4}" '
                    f'fill="{tone}" fill-opacity="{0.35 + 0.65 * one.confidence:.2f}"/>'
                )
    for part in range(5):
        anchor = ("start", "middle", "middle", "middle", "end")[part]
        rows.append(
            f'<text x="{part * _WIDTH / 4:g}" y="{height - 6}" text-anchor="{anchor}" fill="#4a5868">'
            f"{_clock(duration * part / 4)}</text>"
        )
    return "".join([*rows, "</svg>"])


def _table(timeline: Timeline, segments: tuple[Segment, ...] | list[Segment]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("Label", "Start", "End", "Confidence", "Because of"))
    rows = "".join(f"<tr>{_row(timeline, one)}</tr>" for one in segments)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(timeline: Timeline, one: Segment) -> str:
    base = timeline.base
    start, end = (base.timecode(timeline.start + base.frame(at)) for at in (one.start, one.end))
    sure = sureness(one.confidence, by_hand=one.source == "person")
    cells = (_named(timeline, one.label), start, end, sure, escape(_because(one.evidence)))
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _because(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    shares = {words: getattr(evidence, stream) for stream, words in _BECAUSE.items()}
    named = [words for words, share in sorted(shares.items(), key=lambda pair: -pair[1]) if share >= _PARTLY]
    return " and ".join((", ".join(named[:-1]), named[-1])) if len(named) > 1 else "".join(named)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
