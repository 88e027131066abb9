"""Every result format is read back by a reader that this project did not write, to half a frame."""

from __future__ import annotations

import csv
import io
import re
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import opentimelineio as oti
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from pympi.Elan import Eaf

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import Timeline, make_timeline, timebase, without_overlap
from sentiloc.model.segments import Segment, VideoInfo
from tests.proofs.formats import measure

RATES = {"23.976": 24000 / 1001, "25": 25.0, "29.97": 30000 / 1001, "59.94": 60000 / 1001, "60": 60.0}


def segments(count: int = 20) -> list[Segment]:
    """Segments of uneven length on no frame grid, some touching, one pair overlapping."""
    starts = [1.234 + 30.777 * i for i in range(count)]
    made = [
        Segment(
            start=start,
            end=start + 2.345 + (i % 5) * 1.111,
            label=("positive", "negative")[i % 2],
            confidence=0.5 + i / 50,
            peak=start + 1.5,
        )
        for i, start in enumerate(starts)
    ]
    return [*made, Segment(start=2.0, end=9.5, label="negative", confidence=0.61, peak=4.0)]


def timeline(fps: float = 25.0, start_timecode: str | None = None) -> Timeline:
    video = VideoInfo(
        duration=700.0, fps=fps, width=1920, height=1080, has_audio=True, start_timecode=start_timecode
    )
    return make_timeline("Ünï <clip> & |co.mp4", video, sorted(segments(), key=lambda s: s.start))


def assert_boundaries(found: list[tuple[float, float]], made: Timeline, tolerance: float) -> None:
    """Starts and ends in seconds from the video's start agree with the segments."""
    wanted = sorted((segment.start, segment.end) for segment in made.segments)
    assert len(found) == len(wanted)
    for (start, end), (true_start, true_end) in zip(sorted(found), wanted, strict=True):
        assert abs(start - true_start) <= tolerance
        assert abs(end - true_end) <= tolerance


@pytest.mark.parametrize("fps", RATES.values(), ids=RATES)
@pytest.mark.parametrize("start", [None, "01:00:00:00"])
@pytest.mark.parametrize("name", ["otio", "fcp7", "fcpxml"])
def test_opentimelineio_reads_back(name: str, start: str | None, fps: float) -> None:
    made = timeline(fps, start)
    adapter = {"otio": "otio_json", "fcp7": "fcp_xml", "fcpxml": "fcpx_xml"}[name]
    read = oti.adapters.read_from_string(FORMATS[name].render(made), adapter)
    clip = next(iter(read.find_clips())) if hasattr(read, "find_clips") else clip_in(read)
    offset = clip.source_range.start_time if name != "fcp7" else oti.opentime.RationalTime(0, 1)
    found = [
        (
            (marker.marked_range.start_time - offset).to_seconds(),
            (marker.marked_range.end_time_exclusive() - offset).to_seconds(),
        )
        for marker in clip.markers
    ]
    truncation = 2 / int(fps) if name == "fcpxml" else 0.0  # that adapter cuts start and duration
    assert_boundaries(found, made, tolerance=0.5 / fps + truncation + 1e-6)


@pytest.mark.parametrize("fps", RATES.values(), ids=RATES)
def test_fcpxml_times_are_exact_multiples_of_the_frame_duration(fps: float) -> None:
    made = timeline(fps, "01:00:00:00")
    root = ElementTree.fromstring(FORMATS["fcpxml"].render(made))
    clip = root.find(".//asset-clip")
    assert clip is not None
    rational = {
        key: [Fraction(marker.attrib[key].rstrip("s")) * made.base.rate for marker in clip.iter("marker")]
        for key in ("start", "duration")
    }
    assert all(value.denominator == 1 for values in rational.values() for value in values)
    origin = Fraction(clip.attrib["start"].rstrip("s"))
    found = [
        (float(start / made.base.rate - origin), float((start + duration) / made.base.rate - origin))
        for start, duration in zip(rational["start"], rational["duration"], strict=True)
    ]
    assert_boundaries(found, made, tolerance=0.5 / fps + 1e-9)


def clip_in(collection: oti.schema.SerializableCollection) -> oti.schema.Clip:
    return next(iter(collection.find_children(descended_from_type=oti.schema.Clip)))


