"""Every result format is read back by a third-party reader, accurate to half a frame."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import opentimelineio as oti
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from pympi.Elan import Eaf

from sentiloc.app import formats
from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import (
    Timebase,
    Timeline,
    TimelineError,
    TimelineOptions,
    check_options,
    make_timeline,
    without_overlap,
)
from sentiloc.model.segments import AudioTrack, Segment, SegmentSource, VideoInfo
from tests.proofs.formats import RATES as PROOF_RATES
from tests.proofs.formats import measure
from tests.support.written_files import WRITTEN, written_files

TITLE = "Ünï <clip> & |co.mp4"
RATES = {"23.976": 24000 / 1001, "25": 25.0, "29.97": 30000 / 1001, "59.94": 60000 / 1001, "60": 60.0}


def segments(count: int = 20) -> list[Segment]:
    """Segments of uneven length off the frame grid, some adjacent, one pair overlapping."""
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


def video(fps: float = 25.0, start_timecode: str | None = None) -> VideoInfo:
    return VideoInfo(
        duration=700.0, fps=fps, width=1920, height=1080, has_audio=True, start_timecode=start_timecode
    )


def timeline(rate: float = 25.0, file_start: str | None = None, **options: Any) -> Timeline:
    """`file_start` is the video's own timecode, options are those of TimelineOptions."""
    return make_timeline(
        TITLE,
        video(rate, file_start),
        sorted(segments(), key=lambda s: s.start),
        options=TimelineOptions(**options),
    )


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
    rate = float(made.base.rate)
    codes = re.findall(r"^\d{3}  001 .* C +(\S+) (\S+) \S+ \S+", text, re.MULTILINE)
    durations = [int(value) for value in re.findall(r"\|D:(\d+)", text)]
    times = [oti.opentime.from_timecode(code, rate).value - made.start for code, _ in codes]
    wanted = without_overlap(made)
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
        path.write_text(FORMATS[name].render(made), encoding="utf-8")
        cues = reader(str(path)).captions
        assert_boundaries([(cue.start_in_seconds, cue.end_in_seconds) for cue in cues], made, tolerance=1.0)
        assert cues[0].text == "Positive 50%"
        assert cues[0].start == "00:00:01.234"


def test_cues_and_annotations_have_a_length_and_hold_every_label() -> None:
    label = "sad & <glad>"
    short = [Segment(start=at, end=at + 0.0003, label=label, confidence=0.5, peak=at) for at in (1.0, 4.9997)]
    made = make_timeline(TITLE, video(), short)
    texts = {name: FORMATS[name].render(made) for name in ("vtt", "srt", "eaf")}
    for name in ("vtt", "srt"):
        spans = re.findall(r"(\S+) --> (\S+)", texts[name])
        assert [start < end for start, end in spans] == [True, True]
    times = [
        int(slot.attrib["TIME_VALUE"]) for slot in ElementTree.fromstring(texts["eaf"]).iter("TIME_SLOT")
    ]
    assert times == [1000, 1001, 5000, 5001]
    # In WebVTT, & and < begin a character reference and a tag.
    (cue, _) = re.findall(r"<c\.([^\s<>&.]+)>([^<]*)</c>", texts["vtt"])
    assert unescape(cue[1]) == "Sad & <glad> 50%"


def test_cues_count_hours() -> None:
    late = Segment(start=36_125.5, end=36_126.0, label="positive", confidence=0.5, peak=36_125.5)
    made = make_timeline(TITLE, replace(video(), duration=40_000.0), [late])
    assert "10:02:05.500 --> 10:02:06.000" in FORMATS["vtt"].render(made)
    assert "10:02:05,500 --> 10:02:06,000" in FORMATS["srt"].render(made)


