"""MLT XML, which Kdenlive and Shotcut open and `melt` renders: one playlist of clips.

MLT counts everything at the profile's rate, which is the sequence's here. Relative file names refer to the folder of
the MLT file.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, gcd
from xml.etree import ElementTree as ET

from sentiloc.app.cuts.sequence import Sequence, Source

_AHEAD = Fraction(1, 2)
"""MLT shows the picture that is nearest in time."""


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
        first, frames = clip.counted_at(sequence.base.rate, _AHEAD)
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
    rate, shared = sequence.base.rate, gcd(sequence.width, sequence.height)
    ET.SubElement(
        root,
        "profile",
        {
            "description": sequence.title,
            "width": str(sequence.width),
            "height": str(sequence.height),
            "progressive": "1",
            "sample_aspect_num": "1",
            "sample_aspect_den": "1",
            "display_aspect_num": str(sequence.width // shared),
            "display_aspect_den": str(sequence.height // shared),
            "frame_rate_num": str(rate.numerator),
            "frame_rate_den": str(rate.denominator),
            "colorspace": "709",
        },
    )


def _producer(root: ET.Element, source: Source, sequence: Sequence) -> None:
    length = max(1, ceil((source.frames - _AHEAD) * sequence.base.rate / source.base.rate))
    producer = ET.SubElement(
        root, "producer", {"id": f"producer{source.number}", "in": "0", "out": str(length - 1)}
    )
    _property(producer, "length", str(length))
    # MLT takes a word before a colon for the scheme of a URL or the name of a service.
    place = f"./{source.path}" if not source.folder and ":" in source.path else source.path
    _property(producer, "resource", place)
    # Without validation the editor opens the project at once, and reads the files when it shows them.
    _property(producer, "mlt_service", "avformat-novalidate")
    _property(producer, "seekable", "1")


def _property(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, "property", {"name": name}).text = value
