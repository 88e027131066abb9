"""Timeline markers for DaVinci Resolve, in the EDL dialect of its "Timeline Markers from EDL" command."""

from __future__ import annotations

from sentiloc.app.formats.timeline import Marker, Timeline, without_overlap

COLOURS = {"positive": "ResolveColorBlue", "negative": "ResolveColorRed"}
_OTHER_COLOUR = "ResolveColorYellow"
_MAX_TITLE = 70


def resolve_markers(timeline: Timeline) -> str:
    """One event per marker; Resolve drops a marker that overlaps another, so none do (`cut_by_overlap`)."""
    mode = "DROP FRAME" if timeline.base.drop_frame else "NON-DROP FRAME"
    head = f"TITLE: {_plain(timeline.title)[:_MAX_TITLE]}\nFCM: {mode}\n\n"
    events = (
        _event(number, marker, timeline) for number, marker in enumerate(without_overlap(timeline.markers), 1)
    )
    return head + "".join(events)


def cut_by_overlap(timeline: Timeline) -> list[str]:
    """What the marker list changes so that no two overlap: one sentence for each moved or cut marker."""
    kept = dict.fromkeys(without_overlap(timeline.markers))
    return [
        f"{marker.name} from {_code(timeline, marker.start)} to {_code(timeline, marker.end)} overlaps another marker; "
        "it is moved or cut."
        for marker in timeline.markers
        if marker not in kept
    ]


def _code(timeline: Timeline, frame: int) -> str:
    return timeline.base.timecode(timeline.start + frame)


def _event(number: int, marker: Marker, timeline: Timeline) -> str:
    first, next_frame = _code(timeline, marker.start), _code(timeline, marker.start + 1)
    colour = COLOURS.get(marker.label, _OTHER_COLOUR)
    return (
        f"{number:03}  001      V     C        {first} {next_frame} {first} {next_frame}  \n"
        f" |C:{colour} |M:{marker.name} |D:{marker.end - marker.start}\n\n"
    )


def _plain(text: str) -> str:
    """One line, without the character that separates the marker's fields."""
    return " ".join(text.replace("|", "/").split())
