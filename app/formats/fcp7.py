"""Final Cut Pro 7 XML (`xmeml` version 5), which Premiere Pro, Resolve and Avid import.

One sequence with the video as one clip and, where it has sound, its sound beside it. Segments are markers of the clip.
"""

from __future__ import annotations

from urllib.parse import quote
from xml.etree import ElementTree as ET

from sentiloc.app.formats.timeline import Marker, Timeline

_VERSION = "5"


def fcp7_xml(timeline: Timeline) -> str:
    """A sequence whose markers count from the first frame of the clip."""
    root = ET.Element("xmeml", {"version": _VERSION})
    sequence = ET.SubElement(root, "sequence", {"id": "sequence-1"})
    _texts(sequence, name=timeline.title, duration=timeline.frames)
    _rate(sequence, timeline)
    _timecode(sequence, timeline, timeline.start)
    media = ET.SubElement(sequence, "media")
    video = ET.SubElement(media, "video")
    _picture(ET.SubElement(video, "format"), timeline)
    clip = _clip(ET.SubElement(video, "track"), timeline, "video")
    _file(clip, timeline)
    for marker in timeline.markers:
        _marker(clip, timeline, marker)
    if timeline.video.has_audio:
        sound = _clip(ET.SubElement(ET.SubElement(media, "audio"), "track"), timeline, "audio")
        ET.SubElement(sound, "file", {"id": "file-1"})
        _texts(ET.SubElement(sound, "sourcetrack"), mediatype="audio", trackindex=1)
        for part in (clip, sound):
            for kind in ("video", "audio"):
                _texts(
                    ET.SubElement(part, "link"),
                    linkclipref=f"{kind}-1",
                    mediatype=kind,
                    trackindex=1,
                    clipindex=1,
                )
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _clip(track: ET.Element, timeline: Timeline, kind: str) -> ET.Element:
    """The whole video on a track."""
    clip = ET.SubElement(track, "clipitem", {"id": f"{kind}-1"})
    _texts(clip, name=timeline.title, duration=timeline.frames)
    _rate(clip, timeline)
    end = timeline.frames
    _texts(clip, **{"start": 0, "end": end, "in": 0, "out": end, "enabled": "TRUE"})
    return clip


def _file(clip: ET.Element, timeline: Timeline) -> None:
    file = ET.SubElement(clip, "file", {"id": "file-1"})
    _texts(file, name=timeline.title, pathurl=quote(timeline.title), duration=timeline.frames)
    _rate(file, timeline)
    _timecode(file, timeline, timeline.source_start)
    media = ET.SubElement(file, "media")
    _picture(ET.SubElement(media, "video"), timeline)
    if timeline.video.has_audio:
        _texts(ET.SubElement(media, "audio"), channelcount=2)


def _picture(parent: ET.Element, timeline: Timeline) -> None:
    looks = ET.SubElement(parent, "samplecharacteristics")
    _rate(looks, timeline)
    _texts(looks, width=timeline.video.width, height=timeline.video.height, pixelaspectratio="square")


def _marker(clip: ET.Element, timeline: Timeline, marker: Marker) -> None:
    comment = f"{marker.label} {timeline.kind}, {marker.note}"
    found = ET.SubElement(clip, "marker")
    _texts(found, **{"name": marker.name, "comment": comment, "in": marker.start, "out": marker.end})


def _timecode(parent: ET.Element, timeline: Timeline, first: int) -> None:
    code = ET.SubElement(parent, "timecode")
    _rate(code, timeline)
    shown = "DF" if timeline.base.drop_frame else "NDF"
    _texts(code, string=timeline.base.timecode(first), frame=first, displayformat=shown)


def _rate(parent: ET.Element, timeline: Timeline) -> None:
    rate = ET.SubElement(parent, "rate")
    _texts(rate, timebase=timeline.base.nominal, ntsc=str(timeline.base.ntsc).upper())


def _texts(parent: ET.Element, **values: object) -> None:
    for name, value in values.items():
        ET.SubElement(parent, name).text = str(value)
