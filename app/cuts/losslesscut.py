"""LosslessCut projects (`.llc`): JSON5 with the segments of one video, in seconds.

JSON is JSON5, so plain JSON is written. A project holds one video, so a sequence of several videos becomes one project
each.
"""

from __future__ import annotations

import io
import json
import zipfile

from sentiloc.app.cuts.sequence import Sequence, Source, unused_name
from sentiloc.model.names import folded, is_text

_VERSION = 1
# The earliest date in a ZIP archive. With a fixed date the same cut gives the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def losslesscut_project(sequence: Sequence) -> str:
    """The project of the sequence's first video."""
    return _project(sequence, sequence.sources[0])


def archive(sequence: Sequence) -> bytes:
    """A ZIP archive with a project for each video, in the order of their first clips."""
    data = io.BytesIO()
    names: set[str] = set()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for source in sequence.sources:
            # `a.mp4` and `a.mov` differ only in their suffixes.
            name = unused_name(file_name(source), names)
            names.add(folded(name))
            file.writestr(zipfile.ZipInfo(name, _EPOCH), _project(sequence, source))
    return data.getvalue()


def file_name(source: Source) -> str:
    """The name under which LosslessCut finds the project of a video in the same folder."""
    stem = source.name.rpartition(".")[0] or source.name
    return f"{stem}-proj.llc"


def notes(sequence: Sequence) -> list[str]:
    """What this format cannot represent: the common order of clips of several videos."""
    several = len(sequence.sources) > 1
    detail = "LosslessCut opens one video at a time: there is a project for each, and no common order."
    return sequence.renamed() + ([detail] if several else [])


def _project(sequence: Sequence, source: Source) -> str:
    segments = []
    for number, clip in enumerate(sequence.clips, 1):
        if clip.source is source:
            start, end = clip.seconds
            segments.append(
                {"start": round(start, 6), "end": round(end, 6), "name": f"{number} {clip.title}"}
            )
    document = {
        "version": _VERSION,
        "mediaFileName": source.on_disk if is_text(source.on_disk) else source.name,
        "cutSegments": segments,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
