"""A result as one HTML page that prints to a clean PDF: timeline, best moments, warnings, confidences.

The page is self-contained: it needs no scripts and no other files, because the pictures are inside it.
"""

from __future__ import annotations

from base64 import b64encode
from html import escape

from sentiloc.app.formats.details import best_moments, moment_of
from sentiloc.app.formats.report_drawing import clock, drawing, lanes_of, tone
from sentiloc.app.formats.timeline import Timeline, confidence_text, describe
from sentiloc.model.results.warnings import ResultWarning
from sentiloc.model.segments import Evidence, Segment

_BECAUSE = {"face": "the face", "audio": "the voice", "visual": "the picture"}
_PARTLY = 0.2
_STYLE = """
:root { color-scheme: light; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
body { font: 14px/1.5 system-ui, sans-serif; color: #14202c; background: #fff; max-width: 60rem; margin: 2rem auto;
padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; }
h2 { break-after: avoid; } p { margin: .3rem 0; } .soft { color: #4a5868; } svg { display: block; width: 100%; }
.lanes { display: grid; gap: 6px; } .mirrored { gap: 0; } .lane { position: relative; background: #f0f3f6; }
.lane.down { border-top: 1px solid #4a5868; } .lane span { position: absolute; left: .3rem; top: 18px; font-size: 11px;
line-height: 1.2; padding: 0 3px; background: #ffffffcc; color: #14202c; }
.lane.down span { top: auto; bottom: 18px; } .axis { display: flex; justify-content: space-between; font-size: 12px; }
.moments { display: grid; grid-template-columns: repeat(3, 1fr); gap: .9rem; list-style: none; margin: 0; padding: 0; }
.moments li { break-inside: avoid; font-variant-numeric: tabular-nums; }
.moments img { display: block; width: 100%; aspect-ratio: 16 / 9; object-fit: contain; background: #14202c; }
.moments span { display: block; } .sure { float: right; }
.warnings { border-left: 4px solid #7d6200; margin: .8rem 0; padding: .1rem 0 .1rem 1.6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ccd4dd; }
td:nth-child(4), th:nth-child(4) { text-align: right; padding-right: 1.4rem; }
tr, .lanes { break-inside: avoid; } b::before { content: "■ "; color: var(--tone); }
@media screen and (max-width: 34rem) {
table { font-size: 11px; } th, td, td:nth-child(4), th:nth-child(4) { padding-right: .3rem; }
.moments { grid-template-columns: repeat(2, 1fr); } }
@page { size: A4; margin: 15mm; } @media print { body { font-size: 12px; margin: 0; max-width: none; padding: 0; } }
"""
_MEASURED = (
    "A confidence of 80 % means that about 80 of 100 such segments are right on test videos, and fewer on other real "
    "video. A segment is right if it has the right label and shares at least a third of its time with what people "
    "marked."
)
_UNDERSTANDS = "The model sees faces and hears voices; it does not understand words, plots or irony."
_HOW_SURE = {
    "sentiment": "Confidence says how sure the model is of a segment. It compares segments; it is not a probability.",
    "emotion": "Confidence says how sure the model is of a segment; it compares segments.",
    "expression": "Confidence says how sure the model is of an expression; it compares expressions.",
}
_STRENGTH = (
    "The height of the curve is strength: how strongly the model reacts at that time. It has no number, because it is "
    "not a probability."
)
_CURVE = {
    "sentiment": _STRENGTH,
    "emotion": "The height of a curve is the probability of the emotion at that time.",
    "expression": "The height of the curve is how much the face moves.",
}


def html_report(timeline: Timeline) -> str:
    """The report as one HTML document."""
    title = escape(timeline.title)
    segments = timeline.segments
    best = best_moments(segments)
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{clock(timeline.video.duration)} · {escape(describe(timeline.base))} · '
        f"{timeline.video.width}×{timeline.video.height}</p>",
        *(f"<p>{line}</p>" for line in _summary(timeline)),
        _warnings(timeline),
        "<h2>Timeline</h2>",
        drawing(timeline),
        *(("<h2>Best moments</h2>", _moments(timeline, best)) if best else ()),
        *(
            ("<h2>All segments</h2>", _table(timeline, segments))
            if segments
            else ("<p>Nothing stands out.</p>",)
        ),
        "<h2>How sure</h2>",
        *(f"<p>{line}</p>" for line in _how_sure(timeline)),
    ]
    return _page(title, "\n".join(part for part in parts if part))


