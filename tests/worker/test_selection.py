"""Unused pictures are not decoded, and the used ones are the same as in a full decode."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from sentiloc.worker.decoder.decode import (
    DecodeLimits,
    DecodeRequest,
    EndOfMedia,
    SnippetFrames,
    decode,
    grab_frames,
)
from sentiloc.worker.decoder.disposable import disposable_test
from sentiloc.worker.decoder.grab import preroll
from sentiloc.worker.decoder.selection import Moment, Samples
from sentiloc.worker.decoder.source.opening import open_media
from sentiloc.worker.decoder.source.packets import video_frames
from tests.support.media import make_clip, read_time
from tests.worker.selecting import choices

LIMITS = DecodeLimits(threads=1)
EVERY, FEW = DecodeRequest(face_samples=tuple(range(16))), DecodeRequest(face_samples=(4, 11))
X264, X265 = ("libx264", ".mp4"), ("libx265", ".mp4")
STREAMS = {
    "b pictures": (*X264, (("bf", "3"), ("b_strategy", "0"), ("x264-params", "b-pyramid=none"))),
    "pyramid": (*X264, (("bf", "3"), ("b_strategy", "0"), ("x264-params", "b-pyramid=normal:ref=4"))),
    "long runs": (*X264, (("bf", "16"), ("b_strategy", "0"), ("x264-params", "b-pyramid=none"))),
    "start codes": ("libx264", ".ts", (("bf", "3"), ("b_strategy", "0"))),
    "matroska": ("libx264", ".mkv", (("bf", "3"), ("b_strategy", "0"))),
    "open groups": (*X264, (("bf", "3"), ("g", "9"), ("x264-params", "open-gop=1"))),
    "hevc": (*X265, (("preset", "ultrafast"), ("x265-params", "log-level=none:bframes=4"))),
    "hevc, sub-layers": (*X265, (("x265-params", "log-level=none:bframes=4:temporal-layers=1"),)),
    "hevc, start codes": ("libx265", ".ts", (("x265-params", "log-level=none:bframes=4"),)),
    "intra only": ("mjpeg", ".mov", ()),
}


def _pictures(path: Path, request: DecodeRequest) -> tuple[list[bytes], EndOfMedia]:
    """The bytes of the used pictures in `FEW`, and the end."""
    events = list(decode(path, request, LIMITS))
    places = [request.face_samples.index(position) for position in FEW.face_samples]
    shown = [event.faces[place] for event in events if isinstance(event, SnippetFrames) for place in places]
    assert isinstance(events[-1], EndOfMedia)
    return [image.tobytes() for image in shown], events[-1]


def _left_out(path: Path, looks: Samples, *, keeps_cuts: bool = False) -> tuple[int, int]:
    """How many packets of pictures a selection leaves out, and how many there are."""
    chosen = [is_needed for _, is_needed in choices(path, looks, keeps_cuts=keeps_cuts)]
    return chosen.count(False), len(chosen)


def _looks(positions: tuple[int, ...]) -> Samples:
    return Samples(rate=25.0, length=16, positions=positions, first=0, end=None)


def _make(path: Path, name: str, **changes: Any) -> Path:
    codec, suffix, options = STREAMS[name]
    clip = path.with_suffix(suffix)
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    make_clip(clip, codec=codec, options=options, pixel_format=pixels, **{"seconds": 6.0, **changes})
    return clip


@pytest.mark.parametrize("name", STREAMS)
def test_used_pictures_are_identical(tmp_path: Path, name: str) -> None:
    clip = _make(tmp_path / "clip", name)
    left_out, count = _left_out(clip, _looks((4, 11)))
    assert left_out > count * 0.2
    (few, end), (every, whole) = _pictures(clip, FEW), _pictures(clip, EVERY)
    assert few == every
    assert end == whole


@pytest.mark.parametrize("name", ["b pictures", "hevc"])
def test_pictures_between_grid_points_are_skipped_even_if_every_slot_is_a_sample(
    tmp_path: Path, name: str
) -> None:
    assert _left_out(_make(tmp_path / "slow", name), _looks(tuple(range(16))))[0] == 0
    clip = _make(tmp_path / "fast", name, fps=50.0, seconds=4.0)
    left_out, count = _left_out(clip, _looks(tuple(range(16))))
    assert left_out > count * 0.2
    shown = [
        read_time(image)
        for event in decode(clip, EVERY, LIMITS)
        if isinstance(event, SnippetFrames)
        for image in event.faces
    ]
    assert shown[:100] == pytest.approx([slot / 25 for slot in range(100)], abs=0.0015)


def test_the_last_pictures_are_decoded(tmp_path: Path) -> None:
    clip = _make(tmp_path / "clip", "b pictures", seconds=3.0)
    found = [(packet.pts or 0, is_needed) for packet, is_needed in choices(clip, _looks(()))]
    assert max(found)[1]
    assert not all(is_needed for _, is_needed in found)


def test_after_damage_every_picture_is_decoded(tmp_path: Path) -> None:
    """A damaged part is reported as exactly as in a full decode."""
    clip = _make(tmp_path / "clip", "b pictures", seconds=12.0)
    _break_packets(clip, 4.0, 7.0)
    (_, few), (_, every) = _pictures(clip, FEW), _pictures(clip, EVERY)
    assert few.warnings == every.warnings
    assert few.frames == every.frames


def _break_packets(path: Path, start: float, end: float) -> None:
    """Overwrite the pictures between two moments with zeros."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        places = [
            (packet.pos or 0, packet.size)
            for packet in container.demux(video)
            if packet.pts is not None and start <= float(packet.pts * Fraction(video.time_base or 0)) < end
        ]
    data = bytearray(path.read_bytes())
    for position, size in places:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 0.16, False),
        (0.15, 0.17, True),
        (0.16, 0.20, True),
        (0.17, 0.43, False),
        (0.8, 0.81, True),
        (1.0, 9.0, True),
    ],
)
def test_samples_are_at_the_requested_times(start: float, end: float, expected: bool) -> None:
    assert _looks((4, 11)).any_between(start, end) is expected