@pytest.mark.parametrize("fps", RATES.values(), ids=RATES)
@pytest.mark.parametrize("start", [None, "01:00:00:00", "09:59:58:00"])
def test_resolve_markers_read_back(fps: float, start: str | None) -> None:
    made = timeline(fps, start)
    text = FORMATS["edl"].render(made)
    rate = made.base.nominal if not made.base.drop_frame else float(made.base.rate)
    codes = re.findall(r"^\d{3}  001 .* C +(\S+) (\S+) \S+ \S+", text, re.MULTILINE)
    durations = [int(value) for value in re.findall(r"\|D:(\d+)", text)]
    times = [oti.opentime.from_timecode(code, rate).value - made.start for code, _ in codes]
    wanted = without_overlap(made.markers)
    assert times == [marker.start for marker in wanted]
    assert durations == [marker.end - marker.start for marker in wanted]
    assert all(a + d <= b for a, d, b in zip(times, durations, times[1:], strict=False))
    assert ("FCM: DROP FRAME" in text) == made.base.drop_frame
    assert all(line.count("|") == 3 for line in text.splitlines() if "|C:" in line)


def test_an_edl_reader_accepts_the_events() -> None:
    read = oti.adapters.read_from_string(FORMATS["edl"].render(timeline()), "cmx_3600", rate=25)
    assert len(list(read.find_clips())) == 21


def test_subtitles_read_back(tmp_path: Path) -> None:
    made = timeline()
    for name, reader in (("vtt", webvtt.read), ("srt", webvtt.from_srt)):
        path = tmp_path / f"cues.{name}"
        path.write_text(FORMATS[name].render(made))
        cues = reader(str(path)).captions
        assert_boundaries([(cue.start_in_seconds, cue.end_in_seconds) for cue in cues], made, tolerance=1.0)
        assert cues[0].text == "Positive 50%"
        assert cues[0].start == "00:00:01.234"


def test_tables_read_back() -> None:
    made = timeline(30000 / 1001)
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].render(made))))
    assert_boundaries([(float(row["start"]), float(row["end"])) for row in rows], made, tolerance=0.0006)
    assert rows[0]["start_timecode"] == "00:00:01;07"
    markers = list(csv.DictReader(io.StringIO(FORMATS["premiere"].render(made)), delimiter="\t"))
    assert list(markers[0]) == ["Marker Name", "Description", "In", "Out", "Duration", "Marker Type"]
    assert [row["In"] for row in markers] == [row["start_timecode"] for row in rows]
    labels = [line.split("\t") for line in FORMATS["audacity"].render(made).splitlines()]
    assert_boundaries([(float(start), float(end)) for start, end, _ in labels], made, tolerance=1e-6)


def test_elan_reads_back(tmp_path: Path) -> None:
    made = timeline()
    path = tmp_path / "result.eaf"
    path.write_text(FORMATS["eaf"].render(made))
    read = Eaf(str(path))
    found = [
        (start / 1000, end / 1000)
        for tier in ("positive", "negative")
        for start, end, *_ in read.get_annotation_data_for_tier(tier)
    ]
    assert_boundaries(found, made, tolerance=0.0006)


def test_no_boundary_is_off_by_more_than_half_a_frame_at_any_rate() -> None:
    errors = measure()
    assert set(errors) == set(FORMATS)
    assert all(error <= 0.5 for row in errors.values() for error in row.values()), errors


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_result_renders(name: str) -> None:
    video = VideoInfo(duration=0.04, fps=25.0, width=64, height=64, has_audio=False)
    assert isinstance(FORMATS[name].render(make_timeline("empty", video, [])), str)


@given(st.sampled_from([30000 / 1001, 60000 / 1001, 24000 / 1001, 25.0]), st.integers(0, 24 * 3600 * 23))
def test_timecode_agrees_with_opentimelineio(fps: float, frame: int) -> None:
    base = timebase(fps)
    code = base.timecode(frame)
    rate = float(base.rate) if base.drop_frame else base.nominal
    assert code == oti.opentime.RationalTime(frame, rate).to_timecode(rate, drop_frame=base.drop_frame)
    assert base.parse(code) == frame


def test_measured_rates_snap_to_the_exact_ones() -> None:
    assert timebase(29.9701).rate == Fraction(30000, 1001)
    assert timebase(23.98).rate == Fraction(24000, 1001)
    assert timebase(24.0).rate == 24
    assert timebase(12.5).rate == Fraction(25, 2)
    assert timebase(0.0).rate == 25
    assert not timebase(30000 / 1001, "00:00:00:00").drop_frame
