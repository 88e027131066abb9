"""MLT XML, which Kdenlive and Shotcut open and `melt` renders: one playlist of clips.

MLT counts everything at the profile's rate, which is the sequence's here. Relative file names refer to the folder of
the MLT file.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil, floor, gcd
from xml.etree import ElementTree as ET

from sentiloc.app.cuts.sequence import Sequence, Source

_AHEAD = Fraction(1, 2)
"""MLT shows the picture that is nearest in time."""
_ROUNDING = Fraction(1, 10)
"""Frames. Containers round time stamps to milliseconds."""

_XML_TEXT = re.compile("[\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def _ahead(source: Source) -> Fraction:
    """Frames of the source by which MLT is ahead. It counts from the first picture, and skips sound before it."""
    return _AHEAD + floor(Fraction(source.video.first_picture) * source.base.rate + _ROUNDING)


def mlt_sequence(sequence: Sequence) -> str:
    """A profile, a producer for each file, and a playlist."""
    # LC_NUMERIC: decimal points, whatever the editor's language.
    root = ET.Element("mlt", {"LC_NUMERIC": "C", "producer": "reel", "title": sequence.title})
    _profile(root, sequence)
    for source in sequence.sources:
        _producer(root, source, sequence)
    playlist = ET.SubElement(root, "playlist", {"id": "clips"})
    length = 0
    for clip in sequence.clips:
        # The nearest frame of the sequence may flash a picture of the shot before the cut: source frame 147 at 30 fps
        # lies between the frames 122 (picture 146) and 123 (148) of 25.
        first, frames = clip.counted_at(sequence.base.rate, _ahead(clip.source))
        length += frames
        ET.SubElement(
            playlist,
            "entry",
            {
                "producer": f"producer{clip.source.number}",
                "in": str(first),
                # MLT's out point is the last frame itself.
                "out": str(first + frames - 1),
            },
        )
    tractor = ET.SubElement(
        root, "tractor", {"id": "reel", "in": "0", "out": str(length - 1), "title": sequence.title}
    )
    # Shotcut opens a tractor as its timeline only if it has this property.
    _property(tractor, "shotcut", "1")
    ET.SubElement(tractor, "track", {"producer": "clips"})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _profile(root: ET.Element, sequence: Sequence) -> None:
    # Even, because `melt` skews pictures of an odd width. Pixels that are not square make such widths.
    width, height = (max(2, round(side / 2) * 2) for side in (sequence.width, sequence.height))
    rate, shared = sequence.base.rate, gcd(width, height)
    ET.SubElement(
        root,
        "profile",
        {
            "description": sequence.title,
            "width": str(width),
            "height": str(height),
            "progressive": "1",
            "sample_aspect_num": "1",
            "sample_aspect_den": "1",
            "display_aspect_num": str(width // shared),
            "display_aspect_den": str(height // shared),
            "frame_rate_num": str(rate.numerator),
            "frame_rate_den": str(rate.denominator),
            "colorspace": "709",
        },
    )


def _producer(root: ET.Element, source: Source, sequence: Sequence) -> None:
    length = max(1, ceil((source.frames - _ahead(source)) * sequence.base.rate / source.base.rate))
    producer = ET.SubElement(
        root, "producer", {"id": f"producer{source.number}", "in": "0", "out": str(length - 1)}
    )
    _property(producer, "length", str(length))
    _property(producer, "resource", _resource(source))
    # Without validation the editor opens the project at once, and reads the files when it shows them.
    _property(producer, "mlt_service", "avformat-novalidate")
    _property(producer, "seekable", "1")


def _resource(source: Source) -> str:
    """The file. Characters that XML cannot hold are left out, though no program finds the file then."""
    path = source.path_on_disk if _XML_TEXT.fullmatch(source.path_on_disk) else source.path
    # MLT takes a word before a colon for the scheme of a URL or the name of a service.
    return f"./{path}" if not source.folder and ":" in path else path


def _property(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, "property", {"name": name}).text = value