def test_opentimelineio_holds_names_colours_and_what_is_known() -> None:
    kinds: tuple[tuple[str, float, SegmentSource], ...] = (
        ("positive", 0.91234, "model"),
        ("negative", 0.5, "model"),
        ("surprise", 1.0, "person"),
    )
    cut = [
        Segment(start=at, end=at + 1, label=label, confidence=sure, peak=at, source=source)
        for at, (label, sure, source) in enumerate(kinds)
    ]
    options = TimelineOptions(start_timecode="01:00:00:00")
    read = oti.adapters.read_from_string(
        FORMATS["otio"].render(make_timeline(TITLE, video(), cut, options=options)), "otio_json"
    )
    (track,), (clip,) = read.tracks, read.find_clips()
    assert (read.name, clip.name, track.kind) == (TITLE, TITLE, oti.schema.TrackKind.Video)
    assert read.global_start_time == oti.opentime.RationalTime(90_000, 25)
    assert clip.media_reference.available_range == clip.source_range
    colours = oti.schema.MarkerColor
    assert [(marker.name, marker.color, dict(marker.metadata["sentiloc"])) for marker in clip.markers] == [
        ("Positive 91%", colours.BLUE, {"label": "positive", "source": "model", "confidence": 0.9123}),
        ("Negative 50%", colours.RED, {"label": "negative", "source": "model", "confidence": 0.5}),
        ("Surprise by hand", colours.YELLOW, {"label": "surprise", "source": "person"}),
    ]


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
    path.write_text(FORMATS["eaf"].render(made), encoding="utf-8")
    read = Eaf(str(path))
    found = [
        (start / 1000, end / 1000)
        for tier in ("positive", "negative")
        for start, end, *_ in read.get_annotation_data_for_tier(tier)
    ]
    assert_boundaries(found, made, tolerance=0.0006)
    slots = ElementTree.parse(path).findall("TIME_ORDER/TIME_SLOT")
    times = [int(slot.attrib["TIME_VALUE"]) for slot in slots]
    assert times == sorted(times)


def test_no_boundary_is_off_by_more_than_half_a_frame_at_any_rate() -> None:
    errors = measure({name: PROOF_RATES[name] for name in ("1", "15", "29.87", "30/1.001", "240")})
    assert all(set(row) == set(FORMATS) for row in errors.values())
    assert all(error <= 0.5 for row in errors.values() for error in row.values()), errors


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_result_renders(name: str) -> None:
    video = VideoInfo(duration=0.04, fps=25.0, width=64, height=64, has_audio=False)
    assert isinstance(FORMATS[name].render(make_timeline("empty", video, [])), str)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_result_is_still_a_file_of_its_kind(name: str) -> None:
    labels = ("negative", "positive")
    made = make_timeline("empty.mp4", video(), [], labels=labels)
    text = FORMATS[name].render(made)
    if name == "srt":
        with av.open(io.BytesIO(text.encode())) as container:  # ffmpeg guesses the format, as a player does
            assert container.format.name == "srt"
    if name == "eaf":
        assert [tier.attrib["TIER_ID"] for tier in ElementTree.fromstring(text).iter("TIER")] == [
            "negative",
            "positive",
        ]


def test_no_format_reads_the_clock() -> None:
    """Every export of a result is the same file, so its `ETag` stays, and an archive holds what the route answers."""
    for module in Path(formats.__file__).parent.glob("*.py"):
        imported = {
            name
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (getattr(node, "module", None), *(one.name for one in node.names))
        }
        assert not {"datetime", "time", "calendar"} & imported, module.name


@given(st.sampled_from([30000 / 1001, 60000 / 1001]), st.integers(0, 24 * 3600 * 23))
def test_drop_frame_numbers_follow_smpte(fps: float, frame: int) -> None:
    """Two numbers (four at 59.94) are skipped every minute except every tenth: SMPTE ST 12-1."""
    base = Timebase(rate=Fraction(round(fps) * 1000, 1001), drop_frame=True)
    hours, minutes, seconds, frames = map(int, re.split("[:;]", base.timecode(frame)))
    total = hours * 60 + minutes
    skipped = round(fps) // 15 * (total - total // 10)
    assert (total * 60 + seconds) * round(fps) + frames - skipped == frame
    assert base.parse(base.timecode(frame)) == frame


@given(st.sampled_from([24000, 30000, 48000, 60000]), st.integers(0, 3 * 24 * 3600 * 60))
def test_whole_timecode_counts_every_number_for_24_of_its_hours(rate: int, frame: int) -> None:
    """At 29.97 without drop frame, they last 86.4 s longer than a day."""
    base = Timebase(rate=Fraction(rate, 1001))
    hours, minutes, seconds, frames = map(int, base.timecode(frame).split(":"))
    assert ((hours * 60 + minutes) * 60 + seconds) * base.nominal + frames == frame % (86400 * base.nominal)
    assert base.parse(base.timecode(frame)) == frame % (86400 * base.nominal)


@pytest.mark.parametrize("rate", [24000, 30000, 48000, 60000])
def test_a_file_may_start_just_before_midnight(rate: int) -> None:
    made = timeline(rate / 1001, "23:59:30:00", drop_frame=False)
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].render(made))))
    assert rows[0]["start_timecode"].startswith("23:59:31:")
    assert rows[2]["start_timecode"].startswith("00:00:01:")


