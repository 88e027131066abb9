"""Sequences of clips of several videos, read back by third-party readers."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import floor
from pathlib import PurePosixPath
from typing import Any, cast
from xml.etree import ElementTree as ET

import json5
import opentimelineio as oti
import pytest

from sentiloc.app.cuts import CUT_FORMATS
from sentiloc.app.cuts.edl import reel_names
from sentiloc.app.cuts.sequence import (
    GivenClip,
    GivenSource,
    Sequence,
    SequenceOptions,
    make_sequence,
)
from sentiloc.app.formats.timeline import TimelineError
from sentiloc.app.reels.plan import ReelLook, make_plan
from sentiloc.model.segments import AudioTrack, VideoInfo

RATES = ("24000/1001", "24/1", "25/1", "30000/1001", "30/1", "50/1", "60000/1001", "60/1")
SPANS = (("a", 1.0, 3.48), ("b", 2.04, 4.6), ("a", 10.0, 12.52), ("b", 0.0, 1.0))


def video(rate: str = "25/1", start: str | None = None, sound: bool = True) -> VideoInfo:
    return VideoInfo(
        duration=60.0,
        fps=float(Fraction(rate)),
        width=640,
        height=360,
        has_audio=sound,
        timebase=rate,
        start_timecode=start,
    )


def sequence(first: str = "25/1", second: str = "25/1", **options: Any) -> Sequence:
    sources = [
        GivenSource(id="a", name="holiday.mp4", video=video(first)),
        GivenSource(id="b", name="Tag & Nacht <2>.mov", video=video(second, "01:02:03:04")),
    ]
    clips = [
        GivenClip(source_id=name, start=start, end=end, label="positive", confidence=0.92)
        for name, start, end in SPANS
    ]
    return make_sequence(clips, sources, SequenceOptions(**options))


@pytest.mark.parametrize("start", [1.24, 1.26, 1.28, 1.3, 1.34])
def test_a_cut_between_two_frames_keeps_its_length(start: float) -> None:
    """15 frames of 25 a second, also where both edges lie in the middle of a frame."""
    source = GivenSource(id="a", name="holiday.mp4", video=video())
    clip = GivenClip(source_id="a", start=start, end=start + 0.6, label="positive", confidence=0.9)
    (made,) = make_sequence([clip], [source], SequenceOptions()).clips
    assert (made.frames, made.source_frames) == (15, 15)
    assert made.first in {floor(25 * start), floor(25 * start) + 1}


def test_a_cut_within_one_frame_shows_that_frame() -> None:
    source = GivenSource(id="a", name="holiday.mp4", video=video())
    clip = GivenClip(source_id="a", start=1.0, end=1.02)
    (made,) = make_sequence([clip], [source], SequenceOptions()).clips
    assert (made.first, made.until, made.frames, made.source_frames) == (25, 26, 1, 1)


def test_a_clip_is_named_after_its_label_and_confidence() -> None:
    clip = sequence().clips[0]
    assert clip.title == "Positive 92%"
    assert replace(clip, label="").title == "holiday.mp4"
    assert "92" not in replace(clip, confidence=None).title


@pytest.mark.parametrize(
    ("title", "stem"), [("My: cut?", "My_ cut_"), (" ..x.. ", "x"), ("...", "cut"), ("", "cut")]
)
def test_a_title_is_a_file_name(title: str, stem: str) -> None:
    assert replace(sequence(), title=title).file_stem == stem


def test_drop_frame_counts_at_the_rate_of_most_clips() -> None:
    names = {"a": "25/1", "b": "30000/1001"}
    sources = [GivenSource(id=name, name=f"{name}.mp4", video=video(rate)) for name, rate in names.items()]
    clips = [GivenClip(source_id=name, start=0, end=1) for name in "abb"]
    for drop_frame in (True, False):
        base = make_sequence(clips, sources, SequenceOptions(drop_frame=drop_frame)).base
        assert (base.rate, base.drop_frame) == (Fraction(30_000, 1001), drop_frame)


@pytest.mark.parametrize(
    ("rate", "start", "asked", "drops"),
    [
        *(("30000/1001", "01:00:00:00", fps, False) for fps in (None, 29.97, 59.94)),
        *(("30000/1001", "01:00:00;00", fps, True) for fps in (None, 29.97, 59.94)),
        *(("25/1", "01:00:00:00", fps, fps is not None) for fps in (None, 29.97)),
    ],
)
def test_a_rate_that_is_asked_for_counts_as_the_videos_do(
    rate: str, start: str, asked: float | None, drops: bool
) -> None:
    source = GivenSource(id="a", name="a.mp4", video=video(rate, start))
    options = SequenceOptions(fps=asked, start_timecode="01:00:00;00")
    base = make_sequence([GivenClip(source_id="a", start=0, end=1)], [source], options).base
    assert base.drop_frame is drops


def text(name: str, made: Sequence) -> str:
    return CUT_FORMATS[name].write(made).data.decode()


def expected(made: Sequence) -> list[tuple[str, int, int, int, int]]:
    return [
        (clip.source.name, clip.source.first + clip.first, clip.source_frames, clip.start, clip.frames)
        for clip in made.clips
    ]


def read_clips(timeline: oti.schema.Timeline) -> list[tuple[oti.schema.Clip, int, int]]:
    """Clips of the first picture track with their first frame and length on the sequence."""
    track = next(track for track in timeline.tracks if track.kind == oti.schema.TrackKind.Video)
    found = []
    for clip in track:
        placed = track.range_of_child(clip)
        found.append((clip, round(placed.start_time.value), round(placed.duration.value)))
    return found


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("name", "adapter"), [("otio", "otio_json"), ("fcp7", "fcp_xml")])
def test_opentimelineio_reads_every_cut_to_the_frame(name: str, adapter: str, rate: str) -> None:
    made = sequence(rate, rate)
    read = oti.adapters.read_from_string(text(name, made), adapter)
    found = [
        (
            round(clip.source_range.start_time.value),
            round(clip.source_range.duration.value),
            start,
            frames,
        )
        for clip, start, frames in read_clips(read)
    ]
    assert found == [row[1:] for row in expected(made)]


def test_picture_and_sound_of_each_clip_are_linked() -> None:
    mono = replace(
        video(), audio_track=AudioTrack(numbers=(1,), count=1, chosen="only", codec="aac", layout="mono")
    )
    videos = {"quiet": video(sound=False), "mono": mono, "stereo": video()}
    sources = [GivenSource(id=name, name=f"{name}.mp4", video=one) for name, one in videos.items()]
    clips = [GivenClip(source_id=name, start=1.0, end=2.0) for name in (*videos, *videos)]
    root = ET.fromstring(text("fcp7", make_sequence(clips, sources, SequenceOptions())))
    tracks = {kind: root.findall(f"./sequence/media/{kind}/track") for kind in ("video", "audio")}
    groups: dict[str, list[list[str]]] = {}
    for item in root.iter("clipitem"):
        links = [[str(part.text) for part in link] for link in item.findall("link")]
        assert item.findtext("name") == "quiet.mp4" or item.get("id") in [link[0] for link in links]
        for name, kind, track, place in links:
            assert tracks[kind][int(track) - 1][int(place) - 1].get("id") == name
            assert groups.setdefault(name, links) == links
    assert [len(links) for links in groups.values()] == [3] * 12


@pytest.mark.parametrize("rate", ["24/1", "25/1", "30000/1001", "30/1"])
def test_an_edl_reader_reads_every_cut_to_the_frame(rate: str) -> None:
    made = sequence(rate, rate)
    fps = made.base.nominal if not made.base.ntsc else float(made.base.rate)
    read = oti.adapters.read_from_string(text("edl", made), "cmx_3600", rate=fps)
    found = [
        (
            clip.name,
            round(clip.source_range.start_time.value),
            round(clip.source_range.duration.value),
            start,
            frames,
        )
        for clip, start, frames in read_clips(read)
    ]
    assert found == expected(made)


def test_final_cut_s_reader_reads_every_cut_to_the_frame() -> None:
    # The reader treats a start timecode as a gap.
    made = sequence(start_timecode="00:00:00:00")
    read = oti.adapters.read_from_string(text("fcpxml", made), "fcpx_xml")
    (timeline,) = [item for item in _walk(read) if isinstance(item, oti.schema.Timeline)]
    found = []
    for clip, start, frames in read_clips(timeline):
        first = clip.source_range.start_time.rescaled_to(25).value
        found.append((clip.name, round(first), start, frames))
    assert found == [(name, first, start, frames) for name, first, _, start, frames in expected(made)]


def _walk(item: Any) -> list[Any]:
    if isinstance(item, oti.schema.SerializableCollection):
        return [found for child in item for found in _walk(child)]
    return [item]


@pytest.mark.parametrize("rate", RATES)
def test_final_cut_s_times_are_multiples_of_a_frame(rate: str) -> None:
    root = ET.fromstring(text("fcpxml", sequence(rate, "25/1")))
    frame = {element.get("id"): _seconds(element.get("frameDuration")) for element in root.iter("format")}
    asset = {element.get("id"): frame[element.get("format")] for element in root.iter("asset")}
    for clip in root.iter("asset-clip"):
        assert (_seconds(clip.get("start")) / asset[clip.get("ref")]).denominator == 1
        assert (_seconds(clip.get("offset")) / frame["r0"]).denominator == 1
        assert (_seconds(clip.get("duration")) / frame["r0"]).denominator == 1


def _seconds(value: str | None) -> Fraction:
    return Fraction((value or "").removesuffix("s"))


def test_losslesscut_gets_a_json5_project_for_each_video() -> None:
    made = sequence()
    file = CUT_FORMATS["llc"].write(made)
    with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
        projects = {
            name: cast("dict[str, Any]", json5.loads(archive.read(name).decode()))
            for name in archive.namelist()
        }
    assert set(projects) == {"holiday-proj.llc", "Tag & Nacht <2>-proj.llc"}
    holiday = projects["holiday-proj.llc"]
    assert (holiday["version"], holiday["mediaFileName"]) == (1, "holiday.mp4")
    found = [(one["start"], one["end"]) for one in holiday["cutSegments"]]
    assert found == [(1.0, 3.48), (10.0, 12.52)]
    # The numbers are those of the common order, which a project cannot hold.
    assert [one["name"] for one in holiday["cutSegments"]] == ["1 Positive 92%", "3 Positive 92%"]
    assert len(CUT_FORMATS["llc"].notes(made)) == 1


def test_a_cut_of_one_video_is_one_losslesscut_project() -> None:
    sources = [GivenSource(id="a", name="holiday.mp4", video=video())]
    made = make_sequence([GivenClip(source_id="a", start=1, end=2)], sources, SequenceOptions())
    file = CUT_FORMATS["llc"].write(made)
    assert (file.name, file.media_type) == ("holiday-proj.llc", "application/json5")
    assert CUT_FORMATS["llc"].notes(made) == []
    assert cast("dict[str, Any]", json5.loads(file.data.decode()))["mediaFileName"] == "holiday.mp4"


def test_mlt_counts_at_the_profile_s_rate() -> None:
    made = sequence("25/1", "50/1")
    root = ET.fromstring(text("mlt", made))
    files = {
        producer.get("id"): producer.findtext("property[@name='resource']")
        for producer in root.iter("producer")
    }
    found = [
        (files[entry.get("producer")], int(entry.get("in", "")), int(entry.get("out", "")))
        for entry in root.iter("entry")
    ]
    assert found == [
        ("holiday.mp4", 25, 86),
        ("Tag & Nacht <2>.mov", 51, 114),
        ("holiday.mp4", 250, 312),
        ("Tag & Nacht <2>.mov", 0, 24),
    ]


@pytest.mark.parametrize(
    ("lead", "entry"),
    [(0.0, (50, 99)), (0.2, (45, 94)), (0.199, (45, 94)), (0.5, (38, 87)), (2.4, (0, 39)), (9.0, (0, 0))],
)
def test_mlt_counts_from_the_first_picture(lead: float, entry: tuple[int, int]) -> None:
    source = GivenSource(id="a", name="tv.ts", video=replace(video(), first_picture=lead))
    clip = GivenClip(source_id="a", start=2, end=4)
    root = ET.fromstring(text("mlt", make_sequence([clip], [source], SequenceOptions())))
    assert [(int(e.get("in", "")), int(e.get("out", ""))) for e in root.iter("entry")] == [entry]
    length = 1500 - floor(lead * 25 + 0.1)
    assert root.findtext("producer/property[@name='length']") == str(length)


TWO_RATES = pytest.mark.parametrize(
    ("own", "rate"), [*product(["24/1", "25/1", "30000/1001", "30/1", "50/1", "60/1"], [24, 25, 30, 60])]
)


def many_cuts(own: str, rate: int) -> Sequence:
    """A cut at every place of two frame grids, of lengths that are no multiple of a frame of the sequence."""
    fps = Fraction(own)
    clips = [
        GivenClip(source_id="a", start=float(first / fps), end=float((first + 31 + first % 7) / fps))
        for first in (0, *range(140, 200))
    ]
    return make_sequence(
        clips, [GivenSource(id="a", name="a.mp4", video=video(own))], SequenceOptions(fps=rate)
    )


@TWO_RATES
def test_mlt_shows_no_picture_from_outside_of_the_clip(own: str, rate: int) -> None:
    """MLT shows the picture that is nearest in time, as `melt` does."""
    made = many_cuts(own, rate)
    step = Fraction(own) / rate
    root = ET.fromstring(text("mlt", made))
    entries = [(int(entry.get("in", "")), int(entry.get("out", ""))) for entry in root.iter("entry")]
    for clip, (begin, last) in zip(made.clips, entries, strict=True):
        # A video has no frame before its first one.
        assert begin >= 0
        late = floor(begin * step + Fraction(1, 2)) - clip.first
        assert 0 <= late < max(Fraction(1), step)
        early = clip.until - 1 - floor(last * step + Fraction(1, 2))
        assert 0 <= early < max(Fraction(1), step)
    assert root.find("tractor").get("out") == str(sum(last - begin + 1 for begin, last in entries) - 1)  # type: ignore[union-attr]


@TWO_RATES
def test_a_reel_shows_no_picture_from_outside_of_a_clip(own: str, rate: int) -> None:
    """A reel shows the picture on screen in the middle of a frame, or one that begins up to 1.5 ms later."""
    made = many_cuts(own, rate)
    plan = make_plan(made, {"a": "a.mp4"}, ReelLook(crossfade_seconds=0))
    step = Fraction(own) / rate
    for clip, part in zip(made.clips, plan.clips, strict=True):
        begins, ends = part.first + Fraction(1, 2), part.first + part.frames - Fraction(1, 2)
        assert 0 <= floor(begins * step) - clip.first < max(Fraction(1), step)
        last = floor(ends * step + Fraction(15, 10_000) * Fraction(own))
        assert 0 <= clip.until - 1 - last < max(Fraction(1), step)


def test_a_source_at_another_rate_keeps_its_own_frames() -> None:
    made = sequence("25/1", "50/1")
    second = made.clips[1]
    assert (second.first, second.source_frames, second.frames) == (102, 128, 64)
    assert made.base.rate == 25
    assert made.frames == sum(clip.frames for clip in made.clips)


def test_two_videos_of_one_name_are_distinguished() -> None:
    sources = [GivenSource(id=name, name="clip.mp4", video=video()) for name in "abc"]
    clips = [GivenClip(source_id=name, start=0, end=1) for name in "abc"]
    made = make_sequence(clips, sources, SequenceOptions())
    assert [source.name for source in made.sources] == ["clip.mp4", "clip-2.mp4", "clip-3.mp4"]
    assert len(set(reel_names(made.sources).values())) == 3
    notes = CUT_FORMATS["fcp7"].notes(made)
    assert notes[0] == "Two videos are named clip.mp4: rename that of job b to clip-2.mp4."


def test_names_that_differ_in_case_or_in_how_accents_are_written_are_distinguished() -> None:
    given = {"a": "caf\u00e9.mp4", "b": "cafe\u0301.mp4", "c": "Caf\u00e9.mp4"}
    sources = [GivenSource(id=key, name=name, video=video()) for key, name in given.items()]
    clips = [GivenClip(source_id=key, start=0, end=1) for key in given]
    made = make_sequence(clips, sources, SequenceOptions())
    assert [source.name for source in made.sources] == [
        "caf\u00e9.mp4",
        "cafe\u0301-2.mp4",
        "Caf\u00e9-3.mp4",
    ]


def test_a_folder_makes_absolute_links() -> None:
    made = sequence(folder="/media/Shoot 1")
    read = oti.adapters.read_from_string(text("fcp7", made), "fcp_xml")
    clip = read_clips(read)[0][0]
    assert clip.media_reference.target_url == "file://localhost/media/Shoot%201/holiday.mp4"
    root = ET.fromstring(text("mlt", made))
    assert root.findtext("producer/property[@name='resource']") == "/media/Shoot 1/holiday.mp4"


@pytest.mark.parametrize(
    ("folder", "path", "url"),
    [
        ("/", "/", "file://localhost/"),
        ("/media/Shoot 1/", "/media/Shoot 1/", "file://localhost/media/Shoot%201/"),
        *(
            (url, "/media/Shoot 1/", "file://localhost/media/Shoot%201/")
            for url in (
                "file:///media/Shoot%201",
                "file://localhost/media/Shoot%201/",
                "file:/media/Shoot%201",
            )
        ),
        ("file:///", "/", "file://localhost/"),
        *(
            (drive, "D:/Shoot 1/", "file://localhost/D%3A/Shoot%201/")
            for drive in ("D:\\Shoot 1", "D:/Shoot 1\\")
        ),
        ("file:///D:/Shoot%201", "D:/Shoot 1/", "file://localhost/D%3A/Shoot%201/"),
        *(
            (share, "//nas/Shoot 1/", "file://nas/Shoot%201/")
            for share in ("\\\\nas\\Shoot 1", "file://nas/Shoot%201")
        ),
        ("/media/a\\b", "/media/a\\b/", "file://localhost/media/a%5Cb/"),
    ],
)
def test_a_folder_may_be_a_path_of_any_system_or_a_url(folder: str, path: str, url: str) -> None:
    """Programs open the resource of MLT as a path: they do not decode it."""
    made = sequence(folder=folder)
    assert (made.sources[0].path, made.sources[0].url) == (f"{path}holiday.mp4", f"{url}holiday.mp4")
    root = ET.fromstring(text("mlt", made))
    assert root.findtext("producer/property[@name='resource']") == f"{path}holiday.mp4"
    assert f"SOURCE FILE: {path}holiday.mp4" in text("edl", made)


@pytest.mark.parametrize("folder", ["", "/footage/caf\udce9"])
def test_every_format_holds_every_file_name(folder: str) -> None:
    names = {"a": "caf\udce9\x01.mp4", "b": "caf\ufffd.mp4"}
    sources = [GivenSource(id=one, name=name, video=video()) for one, name in names.items()]
    clips = [GivenClip(source_id=one, start=0.0, end=2.0, label="positive", confidence=0.9) for one in names]
    made = make_sequence(clips, sources, SequenceOptions(folder=folder))
    assert [source.name for source in made.sources] == ["caf\ufffd.mp4", "caf\ufffd-2.mp4"]
    urls = [PurePosixPath(source.url) for source in made.sources]
    assert [url.name for url in urls] == ["caf%E9%01.mp4", "caf%EF%BF%BD-2.mp4"]
    assert all(url.parent.name == ("caf%E9" if folder else "") for url in urls)
    for known in CUT_FORMATS.values():
        assert known.write(made).data
    for name in ("fcp7", "fcpxml", "mlt"):
        ET.fromstring(text(name, made))


@pytest.mark.parametrize("name", ["VIDEO\u200e-1.mp4", "a\tb.mp4", "a\nb\u200e: c.mp4"])
def test_programs_find_files_whose_names_hold_what_prints_nothing(name: str) -> None:
    source = GivenSource(id="a", name=name, video=video())
    clip = GivenClip(source_id="a", start=1, end=2)
    for folder in ("", "/media/Shoot\u200e 1"):
        made = make_sequence([clip], [source], SequenceOptions(folder=folder))
        resource = ET.fromstring(text("mlt", made)).findtext("producer/property[@name='resource']")
        before = f"{folder}/" if folder else "./" if ":" in name else ""
        assert resource == f"{before}{name}"
        assert cast("dict[str, Any]", json5.loads(text("llc", made)))["mediaFileName"] == name


def of_three_sounds(folder: str = "") -> Sequence:
    """A stereo, a mono and a silent video, the mono one at another rate."""
    mono = AudioTrack(numbers=(1,), count=1, chosen="only", codec="aac", layout="mono")
    videos = {
        "stereo": video(),
        "mono": replace(video("50/1", "01:00:00:00"), audio_track=mono),
        "silent": video(sound=False),
    }
    sources = [GivenSource(id=name, name=f"{name}.mp4", video=one) for name, one in videos.items()]
    clips = [
        GivenClip(source_id=name, start=1.0, end=2.0, label="positive", confidence=0.92)
        for name in (*videos, "stereo")
    ]
    return make_sequence(clips, sources, SequenceOptions(fps=25, folder=folder))


def test_fcpxml_describes_each_file_and_marks_each_clip() -> None:
    root = ET.fromstring(text("fcpxml", of_three_sounds()))
    formats = {one.get("id"): one.attrib for one in root.iter("format")}
    assets = [
        (
            one.find("media-rep").get("src"),  # type: ignore[union-attr]
            tuple(one.get(name) for name in ("hasAudio", "audioSources", "audioChannels")),
            _seconds(formats[one.get("format")]["frameDuration"]),
        )
        for one in root.iter("asset")
    ]
    assert assets == [
        ("./stereo.mp4", ("1", "1", "2"), Fraction(1, 25)),
        ("./mono.mp4", ("1", "1", "1"), Fraction(1, 50)),
        ("./silent.mp4", ("0", None, None), Fraction(1, 25)),
    ]
    frame = {"a1": Fraction(1, 25), "a2": Fraction(1, 50), "a3": Fraction(1, 25)}
    for clip in root.iter("asset-clip"):
        (marker,) = clip.findall("marker")
        assert (marker.get("start"), marker.get("value")) == (clip.get("start"), "Positive 92%")
        assert _seconds(marker.get("duration")) == frame[clip.get("ref", "")]
    far = ET.fromstring(text("fcpxml", of_three_sounds("/media")))
    assert next(one.get("src") for one in far.iter("media-rep")) == "file:///media/stereo.mp4"


def test_fcp7_describes_each_file_once_and_its_channels() -> None:
    made = of_three_sounds()
    root = ET.fromstring(text("fcp7", made))
    of_sequence = ("name", "duration", "media/video/format/samplecharacteristics/width")
    assert [root.findtext(f"sequence/{one}") for one in of_sequence] == [made.title, "100", "640"]
    whole = [file for file in root.iter("file") if len(file)]
    found = [
        tuple(
            file.findtext(name) for name in ("name", "duration", "rate/timebase", "media/audio/channelcount")
        )
        for file in whole
    ]
    assert found == [
        ("stereo.mp4", "1500", "25", "2"),
        ("mono.mp4", "3000", "50", "1"),
        ("silent.mp4", "1500", "25", None),
    ]
    assert [
        item.findtext("rate/timebase") for item in root.findall("sequence/media/video/track/clipitem")
    ] == [*("25", "50", "25", "25")]
    audio = root.find("sequence/media/audio")
    assert audio is not None and audio.findtext("numOutputChannels") == "2"
    played = [
        [(one.findtext("mediatype"), one.findtext("trackindex")) for one in track.iter("sourcetrack")]
        for track in audio.findall("track")
    ]
    # A mono source plays its only channel on both tracks.
    assert played == [[("audio", "1")] * 3, [("audio", "2"), ("audio", "1"), ("audio", "2")]]
    quiet = GivenSource(id="a", name="a.mp4", video=video(sound=False))
    silent = make_sequence([GivenClip(source_id="a", start=0, end=1)], [quiet], SequenceOptions())
    assert ET.fromstring(text("fcp7", silent)).find("sequence/media/audio") is None


def test_otio_describes_each_file_and_the_range_of_each_clip() -> None:
    made = of_three_sounds("/media")
    read = oti.adapters.read_from_string(text("otio", made), "otio_json")
    assert read.global_start_time.value == made.first
    (pictures,) = read.video_tracks()
    found = [
        (clip.name, clip.media_reference.target_url, clip.media_reference.available_range.duration.value)
        for clip in pictures
    ]
    assert found == [
        ("Positive 92%", f"file:///media/{name}.mp4", frames)
        for name, frames in (("stereo", 1500), ("mono", 3000), ("silent", 1500), ("stereo", 1500))
    ]
    assert {tuple(clip.metadata["sentiloc"].items()) for clip in pictures} == {
        (("confidence", 0.92), ("label", "positive"))
    }
    quiet = GivenSource(id="a", name="a.mp4", video=video(sound=False))
    silent = make_sequence([GivenClip(source_id="a", start=0, end=1)], [quiet], SequenceOptions())
    (track,) = oti.adapters.read_from_string(text("otio", silent), "otio_json").tracks
    assert (track.kind, dict(track[0].metadata["sentiloc"])) == ("Video", {})


def test_mlt_has_the_sequence_s_profile_and_whole_files() -> None:
    root = ET.fromstring(text("mlt", of_three_sounds()))
    profile = root.find("profile")
    assert profile is not None
    names = (
        "width",
        "height",
        "display_aspect_num",
        "display_aspect_den",
        "frame_rate_num",
        "frame_rate_den",
    )
    assert [profile.get(name) for name in names] == ["640", "360", "16", "9", "25", "1"]
    for producer in root.iter("producer"):
        assert (producer.get("in"), producer.get("out")) == ("0", "1499")
        assert producer.findtext("property[@name='length']") == "1500"
    tractor = root.find("tractor")
    assert tractor is not None and tractor.findtext("property[@name='shotcut']") == "1"
    assert [track.get("producer") for track in tractor.iter("track")] == ["clips"]


@pytest.mark.parametrize(
    ("size", "even"), [((427, 180), (428, 180)), ((655, 481), (656, 480)), ((1, 1), (2, 2))]
)
def test_mlt_profiles_are_even(size: tuple[int, int], even: tuple[int, int]) -> None:
    source = GivenSource(id="a", name="dv.avi", video=replace(video(), width=size[0], height=size[1]))
    clip = GivenClip(source_id="a", start=1, end=2)
    profile = ET.fromstring(text("mlt", make_sequence([clip], [source], SequenceOptions()))).find("profile")
    assert profile is not None
    assert (int(profile.get("width", "")), int(profile.get("height", ""))) == even
    shown = int(profile.get("display_aspect_num", "")) / int(profile.get("display_aspect_den", ""))
    assert shown == even[0] / even[1]


def test_sound_has_a_track_for_each_channel_and_gaps_for_silent_videos() -> None:
    sources = [
        GivenSource(id="a", name="a.mp4", video=video(sound=True)),
        GivenSource(id="b", name="b.mp4", video=video(sound=False)),
    ]
    clips = [GivenClip(source_id=name, start=1, end=2) for name in "aba"]
    made = make_sequence(clips, sources, SequenceOptions())
    for name, adapter, tracks in (("fcp7", "fcp_xml", 2), ("otio", "otio_json", 1)):
        read = oti.adapters.read_from_string(text(name, made), adapter)
        sounds = [track for track in read.tracks if track.kind == oti.schema.TrackKind.Audio]
        assert len(sounds) == tracks
        for track in sounds:
            placed = [
                track.range_of_child(clip).start_time.value
                for clip in track
                if isinstance(clip, oti.schema.Clip)
            ]
            assert placed == [0, 50]


@pytest.mark.parametrize(("start", "end"), [(4.0, 4.01), (4.03, 4.035), (59.99, 60.0), (0.0, 0.001)])
def test_a_clip_shorter_than_a_frame_shows_one(start: float, end: float) -> None:
    sources = [GivenSource(id="a", name="holiday.mp4", video=video())]
    clip = GivenClip(source_id="a", start=start, end=end)
    (made,) = make_sequence([clip], sources, SequenceOptions()).clips
    assert (made.frames, made.source_frames, made.until - made.first) == (1, 1, 1)
    assert 0 <= made.first < 1500
    assert abs(made.first / 25 - start) <= 0.04


def test_the_last_picture_of_a_faster_video_is_not_exceeded() -> None:
    source = GivenSource(id="a", name="a.mp4", video=video("50/1"))
    clip = GivenClip(source_id="a", start=59.98, end=60.0)
    (made,) = make_sequence([clip], [source], SequenceOptions(fps=24.0)).clips
    assert (made.first, made.source_frames, made.frames) == (2999, 1, 1)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "at least one clip"),
        ([GivenClip(source_id="x", start=0, end=1)], "no source x"),
        ([GivenClip(source_id="a", start=2, end=2)], "not part of holiday.mp4"),
        ([GivenClip(source_id="a", start=70, end=71)], "not part of holiday.mp4"),
        ([GivenClip(source_id="a", start=-0.5, end=1)], "not part of holiday.mp4"),
    ],
)
def test_unsupported_cuts_are_refused(clips: list[GivenClip], message: str) -> None:
    sources = [GivenSource(id="a", name="holiday.mp4", video=video())]
    with pytest.raises(TimelineError, match=message):
        make_sequence(clips, sources, SequenceOptions())


def test_an_edl_has_no_more_events_than_it_can_number() -> None:
    sources = [GivenSource(id="a", name="holiday.mp4", video=video())]
    clips = [GivenClip(source_id="a", start=0, end=1)] * 1000
    with pytest.raises(TimelineError, match="999"):
        text("edl", make_sequence(clips, sources, SequenceOptions()))
    full = text("edl", make_sequence(clips[1:], sources, SequenceOptions()))
    numbers = [line[:3] for line in full.splitlines() if line[:3].isdecimal()]
    assert numbers == [f"{number:03}" for number in range(1, 1000)]


def test_a_reel_is_named_after_its_file() -> None:
    names = ["holiday.mp4", "Tag & Nacht <2>.mov", "日.mp4", "clip.mp4", "clip.mov", "ax.mp4"]
    sources = [GivenSource(id=name, name=name, video=video()) for name in names]
    clips = [GivenClip(source_id=name, start=0, end=1) for name in names]
    reels = reel_names(make_sequence(clips, sources, SequenceOptions()).sources)
    assert list(reels.values()) == ["HOLIDAY", "TAGNACHT", "REEL", "CLIP", "CLIP5", "AX6"]


def test_every_reel_of_an_edl_is_one_source_of_pictures() -> None:
    names = [
        "clip3.mp4",
        "clip.mp4",
        "clip.mov",
        "BL.mp4",
        "ax.mov",
        *(f"a long name {n}.mp4" for n in range(12)),
    ]
    sources = [GivenSource(id=name, name=name, video=video()) for name in names]
    clips = [GivenClip(source_id=name, start=0, end=1) for name in names]
    made = make_sequence(clips, sources, SequenceOptions())
    reels = set(reel_names(made.sources).values())
    assert len(reels) == len(names)
    assert all(len(reel) <= 8 for reel in reels)
    read = oti.adapters.read_from_string(text("edl", made), "cmx_3600", rate=25)
    assert not any(
        isinstance(clip.media_reference, oti.schema.GeneratorReference) for clip in read.find_clips()
    )


@pytest.mark.parametrize(
    ("layout", "numbers", "tracks"), [("stereo", (1,), 2), ("mono", (1,), 1), ("mono", (1, 2), 2)]
)
def test_an_edl_reader_finds_every_sound_channel(layout: str, numbers: tuple[int, ...], tracks: int) -> None:
    track = AudioTrack(numbers=numbers, count=len(numbers), chosen="only", codec="aac", layout=layout)
    source = GivenSource(id="a", name="a.mp4", video=replace(video(), audio_track=track))
    made = make_sequence([GivenClip(source_id="a", start=0, end=1)], [source], SequenceOptions())
    read = oti.adapters.read_from_string(text("edl", made), "cmx_3600", rate=25)
    assert len(read.audio_tracks()) == tracks


def test_an_edl_notes_a_source_with_nearly_the_same_rate() -> None:
    source = GivenSource(id="a", name="a.mp4", video=video("30000/1001"))
    made = make_sequence([GivenClip(source_id="a", start=0, end=50)], [source], SequenceOptions(fps=30))
    assert "another frame rate" in CUT_FORMATS["edl"].notes(made)[0]
    assert CUT_FORMATS["edl"].notes(sequence("24/1", "24/1")) == []


def test_losslesscut_projects_of_one_stem_are_two_files() -> None:
    names = ["a.mp4", "a.mov", "A.mp4", "a-2.mp4"]
    sources = [GivenSource(id=name, name=name, video=video()) for name in names]
    clips = [GivenClip(source_id=name, start=0, end=1) for name in names]
    made = make_sequence(clips, sources, SequenceOptions())
    with zipfile.ZipFile(io.BytesIO(CUT_FORMATS["llc"].write(made).data)) as file:
        found = file.namelist()
        videos = [json5.loads(file.read(name).decode())["mediaFileName"] for name in found]
    assert len({name.casefold() for name in found}) == len(names)
    assert videos == [source.name for source in made.sources]


def test_losslesscut_cuts_at_the_source_s_own_frames() -> None:
    source = GivenSource(id="a", name="a.mp4", video=video("30/1"))
    clip = GivenClip(source_id="a", start=1, end=2.1)
    made = make_sequence([clip], [source], SequenceOptions(fps=25))
    (found,) = cast("dict[str, Any]", json5.loads(text("llc", made)))["cutSegments"]
    assert (found["start"], found["end"]) == (1.0, 2.1)