def _page(title: str, body: str) -> str:
    head = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _summary(timeline: Timeline) -> list[str]:
    """One line per label: the number of segments and their total length."""
    lines = []
    for label in lanes_of(timeline):
        mine = [one for one in timeline.segments if one.label == label]
        seconds = sum(one.end - one.start for one in mine)
        count = f"{len(mine)} segment{'' if len(mine) == 1 else 's'}"
        lines.append(f"{_named(timeline, label)}: {count}, {clock(seconds)} in all")
    return lines


def _warnings(timeline: Timeline) -> str:
    """What could not be read or was repaired, with its time if it is about a part of the video."""
    found = timeline.details.warnings if timeline.details is not None else ()
    rows = "".join(f"<li>{escape(one.detail)}{_when(timeline, one)}</li>" for one in found)
    return f'<ul class="warnings">{rows}</ul>' if rows else ""


def _when(timeline: Timeline, warning: ResultWarning) -> str:
    times = [_timecode(timeline, at) for at in (warning.start, warning.end) if at is not None]
    return f' <span class="soft">({" to ".join(times)})</span>' if times else ""


def _named(timeline: Timeline, label: str) -> str:
    return f'<b style="--tone: {tone(timeline, label)}">{escape(label.capitalize())}</b>'


def _moments(timeline: Timeline, best: list[Segment]) -> str:
    """The best moments: with pictures side by side, or without any as a table."""
    pictures = timeline.details.pictures if timeline.details is not None else {}
    # Models without pictures, and jobs whose pictures have expired.
    if not any(moment_of(one) in pictures for one in best):
        return _table(timeline, best)
    return f'<ol class="moments">{"".join(_moment(timeline, one) for one in best)}</ol>'


def _moment(timeline: Timeline, one: Segment) -> str:
    pictures = timeline.details.pictures if timeline.details is not None else {}
    picture, alt = pictures.get(moment_of(one)), f"Picture at {_timecode(timeline, one.peak)}"
    shown = f'<img alt="{alt}" src="data:image/jpeg;base64,{b64encode(picture).decode()}">' if picture else ""
    because = _because(one.evidence)
    return (
        f'<li>{shown}<span class="sure">{_sure(one)}</span>{_named(timeline, one.label)}'
        f"<span>{_timecode(timeline, one.start)} – {_timecode(timeline, one.end)}</span>"
        + (f'<span class="soft">because of {escape(because)}</span>' if because else "")
        + "</li>"
    )


def _table(timeline: Timeline, segments: tuple[Segment, ...] | list[Segment]) -> str:
    has_reasons = any(_because(one.evidence) for one in segments)
    names = ("Label", "Start", "End", "Confidence", *(("Because of",) if has_reasons else ()))
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(f"<tr>{_row(timeline, one, len(names))}</tr>" for one in segments)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(timeline: Timeline, one: Segment, columns: int) -> str:
    start, end = (_timecode(timeline, at) for at in (one.start, one.end))
    cells = (_named(timeline, one.label), start, end, _sure(one), escape(_because(one.evidence)))
    return "".join(f"<td>{cell}</td>" for cell in cells[:columns])


def _how_sure(timeline: Timeline) -> list[str]:
    details, is_sentiment = timeline.details, timeline.kind == "sentiment"
    measured = is_sentiment and details is not None and details.calibrated
    meaning = _MEASURED if measured else _HOW_SURE.get(timeline.kind, _HOW_SURE["emotion"])
    lines = [f"{meaning} {_UNDERSTANDS}" if is_sentiment else meaning]
    if details is None:
        return lines
    model = f"Model: {escape(details.model)}. Segments below {details.threshold:.0%} are not shown."
    return (
        [*lines, _CURVE.get(timeline.kind, _STRENGTH), model]
        if any(details.curves.values())
        else [*lines, model]
    )


def _timecode(timeline: Timeline, seconds: float) -> str:
    return timeline.base.timecode(timeline.start + timeline.base.frame(seconds))


def _sure(one: Segment) -> str:
    return confidence_text(one.confidence, by_hand=one.source == "person")


def _because(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    shares = {words: getattr(evidence, stream) for stream, words in _BECAUSE.items()}
    named = [words for words, share in sorted(shares.items(), key=lambda pair: -pair[1]) if share >= _PARTLY]
    return " and ".join((", ".join(named[:-1]), named[-1])) if len(named) > 1 else "".join(named)
