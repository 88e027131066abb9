"""ELAN annotation format (EAF 3.0): the video linked, one tier per label, times in milliseconds."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sentiloc.app.formats.media_types import video_type
from sentiloc.app.formats.timeline import Timeline, milliseconds, two_digits
from sentiloc.model.segments import Segment

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
# The format requires a date. A fixed one, so that the same result is always the same file; ELAN sets it when it saves.
_DATE = "1970-01-01T00:00:00+00:00"


def eaf(timeline: Timeline) -> str:
    """An annotation document with one tier per possible label. The values are the confidences.

    The video is linked by a relative path, so ELAN finds it if both files are in the same folder.
    """
    root = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "Sentiloc",
            "DATE": _DATE,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    # MEDIA_FILE is deprecated and stays empty; MEDIA_DESCRIPTOR names the video.
    header = ET.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    place = f"./{timeline.link}"
    ET.SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        {"MEDIA_URL": place, "RELATIVE_MEDIA_URL": place, "MIME_TYPE": video_type(timeline.title)},
    )
    ET.SubElement(header, "PROPERTY", {"NAME": "title"}).text = timeline.title
    slots = ET.SubElement(root, "TIME_ORDER")
    for label in timeline.labels:
        tier = ET.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": timeline.kind, "TIER_ID": label})
        for number, segment in enumerate(timeline.segments):
            if segment.label == label:
                _annotate(tier, slots, number, segment)
    # The order of the slots is that of their times.
    slots[:] = sorted(slots, key=lambda slot: int(slot.attrib["TIME_VALUE"]))
    ET.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {"LINGUISTIC_TYPE_ID": timeline.kind, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"},
    )
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _annotate(tier: ET.Element, slots: ET.Element, number: int, segment: Segment) -> None:
    ids = (f"ts{2 * number + 1}", f"ts{2 * number + 2}")
    for slot, time in zip(ids, milliseconds(segment), strict=True):
        # Each annotation has two slots of its own: shared ones would move both when a person drags an edge.
        ET.SubElement(slots, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time)})
    annotation = ET.SubElement(
        ET.SubElement(tier, "ANNOTATION"),
        "ALIGNABLE_ANNOTATION",
        {"ANNOTATION_ID": f"a{number + 1}", "TIME_SLOT_REF1": ids[0], "TIME_SLOT_REF2": ids[1]},
    )
    ET.SubElement(annotation, "ANNOTATION_VALUE").text = (
        "by hand" if segment.source == "person" else two_digits(segment.confidence)
    )