@pytest.mark.parametrize(
    ("fps", "written", "start"),
    [
        (120.0, "01:00:00:000", "01:00:00:00"),
        (120.0, "01:00:00:119", "01:00:00:59"),
        (120000 / 1001, "01:00:00:060", "01:00:00:30"),
        (25.0, "25:00:00:10", "01:00:00:10"),
        (25.0, "01:75:00:00", "00:00:00:00"),
        # Files that count more frames per second than they have, and at a rate below 15.
        (15.0, "01:00:00:29", "01:00:00:29"),
        (15000 / 1001, "10:00:00:07", "10:00:00:14"),
    ],
)
def test_every_start_timecode_of_a_file_is_exported(fps: float, written: str, start: str) -> None:
    made = timeline(fps, written, drop_frame=False)
    assert made.base.timecode(made.start) == start
    asked = timeline(fps, written, drop_frame=False, start_timecode="10:00:00:00")
    assert asked.base.timecode(asked.start) == "10:00:00:00"
    assert asked.source_start == made.start
    for known in FORMATS.values():
        assert known.render(made)


@pytest.mark.parametrize(
    ("fps", "written", "start"),
    [
        (30000 / 1001, "10:01:00;00", "10:01:00;02"),
        (60000 / 1001, "10:01:00;03", "10:01:00;04"),
        (60000 / 1001, "10:59:00;05", "10:59:00;05"),
        (30000 / 1001, "10:10:00;01", "10:10:00;01"),
        (30000 / 1001, "10:01:01;00", "10:01:01;00"),
        (30000 / 1001, "10:01:00:00", "10:01:00:00"),
    ],
)
def test_a_file_that_begins_at_a_dropped_number_begins_at_the_next(
    fps: float, written: str, start: str
) -> None:
    made = timeline(fps, written)
    assert made.base.timecode(made.start) == start


@pytest.mark.parametrize(
    ("known", "written", "drops"),
    [
        *((None, "01:00:00;00", True), (None, "01:00:00:00", False), (None, None, True)),
        *((True, "01:00:00:00", True), (False, "01:00:00;00", False)),
    ],
)
def test_a_file_says_whether_it_drops_numbers(known: bool | None, written: str | None, drops: bool) -> None:
    of_file = replace(video(30000 / 1001, written), drop_frame=known)
    assert make_timeline(TITLE, of_file, []).base.drop_frame is drops


def test_a_segment_at_the_very_end_is_the_last_frame() -> None:
    cut = Segment(start=699.985, peak=699.99, end=700.0, label="positive", confidence=0.5)
    (marker,) = make_timeline(TITLE, video(), [cut]).markers
    assert (marker.start, marker.end) == (17_499, 17_500)


def test_a_silent_video_has_no_sound_in_a_sequence() -> None:
    root = ElementTree.fromstring(
        FORMATS["fcp7"].render(make_timeline(TITLE, replace(video(), has_audio=False), []))
    )
    assert root.find(".//audio") is None
    assert {link.text for link in root.iter("linkclipref")} <= {"video-1"}


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=30))
def test_moved_markers_stay_inside_the_video(frames: int, spans: list[tuple[int, int]]) -> None:
    """Where several markers meet at the video's end, the earlier ones are moved, too."""
    cut = [
        Segment(start=a / 25, peak=a / 25, end=(a + b) / 25, label="positive", confidence=0.5)
        for a, b in spans
        if a < frames
    ]
    made = make_timeline("", replace(video(), duration=frames / 25), cut)
    apart = without_overlap(made)
    assert len(apart) == min(len(cut), frames)
    assert all(marker.start < marker.end <= frames for marker in apart)
    assert all(marker.end <= after.start for marker, after in pairwise(apart))
    if len({marker.start for marker in made.markers}) == len(cut):
        assert [marker.start for marker in apart] == sorted(marker.start for marker in made.markers)


