"""FCPXML 1.10 for Final Cut Pro: the video as one clip, its segments as keyword ranges and as markers.

Final Cut draws a marker as a point. The keyword shows how long the segment is, and collects the segments by label.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sentiloc.app.formats.timeline import Marker, Timeline

VERSION = "1.10"


def fcpxml(timeline: Timeline) -> str:
    """A library with one project; every time is a multiple of the frame duration, as Final Cut demands."""
    root = ET.Element("fcpxml", {"version": VERSION})
    _resources(root, timeline)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", {"name": "Sentiloc"})
    project = ET.SubElement(event, "project", {"name": timeline.title})
    sequence = ET.SubElement(
        project,
        "sequence",
        {
            "format": "r1",
            "duration": timeline.base.as_seconds(timeline.frames),
            "tcStart": timeline.base.as_seconds(timeline.start),
            "tcFormat": timeline.base.mode,
        },
    )
    clip = ET.SubElement(
        ET.SubElement(sequence, "spine"),
        "asset-clip",
        {
            "ref": "r2",
            "name": timeline.title,
            "offset": timeline.base.as_seconds(timeline.start),
            "start": timeline.base.as_seconds(timeline.source_start),
            "duration": timeline.base.as_seconds(timeline.frames),
            "tcFormat": timeline.base.mode,
        },
    )
    for marker in timeline.markers:
        _marker(clip, timeline, marker)
    for marker in timeline.markers:
        _keyword(clip, timeline, marker)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _resources(root: ET.Element, timeline: Timeline) -> None:
    resources = ET.SubElement(root, "resources")
    ET.SubElement(
        resources,
        "format",
        {
            "id": "r1",
            "frameDuration": timeline.base.as_seconds(1),
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
            "start": timeline.base.as_seconds(timeline.source_start),
            "duration": timeline.base.as_seconds(timeline.frames),
            "hasVideo": "1",
            "hasAudio": str(int(timeline.video.has_audio)),
            "format": "r1",
        },
    )
    ET.SubElement(asset, "media-rep", {"kind": "original-media", "src": f"./{timeline.link}"})


def _marker(clip: ET.Element, timeline: Timeline, marker: Marker) -> None:
    ET.SubElement(
        clip,
        "marker",
        {
            **_span(timeline, marker),
            "value": marker.name,
            "note": f"{marker.label} {timeline.kind}, {marker.note}",
        },
    )


def _keyword(clip: ET.Element, timeline: Timeline, marker: Marker) -> None:
    ET.SubElement(
        clip, "keyword", {**_span(timeline, marker), "value": marker.label.capitalize(), "note": marker.name}
    )


def _span(timeline: Timeline, marker: Marker) -> dict[str, str]:
    """Start and duration in the clip's own time."""
    return {
        "start": timeline.base.as_seconds(timeline.source_start + marker.start),
        "duration": timeline.base.as_seconds(marker.end - marker.start),
    }
