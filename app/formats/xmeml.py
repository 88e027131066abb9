"""Elements common to all Final Cut Pro 7 XML documents: rates, timecode, picture properties, text elements."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sentiloc.app.formats.timeline import Timebase

VERSION = "5"


def add_texts(parent: ET.Element, **values: object) -> None:
    """Add a child element with text for each value, in the given order."""
    for name, value in values.items():
        ET.SubElement(parent, name).text = str(value)


def add_rate(parent: ET.Element, base: Timebase) -> None:
    """Add the rate at which frames are counted."""
    rate = ET.SubElement(parent, "rate")
    # 29.97 is written as timebase 30 with ntsc TRUE.
    add_texts(rate, timebase=base.nominal, ntsc=str(base.ntsc).upper())


def add_timecode(parent: ET.Element, base: Timebase, first: int) -> None:
    """Add the timecode of the first frame, whose number is `first`."""
    code = ET.SubElement(parent, "timecode")
    add_rate(code, base)
    add_texts(code, string=base.timecode(first), frame=first, displayformat=base.mode)


def add_picture(parent: ET.Element, base: Timebase, width: int, height: int) -> None:
    """Add the properties of the picture."""
    looks = ET.SubElement(parent, "samplecharacteristics")
    add_rate(looks, base)
    add_texts(looks, width=width, height=height, pixelaspectratio="square")
