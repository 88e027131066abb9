"""Final Cut Pro 7 XML (`xmeml` version 5), for Premiere Pro and Resolve: a sequence of clips of several files."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sentiloc.app.cuts.sequence import Clip, Sequence, Source
from sentiloc.app.formats.xmeml import VERSION, add_picture, add_rate, add_texts, add_timecode


def fcp7_sequence(sequence: Sequence) -> str:
    """One video track, and one audio track per channel. Source frames are counted at the source's own rate."""
    root = ET.Element("xmeml", {"version": VERSION})
    body = ET.SubElement(root, "sequence", {"id": "sequence-1"})
    add_texts(body, name=sequence.title, duration=sequence.frames)
    add_rate(body, sequence.base)
    add_timecode(body, sequence.base, sequence.first)
    media = ET.SubElement(body, "media")
    video = ET.SubElement(media, "video")
    add_picture(ET.SubElement(video, "format"), sequence.base, sequence.width, sequence.height)
    track = ET.SubElement(video, "track")
    described: set[str] = set()
    clips = dict(enumerate(sequence.clips, 1))
    heard = [number for number, clip in clips.items() if clip.source.channels]
    links = {number: _links(number, heard, sequence.channels) for number in clips}
    for number, clip in clips.items():
        _picture_clip(track, clip, number, described).extend(links[number])
    if heard:
        audio = ET.SubElement(media, "audio")
        add_texts(audio, numOutputChannels=2)
        for channel in range(1, sequence.channels + 1):
            sound = ET.SubElement(audio, "track")
            for number in heard:
                _sound_clip(sound, clips[number], number, channel).extend(links[number])
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _picture_clip(track: ET.Element, clip: Clip, number: int, described: set[str]) -> ET.Element:
    item = _item(track, clip, f"video-{number}")
    _file(item, clip.source, described)
    marker = ET.SubElement(item, "marker")
    # An out point of -1 is a marker without length.
    add_texts(marker, **{"name": clip.title, "comment": clip.label, "in": clip.first, "out": -1})
    return item


def _sound_clip(track: ET.Element, clip: Clip, number: int, channel: int) -> ET.Element:
    item = _item(track, clip, f"audio-{number}-{channel}")
    ET.SubElement(item, "file", {"id": f"file-{clip.source.number}"})
    # A mono source plays its only channel on both tracks.
    used = min(channel, clip.source.channels)
    add_texts(ET.SubElement(item, "sourcetrack"), mediatype="audio", trackindex=used)
    return item


def _item(track: ET.Element, clip: Clip, name: str) -> ET.Element:
    item = ET.SubElement(track, "clipitem", {"id": name})
    add_texts(item, name=clip.source.name, duration=clip.source.frames)
    add_rate(item, clip.source.base)
    add_texts(
        item,
        **{
            "start": clip.start,
            "end": clip.end,
            "in": clip.first,
            "out": clip.last,
            "enabled": "TRUE",
            "masterclipid": f"master-{clip.source.number}",
        },
    )
    return item


def _links(number: int, heard: list[int], channels: int) -> list[ET.Element]:
    """Link picture and sound of a clip, so that they move together. Each item lists all links, its own included.

    `heard` are the numbers of the clips that the sound tracks hold.
    """
    if number not in heard:
        return []
    names = [(f"video-{number}", "video", 1, number)]
    place = heard.index(number) + 1
    names += [(f"audio-{number}-{channel}", "audio", channel, place) for channel in range(1, channels + 1)]
    made = []
    for name, kind, track, index in names:
        link = ET.Element("link")
        add_texts(link, linkclipref=name, mediatype=kind, trackindex=track, clipindex=index)
        made.append(link)
    return made


def _file(item: ET.Element, source: Source, described: set[str]) -> None:
    """The file: in full at its first use, by its id afterwards."""
    name = f"file-{source.number}"
    file = ET.SubElement(item, "file", {"id": name})
    if name in described:
        return
    described.add(name)
    add_texts(file, name=source.name, pathurl=source.url, duration=source.frames)
    add_rate(file, source.base)
    add_timecode(file, source.base, source.first)
    media = ET.SubElement(file, "media")
    add_picture(ET.SubElement(media, "video"), source.base, source.video.width, source.video.height)
    if source.channels:
        add_texts(ET.SubElement(media, "audio"), channelcount=source.channels)