def test_interlaced_pictures_are_all_decoded(tmp_path: Path) -> None:
    options = (("bf", "3"), ("b_strategy", "0"), ("flags", "+ildct+ilme"), ("x264-params", "tff=1"))
    make_clip(tmp_path / "clip.mp4", seconds=4.0, options=options)
    (few, end), (every, whole) = (_pictures(tmp_path / "clip.mp4", request) for request in (FEW, EVERY))
    assert few == every
    assert end == whole


def test_pictures_before_a_new_shot_are_decoded_if_cuts_are_requested(tmp_path: Path) -> None:
    options = (
        ("bf", "3"),
        ("b_strategy", "0"),
        ("g", "25"),
        ("sc_threshold", "0"),
        ("x264-params", "b-pyramid=none"),
    )
    make_clip(tmp_path / "clip.mp4", seconds=4.0, options=options)
    without, count = _left_out(tmp_path / "clip.mp4", _looks(()))
    kept, _ = _left_out(tmp_path / "clip.mp4", _looks(()), keeps_cuts=True)
    assert without > kept
    assert kept > count * 0.2


@pytest.mark.parametrize("name", STREAMS)
def test_single_pictures_are_the_ones_on_screen(tmp_path: Path, name: str) -> None:
    clip = _make(tmp_path / "clip", name, seconds=2.4)
    times = [0.44, 0.9, 1.36, 1.37, 2.0, 2.36]
    shown = [read_time(image) for image in grab_frames(clip, times, 128, LIMITS)]
    assert shown == pytest.approx([int(seconds * 25 + 0.04) / 25 for seconds in times], abs=0.0015)


@pytest.mark.parametrize("name", ["b pictures", "hevc"])
def test_on_the_way_to_a_single_picture_others_are_left_out(tmp_path: Path, name: str) -> None:
    clip = _make(tmp_path / "clip", name)
    with clip.open("rb", buffering=0) as file:
        media = open_media(file, "mov", LIMITS, None)
        is_disposable = disposable_test(media.container, media.video)
        assert is_disposable is not None
        whole = len(list(video_frames(media)))
        media.seek(0.0)
        assert len(list(preroll(media, is_disposable, 5.9))) < 0.7 * whole


def test_a_moment_is_at_one_picture() -> None:
    assert Moment(1.0).any_between(0.96, 1.04)
    assert Moment(1.0).any_between(1.001, 1.04), "the stamp may be rounded"
    assert not Moment(1.0).any_between(1.04, 1.08)
    assert not Moment(1.0).any_between(0.92, 0.96)