class TestTimelineOptions:
    """A client's options for a timeline: its start and its counting."""

    def test_a_start_timecode_moves_every_timecode(self) -> None:
        zero, hour = timeline(), timeline(start_timecode="01:00:00:00")
        for name, code in (("edl", "00:00:01:06"), ("csv", "00:00:01:06"), ("premiere", "00:00:01:06")):
            assert code in FORMATS[name].render(zero)
            moved = FORMATS[name].render(hour)
            assert "01:00:01:06" in moved
            assert code not in moved

    def test_the_start_of_the_timeline_is_not_that_of_the_file(self) -> None:
        made = timeline(start_timecode="01:00:00:00")
        root = ElementTree.fromstring(FORMATS["fcp7"].render(made))
        assert root.findtext("sequence/timecode/string") == "01:00:00:00"
        assert root.findtext(".//file/timecode/string") == "00:00:00:00"
        clip = ElementTree.fromstring(FORMATS["fcpxml"].render(made)).find(".//asset-clip")
        assert clip is not None
        assert (clip.attrib["offset"], clip.attrib["start"]) == ("3600s", "0s")

    @pytest.mark.parametrize(("asked", "shown"), [(None, True), (True, True), (False, False)])
    def test_drop_frame_follows_the_option(self, asked: bool | None, shown: bool) -> None:
        made = timeline(30000 / 1001, drop_frame=asked)
        assert ("FCM: DROP FRAME" in FORMATS["edl"].render(made)) == shown
        code = ElementTree.fromstring(FORMATS["fcp7"].render(made)).findtext(
            "sequence/timecode/displayformat"
        )
        assert code == ("DF" if shown else "NDF")
        assert ('tcFormat="DF"' in FORMATS["fcpxml"].render(made)) == shown

    def test_a_colon_in_the_start_timecode_means_no_drop_frame(self) -> None:
        assert not timeline(30000 / 1001, start_timecode="01:00:00:00").base.drop_frame
        assert timeline(30000 / 1001, start_timecode="01:00:00;00").base.drop_frame

    def test_the_rate_follows_the_option(self) -> None:
        made = timeline(25.0, fps=23.98)
        assert made.base.rate == Fraction(24000, 1001)
        assert_boundaries(
            [(float(m.start / made.base.rate), float(m.end / made.base.rate)) for m in made.markers],
            made,
            0.5 / 23.9,
        )

    @pytest.mark.parametrize(
        "options",
        [
            {"fps": 26.0},
            {"fps": 120.0},
            {"drop_frame": True},
            {"start_timecode": "01:00:00:25"},
            {"start_timecode": "25:00:00:00"},
            {"start_timecode": "1:0:0:0"},
            {"fps": 29.97, "start_timecode": "00:01:00;00"},
        ],
    )
    def test_impossible_options_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(TimelineError, match=r"\."):
            timeline(**options)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"fps": 26.0}, "23.976, 24, 25, 29.97, .*60.$"),
            ({"fps": 0.0}, "fps is 0; "),
            ({"fps": 25.0, "drop_frame": True}, "no drop frame at 25 frames per second; "),
            ({"start_timecode": "24:00:00:00"}, "not a timecode"),
        ],
    )
    def test_what_is_wrong_for_every_video_is_refused_before_it_is_known(
        self, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(TimelineError, match=message):
            check_options(TimelineOptions(**options))

    def test_what_may_be_right_for_a_video_is_not_refused(self) -> None:
        for options in ({}, {"drop_frame": True}, {"fps": 60.0, "start_timecode": "23:59:59:59"}):
            check_options(TimelineOptions(**options))
        assert timeline(fps=60.0).base == Timebase(rate=Fraction(60))

    def test_a_refusal_names_the_counting(self) -> None:
        with pytest.raises(
            TimelineError, match=r"00:01:00;00 does not exist at 29\.97 .*second, drop frame\."
        ):
            timeline(fps=29.97, start_timecode="00:01:00;00")

    def test_a_start_timecode_of_the_file_is_counted_at_the_timeline_s_rate(self) -> None:
        assert (
            timeline(15.0, "10:00:00:07").base.timecode(timeline(15.0, "10:00:00:07").start) == "10:00:00:14"
        )


def test_overlapping_labels_are_reported() -> None:
    """The marker list of Resolve holds one marker at a time."""
    made = timeline()
    notes = FORMATS["edl"].notes(made)
    overlapping = [note for note in notes if "Positive 50%" in note or "Negative 61%" in note]
    assert overlapping
    assert all("overlaps another marker" in note for note in notes)
    assert FORMATS["fcp7"].notes(made) == []


def test_names_stay_as_they_are_and_links_are_encoded() -> None:
    made = timeline()
    fcp7 = ElementTree.fromstring(FORMATS["fcp7"].render(made))
    assert {name.text for name in fcp7.iter("name")} >= {TITLE}
    assert fcp7.findtext(".//pathurl") == "%C3%9Cn%C3%AF%20%3Cclip%3E%20%26%20%7Cco.mp4"
    media = ElementTree.fromstring(FORMATS["fcpxml"].render(made)).find(".//media-rep")
    assert media is not None
    assert media.attrib["src"] == "./%C3%9Cn%C3%AF%20%3Cclip%3E%20%26%20%7Cco.mp4"
    eaf = ElementTree.fromstring(FORMATS["eaf"].render(made)).find(".//MEDIA_DESCRIPTOR")
    assert eaf is not None
    assert eaf.attrib["MIME_TYPE"] == "video/mp4"


ODD_NAMES = {
    "a\x01b\x7f.mp4": ("ab.mp4", "a%01b%7F.mp4"),
    "caf\udce9.mp4": ("caf\ufffd.mp4", "caf%E9.mp4"),
    "\u202egpj.mp4": ("gpj.mp4", "%E2%80%AEgpj.mp4"),
    "映画\u3000一.mp4": ("映画\u3000一.mp4", "%E6%98%A0%E7%94%BB%E3%80%80%E4%B8%80.mp4"),
    "two\nlines\ufffe.mp4": ("twolines.mp4", "two%0Alines%EF%BF%BE.mp4"),
    "\x02": ("video", "%02"),
}
"""Names of local files, how they are shown, and their links."""


@pytest.mark.parametrize("name", ODD_NAMES)
def test_every_format_holds_every_file_name(name: str) -> None:
    shown, link = ODD_NAMES[name]
    made = make_timeline(name, video(), segments(2))
    texts = {known: found.render(made).encode().decode() for known, found in FORMATS.items()}
    fcp7, fcpxml, eaf = (ElementTree.fromstring(texts[known]) for known in ("fcp7", "fcpxml", "eaf"))
    assert fcp7.findtext("sequence/name") == fcp7.findtext(".//file/name") == shown
    assert fcp7.findtext(".//pathurl") == link
    media, described = fcpxml.find(".//media-rep"), eaf.find(".//MEDIA_DESCRIPTOR")
    assert media is not None and media.attrib["src"] == f"./{link}"
    assert described is not None and described.attrib["MEDIA_URL"] == f"./{link}"
    assert f'"target_url": "{link}"' in texts["otio"]
    assert f"<h1>{shown}</h1>" in texts["html"]


def test_sound_and_picture_format_are_in_the_sequence() -> None:
    root = ElementTree.fromstring(FORMATS["fcp7"].render(timeline()))
    looks = root.find("sequence/media/video/format/samplecharacteristics")
    assert looks is not None
    assert (looks.findtext("width"), looks.findtext("height")) == ("1920", "1080")
    assert root.find("sequence/media/audio/track/clipitem") is not None


@pytest.mark.parametrize(
    ("layout", "numbers", "channels"), [("stereo", (1,), 2), ("mono", (1,), 1), ("mono", (1, 2), 2)]
)
def test_premiere_plays_every_channel(layout: str, numbers: tuple[int, ...], channels: int) -> None:
    track = AudioTrack(numbers=numbers, count=len(numbers), chosen="only", codec="aac", layout=layout)
    made = make_timeline(TITLE, replace(video(), audio_track=track), segments(2))
    root = ElementTree.fromstring(FORMATS["fcp7"].render(made))
    played = [item.findtext("sourcetrack/trackindex") for item in root.findall(".//audio/track/clipitem")]
    assert played == [str(channel) for channel in range(1, channels + 1)]
    items = {item.get("id") for item in root.iter("clipitem")}
    for item in root.iter("clipitem"):
        assert {link.findtext("linkclipref") for link in item.findall("link")} == items


def test_ranges_can_be_seen_in_final_cut() -> None:
    made = timeline()
    clip = ElementTree.fromstring(FORMATS["fcpxml"].render(made)).find(".//asset-clip")
    assert clip is not None
    ranges = [(mark.attrib["start"], mark.attrib["duration"]) for mark in clip.iter("keyword")]
    assert ranges == [(mark.attrib["start"], mark.attrib["duration"]) for mark in clip.iter("marker")]


def test_every_format_is_written_as_before() -> None:
    """No program that reads most of them runs here: see `tests/support/written_files.py`."""
    written = json.loads(WRITTEN.read_text(encoding="utf-8"))
    assert written_files() == written


def test_no_two_formats_share_a_file_name() -> None:
    names = {known.file_name("a.b.mp4") for known in FORMATS.values()}
    assert len(names) == len(FORMATS)
    assert {"a.b.csv", "a.b.premiere.csv", "a.b.edl", "a.b.audacity.txt"} <= names
    assert FORMATS["edl"].file_name("clip") == "clip.edl"
