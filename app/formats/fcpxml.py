"""FCPXML 1.10 for Final Cut Pro: the video as one clip, its segments as markers with a duration."""

from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree as ET

from sentiloc.app.formats.timeline import Marker, Timeline

_VERSION = "1.10"


def fcpxml(timeline: Timeline) -> str:
    """A library with one project; every time is a multiple of the frame duration, as Final Cut demands."""
    root = ET.Element("fcpxml", {"version": _VERSION})
    _resources(root, timeline)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", {"name": "Sentiloc"})
    project = ET.SubElement(event, "project", {"name": timeline.title})
    sequence = ET.SubElement(
        project,
        "sequence",
        {
            "format": "r1",
            "duration": _time(timeline, timeline.frames),
            "tcStart": _time(timeline, timeline.start),
            "tcFormat": "DF" if timeline.base.drop_frame else "NDF",
        },
    )
    clip = ET.SubElement(
        ET.SubElement(sequence, "spine"),
        "asset-clip",
        {
            "ref": "r2",
            "name": timeline.title,
            "offset": _time(timeline, timeline.start),
            "start": _time(timeline, timeline.start),
            "duration": _time(timeline, timeline.frames),
        },
    )
    for marker in timeline.markers:
        _marker(clip, timeline, marker)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _resources(root: ET.Element, timeline: Timeline) -> None:
    resources = ET.SubElement(root, "resources")
    ET.SubElement(
        resources,
        "format",
        {
            "id": "r1",
            "frameDuration": _time(timeline, 1),
            "width": str(timeline.video.width),
            "height": str(timeline.video.height),
        },
    )
    asset = ET.SubElement(
        resources,
        "asset",
        {
            "id": "r2",
            "name": timeline.title,
            "start": _time(timeline, timeline.start),
            "duration": _time(timeline, timeline.frames),
            "hasVideo": "1",
            "hasAudio": str(int(timeline.video.has_audio)),
            "format": "r1",
        },
    )
    ET.SubElement(asset, "media-rep", {"kind": "original-media", "src": f"./{timeline.title}"})


def _marker(clip: ET.Element, timeline: Timeline, marker: Marker) -> None:
    ET.SubElement(
        clip,
        "marker",
        {
            "start": _time(timeline, timeline.start + marker.start),
            "duration": _time(timeline, marker.end - marker.start),
            "value": marker.name,
            "note": f"{marker.label} {timeline.kind}, confidence {marker.confidence:.2f}",
        },
    )


def _time(timeline: Timeline, frames: int) -> str:
    """Rational seconds of a frame count, as `1001/30000s`, or `0s`."""
    seconds = Fraction(frames) / timeline.base.rate
    if seconds.denominator == 1:
        return f"{seconds.numerator}s"
    return f"{frames * timeline.base.rate.denominator}/{timeline.base.rate.numerator}s"
