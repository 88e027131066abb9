"""Measure the error of each export's boundaries in frames: `python -m tests.proofs.formats [-o FILE]`.

42 frame rates from 1 to 240, each constant and with one frame in a hundred missing, with and without a start
timecode, with and without drop frame. The service's own rate meter reads the time stamps of two hours and chooses the
timeline's rate. Twenty segments off the frame grid are rendered and read back: by OpenTimelineIO (its own reader, and
its adapters for FCP7 XML and EDL timecode), webvtt-py, pympi and the csv module. Rounding to frames costs at most half
a frame; subtitles, ELAN and labels have a resolution of milliseconds or better.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import opentimelineio as oti
import webvtt
from pympi.Elan import Eaf
from rich.console import Console
from rich.table import Table

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import Timeline, TimelineError, TimelineOptions, make_timeline
from sentiloc.model.segments import Segment, VideoInfo
from sentiloc.worker.timeline.rate import RateMeter

RATES: dict[str, Fraction] = {
    **{
        str(rate): Fraction(rate)
        for rate in (1, 2, 3, 5, 6, 8, 10, 12, 15, 16, 18, 20, 24, 25, 30, 48, 50, 60)
    },
    **{str(rate): Fraction(rate) for rate in (72, 75, 90, 100, 120, 144, 200, 240)},
    **{f"{n}/1.001": Fraction(n * 1000, 1001) for n in (12, 15, 24, 30, 48, 60, 120, 240)},
    **{str(rate): Fraction(str(rate)) for rate in (7.5, 12.5, 14.985, 23.98, 29.87, 33.3, 59.95, 61.3)},
}
STARTS = (None, "01:00:00:00")
DURATION = 7200.0
SEGMENTS = 20
HALF_FRAME = 0.5
ONE_IN = 100
Spans = list[tuple[Fraction, Fraction]]


def stamps(rate: Fraction, *, incomplete: bool, seconds: float = DURATION) -> Iterator[float]:
    """Time stamps of a video of this rate; if `incomplete`, one picture in a hundred is missing at random."""
    rng = random.Random(0)
    for number in range(int(seconds * rate)):
        if not incomplete or rng.randrange(ONE_IN):
            yield float(number / rate)


def video_of(rate: Fraction, *, incomplete: bool, seconds: float = 600.0) -> VideoInfo:
    """The decoder's description of a two-hour video of this rate; only `seconds` of it are read."""
    meter = RateMeter([], 1e-5)
    for stamp in stamps(rate, incomplete=incomplete, seconds=max(seconds, 600.0)):
        meter.add(stamp)
    found = meter.read()
    return VideoInfo(
        duration=DURATION,
        fps=found.fps,
        width=1920,
        height=1080,
        has_audio=True,
        timebase=str(found.timebase),
        variable_rate=found.is_variable,
    )


def made(video: VideoInfo, options: TimelineOptions) -> Timeline:
    """Twenty segments of uneven length over two hours, none on the frame grid."""
    starts = [Fraction(1234567, 10**6) + i * Fraction(376777777, 10**6) for i in range(SEGMENTS)]
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
    return make_timeline("clip.mp4", video, segments, options=options)


def timelines(rate: Fraction) -> Iterator[Timeline]:
    """All timelines for a video of this rate."""
    for incomplete in (False, True):
        video = video_of(rate, incomplete=incomplete)
        for start in STARTS:
            yield made(video, TimelineOptions(start_timecode=start))
            with suppress(TimelineError):
                yield made(video, TimelineOptions(start_timecode=start, drop_frame=True))


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
    """Read rational seconds directly, because OpenTimelineIO's adapter rounds them down to whole frames."""
    clip = ElementTree.fromstring(text).find(".//asset-clip")
    assert clip is not None
    origin = Fraction(clip.attrib["start"].rstrip("s"))
    spans = []
    for marker in clip.iter("marker"):
        start, length = (Fraction(marker.attrib[key].rstrip("s")) for key in ("start", "duration"))
        spans.append((start - origin, start + length - origin))
    return spans


