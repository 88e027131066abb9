"""How far each export's boundaries are from the segments', in frames: `python -m tests.proofs.formats [-o FILE]`.

Twenty segments on no frame grid, at every rate, are rendered and read back: by OpenTimelineIO (its own reader,
and its adapters for FCP7 XML, FCPXML and EDL), webvtt-py, pympi and the csv module. Half a frame is the most that
rounding to frames can cost; subtitles, ELAN and labels carry milliseconds or better instead.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import opentimelineio as oti
import webvtt
from pympi.Elan import Eaf
from rich.console import Console
from rich.table import Table

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import Timeline, make_timeline
from sentiloc.model.segments import Segment, VideoInfo

RATES: dict[str, tuple[Fraction, str | None]] = {
    "23.976": (Fraction(24000, 1001), "01:00:00:00"),
    "25": (Fraction(25), None),
    "29.97 DF": (Fraction(30000, 1001), "00:59:58;00"),
    "59.94 DF": (Fraction(60000, 1001), "00:59:58;00"),
    "60": (Fraction(60), None),
}
SEGMENTS = 20
HALF_FRAME = 0.5
Spans = list[tuple[Fraction, Fraction]]


def made(rate: Fraction, start_timecode: str | None) -> Timeline:
    """Twenty segments over eleven minutes: uneven, none on the grid, some touching, as (seconds, exact)."""
    starts = [Fraction(1234567, 10**6) + i * Fraction(32777777, 10**6) for i in range(SEGMENTS)]
    segments = [
        Segment(
            start=float(start),
            end=float(start + Fraction(23456789, 10**7) + (i % 5) * Fraction(11111, 10**4)),
            label=("positive", "negative")[i % 2],
            confidence=0.5 + i / 50,
            peak=float(start + 1),
        )
        for i, start in enumerate(starts)
    ]
    video = VideoInfo(
        duration=700.0,
        fps=float(rate),
        width=1920,
        height=1080,
        has_audio=True,
        start_timecode=start_timecode,
    )
    return make_timeline("clip.mp4", video, segments)


def _otio(adapter: str) -> Callable[[str, Timeline], Spans]:
    def read(text: str, timeline: Timeline) -> Spans:
        found = oti.adapters.read_from_string(text, adapter)
        clip = next(iter(found.find_clips()))
        offset = 0.0 if adapter == "fcp_xml" else clip.source_range.start_time.value
        spans = [
            (mark.marked_range.start_time, mark.marked_range.end_time_exclusive()) for mark in clip.markers
        ]
        rate = timeline.base.rate
        return [(Fraction(a.value - offset) / rate, Fraction(b.value - offset) / rate) for a, b in spans]

    return read


def _fcpxml(text: str, _: Timeline) -> Spans:
    """Rational seconds, as the format has them: its OpenTimelineIO adapter cuts them to whole frames."""
    clip = ElementTree.fromstring(text).find(".//asset-clip")
    assert clip is not None
    origin = Fraction(clip.attrib["start"].rstrip("s"))
    spans = []
    for marker in clip.iter("marker"):
        start, length = (Fraction(marker.attrib[key].rstrip("s")) for key in ("start", "duration"))
        spans.append((start - origin, start + length - origin))
    return spans


def _edl(text: str, timeline: Timeline) -> Spans:
    """The record timecodes by OpenTimelineIO, the length from Resolve's `|D:`."""
    rate = timeline.base.rate
    counted = float(rate) if timeline.base.drop_frame else timeline.base.nominal
    codes = re.findall(r"^\d{3}  001 .* C +(\S+) \S+ \S+ \S+", text, re.MULTILINE)
    lengths = [int(value) for value in re.findall(r"\|D:(\d+)", text)]
    starts = [round(oti.opentime.from_timecode(code, counted).value) - timeline.start for code in codes]
    return [(start / rate, (start + length) / rate) for start, length in zip(starts, lengths, strict=True)]


def _subtitles(reader: Callable[[str], webvtt.WebVTT]) -> Callable[[str, Timeline], Spans]:
    def seconds(text: str) -> Fraction:
        hours, minutes, rest = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(rest)

    def read(text: str, _: Timeline) -> Spans:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cues"
            path.write_text(text)
            return [(seconds(cue.start), seconds(cue.end)) for cue in reader(str(path)).captions]

    return read


def _eaf(text: str, _: Timeline) -> Spans:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.eaf"
        path.write_text(text)
        read = Eaf(str(path))
    marks = [mark for tier in ("positive", "negative") for mark in read.get_annotation_data_for_tier(tier)]
    return sorted((Fraction(mark[0], 1000), Fraction(mark[1], 1000)) for mark in marks)


def _csv(text: str, _: Timeline) -> Spans:
    return [(Fraction(row["start"]), Fraction(row["end"])) for row in csv.DictReader(io.StringIO(text))]


def _premiere(text: str, timeline: Timeline) -> Spans:
    counted = float(timeline.base.rate) if timeline.base.drop_frame else timeline.base.nominal
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")

    def seconds(code: str) -> Fraction:
        return (
            Fraction(round(oti.opentime.from_timecode(code, counted).value) - timeline.start)
            / timeline.base.rate
        )

    return [(seconds(row["In"]), seconds(row["Out"])) for row in rows]


def _audacity(text: str, _: Timeline) -> Spans:
    rows = csv.reader(io.StringIO(text), delimiter="\t")
    return [(Fraction(row[0]), Fraction(row[1])) for row in rows]


READERS: dict[str, Callable[[str, Timeline], Spans]] = {
    "csv": _csv,
    "vtt": _subtitles(webvtt.read),
    "srt": _subtitles(webvtt.from_srt),
    "edl": _edl,
    "fcp7": _otio("fcp_xml"),
    "fcpxml": _fcpxml,
    "otio": _otio("otio_json"),
    "premiere": _premiere,
    "audacity": _audacity,
    "eaf": _eaf,
}


def worst(name: str, timeline: Timeline) -> float:
    """The largest distance of a boundary from its segment's, in frames of the source."""
    found = sorted(READERS[name](FORMATS[name].render(timeline), timeline))
    wanted = sorted((Fraction(s.start), Fraction(s.end)) for s in timeline.segments)
    if len(found) != len(wanted):
        raise ValueError(f"{name}: {len(found)} of {len(wanted)} segments were read back")
    pairs = [pair for a, b in zip(found, wanted, strict=True) for pair in zip(a, b, strict=True)]
    return float(max(abs(read - true) for read, true in pairs) * timeline.base.rate)


def measure() -> dict[str, dict[str, float]]:
    """Worst error in frames by format and rate."""
    timelines = {name: made(*rate) for name, rate in RATES.items()}
    return {
        name: {rate: round(worst(name, timeline), 4) for rate, timeline in timelines.items()}
        for name in READERS
    }


def main() -> None:
    """Print the table; write it as JSON; fail when a boundary is off by more than half a frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("tests/proofs/results/formats.json"))
    output = parser.parse_args().output
    errors = measure()
    table = Table(title=f"Largest boundary error of {SEGMENTS} segments, in frames")
    for heading in ("format", *RATES):
        table.add_column(heading, justify="left" if heading == "format" else "right")
    for name, row in errors.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console().print(table)
    output.write_text(json.dumps({"unit": "frames", "segments": SEGMENTS, "worst": errors}, indent=2) + "\n")
    too_far = [
        f"{name} at {rate}" for name, row in errors.items() for rate, v in row.items() if v > HALF_FRAME
    ]
    if too_far:
        raise SystemExit(f"more than half a frame: {', '.join(too_far)}")


if __name__ == "__main__":
    main()
