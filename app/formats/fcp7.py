"""Final Cut Pro 7 XML (`xmeml` version 5), which Premiere Pro, Resolve and Avid import.

One sequence with the video as one clip and, where it has sound, its sound beside it. Segments are markers of the clip.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sentiloc.app.formats.timeline import Marker, Timeline
from sentiloc.app.formats.xmeml import VERSION, add_picture, add_rate, add_texts, add_timecode


def fcp7_xml(timeline: Timeline) -> str:
    """A sequence whose markers count from the first frame of the clip."""
    root = ET.Element("xmeml", {"version": VERSION})
    sequence = ET.SubElement(root, "sequence", {"id": "sequence-1"})
    add_texts(sequence, name=timeline.title, duration=timeline.frames)
    add_rate(sequence, timeline.base)
    add_timecode(sequence, timeline.base, timeline.start)
    media = ET.SubElement(sequence, "media")
    video = ET.SubElement(media, "video")
    add_picture(ET.SubElement(video, "format"), timeline.base, timeline.video.width, timeline.video.height)
    clip = _clip(ET.SubElement(video, "track"), timeline, "video-1")
    _file(clip, timeline)
    for marker in timeline.markers:
        _marker(clip, timeline, marker)
    if timeline.channels:
        _sound(ET.SubElement(media, "audio"), clip, timeline)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _sound(audio: ET.Element, picture: ET.Element, timeline: Timeline) -> None:
    """A track for each channel: an item plays one channel of its file."""
    add_texts(audio, numOutputChannels=2)
    channels = range(1, timeline.channels + 1)
    items = [picture]
    for channel in channels:
        item = _clip(ET.SubElement(audio, "track"), timeline, f"audio-{channel}")
        # The id alone: it refers to the file that the picture's clip describes.
        ET.SubElement(item, "file", {"id": "file-1"})
        add_texts(ET.SubElement(item, "sourcetrack"), mediatype="audio", trackindex=channel)
        items.append(item)
    # Each item lists all links, its own included, as in files that Premiere writes.
    for item in items:
        for kind, number in (("video", 1), *(("audio", channel) for channel in channels)):
            add_texts(
                ET.SubElement(item, "link"),
                linkclipref=f"{kind}-{number}",
                mediatype=kind,
                trackindex=number,
                clipindex=1,
            )


def _clip(track: ET.Element, timeline: Timeline, name: str) -> ET.Element:
    """The whole video on a track."""
    clip = ET.SubElement(track, "clipitem", {"id": name})
    add_texts(clip, name=timeline.title, duration=timeline.frames)
    add_rate(clip, timeline.base)
    end = timeline.frames
    add_texts(clip, **{"start": 0, "end": end, "in": 0, "out": end, "enabled": "TRUE"})
    return clip


def _file(clip: ET.Element, timeline: Timeline) -> None:
    file = ET.SubElement(clip, "file", {"id": "file-1"})
    # A relative path: the editing program looks beside the document, or asks for the file.
    add_texts(file, name=timeline.title, pathurl=timeline.link, duration=timeline.frames)
    add_rate(file, timeline.base)
    add_timecode(file, timeline.base, timeline.source_start)
    media = ET.SubElement(file, "media")
    add_picture(ET.SubElement(media, "video"), timeline.base, timeline.video.width, timeline.video.height)
    if timeline.channels:
        add_texts(ET.SubElement(media, "audio"), channelcount=timeline.channels)


def _marker(clip: ET.Element, timeline: Timeline, marker: Marker) -> None:
    comment = f"{marker.label} {timeline.kind}, {marker.note}"
    found = ET.SubElement(clip, "marker")
    add_texts(found, **{"name": marker.name, "comment": comment, "in": marker.start, "out": marker.end})