def _edl(text: str, timeline: Timeline) -> Spans:
    """Read record timecodes with OpenTimelineIO, and the length from Resolve's `|D:`."""
    rate = timeline.base.rate
    counted = float(rate)
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
            path.write_text(text, encoding="utf-8")
            return [(seconds(cue.start), seconds(cue.end)) for cue in reader(str(path)).captions]

    return read


def _eaf(text: str, _: Timeline) -> Spans:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.eaf"
        path.write_text(text, encoding="utf-8")
        read = Eaf(str(path))
    marks = [mark for tier in ("positive", "negative") for mark in read.get_annotation_data_for_tier(tier)]
    return sorted((Fraction(mark[0], 1000), Fraction(mark[1], 1000)) for mark in marks)


def _csv(text: str, _: Timeline) -> Spans:
    return [(Fraction(row["start"]), Fraction(row["end"])) for row in csv.DictReader(io.StringIO(text))]


def _premiere(text: str, timeline: Timeline) -> Spans:
    counted = float(timeline.base.rate)
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")

    def seconds(code: str) -> Fraction:
        return (
            Fraction(round(oti.opentime.from_timecode(code, counted).value) - timeline.start)
            / timeline.base.rate
        )

    return [(seconds(row["In"]), seconds(row["Out"])) for row in rows]


def _html(text: str, timeline: Timeline) -> Spans:
    rows = re.findall(r"<td>([\d:;]+)</td><td>([\d:;]+)</td>", text.partition("All segments")[2])
    frames = [[timeline.base.parse(code) - timeline.start for code in row] for row in rows]
    return [(start / timeline.base.rate, end / timeline.base.rate) for start, end in frames]


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
    "html": _html,
}


def worst(name: str, timeline: Timeline) -> float:
    """The largest error of a boundary in frames of the timeline."""
    found = sorted(READERS[name](FORMATS[name].render(timeline), timeline))
    wanted = sorted((Fraction(s.start), Fraction(s.end)) for s in timeline.segments)
    if len(found) != len(wanted):
        raise ValueError(f"{name}: {len(found)} of {len(wanted)} segments were read back")
    pairs = [pair for a, b in zip(found, wanted, strict=True) for pair in zip(a, b, strict=True)]
    return float(max(abs(read - true) for read, true in pairs) * timeline.base.rate)


def measure(rates: Mapping[str, Fraction] = RATES) -> dict[str, dict[str, float]]:
    """Worst error in frames by rate and format, over all timelines."""
    return {
        title: {
            name: max(round(worst(name, timeline), 4) for timeline in timelines(rate)) for name in READERS
        }
        for title, rate in rates.items()
    }


def main() -> None:
    """Print the table and write it as JSON; fail if a boundary is off by more than half a frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("tests/proofs/results/formats.json"))
    output = parser.parse_args().output
    errors = measure()
    counted = {title: next(str(t.base.rate) for t in timelines(rate)) for title, rate in RATES.items()}
    table = Table(
        title=f"Largest boundary error of {SEGMENTS} segments over two hours, in frames of the timeline"
    )
    for heading in ("rate", "counted at", *READERS):
        table.add_column(heading, justify="left" if heading == "rate" else "right")
    for title, row in errors.items():
        table.add_row(title, counted[title], *(f"{value:.3f}" for value in row.values()))
    Console(width=140).print(table)
    found = {
        "unit": "frames",
        "segments": SEGMENTS,
        "seconds": DURATION,
        "counted_at": counted,
        "worst": errors,
    }
    output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    too_far = [
        f"{name} at {rate}" for rate, row in errors.items() for name, v in row.items() if v > HALF_FRAME
    ]
    if too_far:
        raise SystemExit(f"more than half a frame: {', '.join(too_far)}")


if __name__ == "__main__":
    main()
