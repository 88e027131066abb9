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
    others = [source for source in sequence.sources if source.base.nominal != sequence.base.nominal]
    return sequence.renamed() + [
        f"{source.name} has another frame rate than the sequence; an EDL cannot say so. Set it when relinking."
        for source in others
    ]


def reel_names(sources: tuple[Source, ...]) -> dict[str, str]:
    """A unique reel name of at most eight capital letters and digits for each source."""
    names: dict[str, str] = {}
    for source in sources:
        stem = _NOT_REEL.sub("", source.name.rpartition(".")[0].upper()) or "REEL"
        name = stem[:_REEL]
        if name in names.values():
            mark = str(source.number)
            name = stem[: _REEL - len(mark)] + mark
        names[source.id] = name
    return names


def _event(number: int, clip: Clip, reel: str, sequence: Sequence) -> list[str]:
    source, base = clip.source, sequence.base
    # B is "both": picture and sound.
    tracks = "B" if source.channels else "V"
    times = (
        source.base.timecode(source.first + clip.first),
        source.base.timecode(source.first + clip.last),
        base.timecode(sequence.first + clip.start),
        base.timecode(sequence.first + clip.end),
    )
    return [
        f"{number:03}  {reel:<8} {tracks:<5} C        {' '.join(times)}",
        f"* FROM CLIP NAME: {one_line(source.name)}",
        f"* SOURCE FILE: {one_line(source.path)}",
        f"* COMMENT: {one_line(clip.title)}",
        "",
    ]
