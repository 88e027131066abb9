"""FCPXML 1.10 for Final Cut Pro: a project whose spine holds the clips of several files."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sentiloc.app.cuts.sequence import Clip, Sequence, Source
from sentiloc.app.formats.fcpxml import VERSION
from sentiloc.app.formats.timeline import Timebase


def fcpxml_sequence(sequence: Sequence) -> str:
    """A library with one project. Every time is a multiple of a frame's duration, as Final Cut demands."""
    root = ET.Element("fcpxml", {"version": VERSION})
    resources = ET.SubElement(root, "resources")
    _format(resources, "r0", sequence.base, sequence.width, sequence.height)
    for source in sequence.sources:
        _asset(resources, source)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", {"name": "Sentiloc"})
    project = ET.SubElement(event, "project", {"name": sequence.title})
    body = ET.SubElement(
        project,
        "sequence",
        {
            "format": "r0",
            "duration": sequence.base.as_seconds(sequence.frames),
            "tcStart": sequence.base.as_seconds(sequence.first),
            "tcFormat": sequence.base.mode,
        },
    )
    spine = ET.SubElement(body, "spine")
    for clip in sequence.clips:
        _clip(spine, clip, sequence)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _format(resources: ET.Element, name: str, base: Timebase, width: int, height: int) -> None:
    ET.SubElement(
        resources,
        "format",
        {
            "id": name,
            "frameDuration": base.as_seconds(1),
            "width": str(width),
            "height": str(height),
        },
    )


def _asset(resources: ET.Element, source: Source) -> None:
    _format(resources, f"f{source.number}", source.base, source.video.width, source.video.height)
    sound = {"audioSources": "1", "audioChannels": str(source.channels)} if source.channels else {}
    asset = ET.SubElement(
        resources,
        "asset",
        {
            "id": f"a{source.number}",
            "name": source.name,
            "start": source.base.as_seconds(source.first),
            "duration": source.base.as_seconds(source.frames),
            "hasVideo": "1",
            "hasAudio": str(int(bool(source.channels))),
            "format": f"f{source.number}",
            **sound,
        },
    )
    # FCPXML has no host name in file URLs; the older FCP7 format has localhost.
    place = source.url.replace("file://localhost", "file://") if source.folder else f"./{source.url}"
    ET.SubElement(asset, "media-rep", {"kind": "original-media", "src": place})


def _clip(spine: ET.Element, clip: Clip, sequence: Sequence) -> None:
    source = clip.source
    item = ET.SubElement(
        spine,
        "asset-clip",
        {
            "ref": f"a{source.number}",
            "name": source.name,
            "offset": sequence.base.as_seconds(sequence.first + clip.start),
            "start": source.base.as_seconds(source.first + clip.first),
            # The duration counts on the sequence's timeline, the start in the source.
            "duration": sequence.base.as_seconds(clip.frames),
            "tcFormat": source.base.mode,
        },
    )
    ET.SubElement(
        item,
        "marker",
        {
            "start": source.base.as_seconds(source.first + clip.first),
            "duration": source.base.as_seconds(1),
            "value": clip.title,
        },
    )
