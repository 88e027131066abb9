"""CMX3600 edit decision list: an old format that every editing program reads.

Reel names are limited to eight letters and digits. The file name is in a comment, where programs expect it.
"""

from __future__ import annotations

import re

from sentiloc.app.cuts.sequence import Clip, Sequence, Source
from sentiloc.app.formats.edl import edl_head, one_line
from sentiloc.app.formats.timeline import TimelineError

MOST_EVENTS = 999
# CMX3600 limits reel names to eight characters.
_REEL = 8
_RESERVED = ("BL", "AX")
"""Reserved reel names: black, and a source without timecode."""
_TRACKS = ("V", "B", "AA/V")
"""The tracks of an event, by the number of sound channels."""
_NOT_REEL = re.compile(r"[^A-Z0-9]")


def cmx3600(sequence: Sequence) -> str:
    """One event per clip, on the video track and the audio tracks.

    Raises:
        TimelineError: There are more than 999 clips, the highest event number.
    """
    if len(sequence.clips) > MOST_EVENTS:
        raise TimelineError(f"An EDL holds {MOST_EVENTS} clips at most, not {len(sequence.clips)}.")
    reels = reel_names(sequence.sources)
    lines: list[str] = []
    for number, clip in enumerate(sequence.clips, 1):
        lines += _event(number, clip, reels[clip.source.id], sequence)
    return edl_head(sequence.title, sequence.base) + "\n".join(lines) + "\n"


def notes(sequence: Sequence) -> list[str]:
    """What this format cannot represent: a source whose frame rate differs from the sequence's."""
    others = [source for source in sequence.sources if source.base.rate != sequence.base.rate]
    return sequence.renamed() + [
        f"{source.name} has another frame rate than the sequence; an EDL cannot say so. Set it when relinking."
        for source in others
    ]


def reel_names(sources: tuple[Source, ...]) -> dict[str, str]:
    """A unique reel name of at most eight capital letters and digits for each source."""
    names: dict[str, str] = {}
    for source in sources:
        stem = _NOT_REEL.sub("", source.name.rpartition(".")[0].upper()) or "REEL"
        name, number = stem[:_REEL], source.number
        while name in _RESERVED or name in names.values():
            name = f"{stem[: _REEL - len(str(number))]}{number}"
            number += 1
        names[source.id] = name
    return names


def _event(number: int, clip: Clip, reel: str, sequence: Sequence) -> list[str]:
    source, base = clip.source, sequence.base
    times = (
        source.base.timecode(source.first + clip.first),
        source.base.timecode(source.first + clip.last),
        base.timecode(sequence.first + clip.start),
        base.timecode(sequence.first + clip.end),
    )
    return [
        f"{number:03}  {reel:<8} {_TRACKS[source.channels]:<5} C        {' '.join(times)}",
        f"* FROM CLIP NAME: {one_line(source.name)}",
        f"* SOURCE FILE: {one_line(source.path)}",
        f"* COMMENT: {one_line(clip.title)}",
        "",
    ]
