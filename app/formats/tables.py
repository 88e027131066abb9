"""Plain tables: CSV with seconds and timecode, Premiere's marker list, Audacity's label track."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from sentiloc.app.formats.timeline import Timeline, two_digits

CSV_HEADER = ("start", "end", "label", "confidence", "peak", "start_timecode", "end_timecode", "source")
PREMIERE_HEADER = ("Marker Name", "Description", "In", "Out", "Duration", "Marker Type")


def csv_table(timeline: Timeline) -> str:
    """One row per segment: times in seconds (to the millisecond) and as timecode."""
    code = timeline.base.timecode
    rows = (
        (
            f"{segment.start:.3f}",
            f"{segment.end:.3f}",
            segment.label,
            # A person's segment has no probability. An empty cell is a missing value; 1 would raise a mean.
            "" if marker.by_hand else f"{segment.confidence:.4f}",
            f"{segment.peak:.3f}",
            code(timeline.start + marker.start),
            code(timeline.start + marker.end),
            segment.source,
        )
        for segment, marker in zip(timeline.segments, timeline.markers, strict=True)
    )
    return _write((CSV_HEADER, *rows), delimiter=",")


def premiere_markers(timeline: Timeline) -> str:
    """Premiere Pro's own marker list: tab-separated, this exact header, times from the sequence's start."""
    code = timeline.base.timecode
    rows = (
        (
            marker.name,
            f"{marker.label} {timeline.kind}",
            code(timeline.start + marker.start),
            code(timeline.start + marker.end),
            code(marker.end - marker.start),
            "Comment",
        )
        for marker in timeline.markers
    )
    return _write((PREMIERE_HEADER, *rows), delimiter="\t")


def audacity_labels(timeline: Timeline) -> str:
    """Audacity's label track: start and end in seconds, then the text, tab-separated."""
    lines = (
        # Six decimals, as Audacity itself writes them.
        f"{segment.start:.6f}\t{segment.end:.6f}\t{segment.label} "
        f"{'by hand' if marker.by_hand else two_digits(segment.confidence)}\n"
        for segment, marker in zip(timeline.segments, timeline.markers, strict=True)
    )
    return "".join(lines)


def _write(rows: Iterable[Iterable[str]], delimiter: str) -> str:
    text = io.StringIO()
    # RFC 4180 asks for CRLF.
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
