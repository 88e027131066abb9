"""Timeline markers for DaVinci Resolve, in the EDL dialect of its "Timeline Markers from EDL" command."""

from __future__ import annotations

from sentiloc.app.formats.timeline import Marker, Timebase, Timeline, without_overlap

COLOURS = {"positive": "ResolveColorBlue", "negative": "ResolveColorRed"}
_OTHER_COLOUR = "ResolveColorYellow"
# CMX3600 allows 70 characters.
_MAX_TITLE = 70


def edl_head(title: str, base: Timebase) -> str:
    """The two lines that every EDL begins with, and an empty line."""
    mode = "DROP FRAME" if base.drop_frame else "NON-DROP FRAME"
    return f"TITLE: {one_line(title)[:_MAX_TITLE]}\nFCM: {mode}\n\n"


def one_line(text: str) -> str:
    """Text without line breaks and repeated spaces, because each line of an EDL is a record."""
    return " ".join(text.split())


def resolve_markers(timeline: Timeline) -> str:
    """One event per marker. Resolve drops markers that overlap, so they are moved, cut or left out.

    `cut_by_overlap` says which.
    """
    # "|" begins a field of Resolve's marker lines.
    head = edl_head(timeline.title.replace("|", "/"), timeline.base)
    events = (_event(number, marker, timeline) for number, marker in enumerate(without_overlap(timeline), 1))
    return head + "".join(events)


def cut_by_overlap(timeline: Timeline) -> list[str]:
    """One sentence for each marker that is moved, cut or left out because it overlaps another one."""
    kept = dict.fromkeys(without_overlap(timeline))
    return [
        f"{marker.name} from {_code(timeline, marker.start)} to {_code(timeline, marker.end)} overlaps another marker; "
        "it is moved, cut or left out."
        for marker in timeline.markers
        if marker not in kept
    ]


def _code(timeline: Timeline, frame: int) -> str:
    return timeline.base.timecode(timeline.start + frame)


def _event(number: int, marker: Marker, timeline: Timeline) -> str:
    # An event of one frame: Resolve takes the length of a marker from `|D:` alone.
    first, next_frame = _code(timeline, marker.start), _code(timeline, marker.start + 1)
    colour = COLOURS.get(marker.label, _OTHER_COLOUR)
    return (
        f"{number:03}  001      V     C        {first} {next_frame} {first} {next_frame}  \n"
        f" |C:{colour} |M:{marker.name} |D:{marker.end - marker.start}\n\n"
    )
