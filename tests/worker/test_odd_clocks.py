"""Files whose stamps, offsets or declared lengths are odd: the result is right, and no warning is false."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import pytest

from sentiloc.model.errors import ErrorCode
from sentiloc.worker.decoder.decode import DecodeRequest, EndOfMedia, decode
from tests.support.media import make_clip
from tests.worker.decoding import LIMITS, failure
from tests.worker.test_decode import Decoded, decode_all


def codes(decoded: Decoded) -> set[str]:
    return {str(warning.code) for warning in decoded.end.warnings}


def joined(folder: Path, starts: list[float]) -> Path:
    """Clips of three seconds one after the other, each of which begins at its own stamp."""
    path = folder / "joined.ts"
    parts = []
    for index, start in enumerate(starts):
        part = folder / f"{index}.ts"
        make_clip(part, seconds=3, start=start, options=(("preset", "ultrafast"), ("g", "12"), ("bf", "0")))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize(
    "starts",
    [[10, 10, 10], [10, 3600, 90_000], [90_000, 3600, 50], [95_441, 3600, 50], [10, 80_000]],
    ids=["again twice", "forward twice", "back twice", "wrap and back", "a day"],
)
def test_a_clock_may_break_several_times(tmp_path: Path, starts: list[float]) -> None:
    decoded = decode_all(joined(tmp_path, starts))
    length = 3 * len(starts)
    assert decoded.end.frames == 25 * length
    assert decoded.end.duration == pytest.approx(length, abs=0.1)
    assert (decoded.end.fps, decoded.end.variable_rate) == (25.0, False)
    assert codes(decoded) == {"mended_timestamps"}


def test_a_part_of_a_file_whose_clock_jumps_does_not_last_for_a_day(tmp_path: Path) -> None:
    request = DecodeRequest(frame_rate=25, face_samples=(0,), first_snippet=1, end_snippet=3)
    *_, end = decode(joined(tmp_path, [10, 90_000]), request, LIMITS)
    assert isinstance(end, EndOfMedia)
    assert end.duration < 10


@pytest.mark.parametrize("bad", [0.9, 60.0, 600.0])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts", ".flv"])
def test_bad_stamps_give_one_warning_of_a_repair(tmp_path: Path, suffix: str, bad: float) -> None:
    """A bad stamp is not a longer video that breaks off, nor pictures that could not be decoded."""
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"bad{suffix}"
    make_clip(whole, seconds=20)
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        video = source.streams.video[0]
        copy = container.add_stream_from_template(video)
        for number, packet in enumerate(packet for packet in source.demux(video) if packet.dts is not None):
            if number in (100, 230, 231, 400) and packet.pts is not None:
                packet.pts += round(bad / packet.time_base)
            packet.stream = copy
            container.mux(packet)
    decoded = decode_all(path)
    assert decoded.end.duration == pytest.approx(20.0, abs=0.1)
    assert decoded.end.fps == 25.0
    assert codes(decoded) - {"variable_rate"} == {"mended_timestamps"}


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4", ".ts", ".flv"])
def test_a_late_start_is_no_missing_end(tmp_path: Path, suffix: str) -> None:
    """Matroska states the last stamp as the length: a recording that begins at 7 s does not break off 7 s early."""
    path = tmp_path / f"late{suffix}"
    codec = "libvpx" if suffix == ".webm" else "libx264"
    made = make_clip(path, seconds=4, start=7.3, codec=codec)
    decoded = decode_all(path)
    assert decoded.end.duration == pytest.approx(made.duration, abs=0.06)
    assert codes(decoded) == set()


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_start_behind_the_longest_video_is_no_long_video(tmp_path: Path, suffix: str) -> None:
    """A recorder's clock may have run for days."""
    path = tmp_path / f"late{suffix}"
    made = make_clip(path, seconds=4, start=50_000.0)
    decoded = decode_all(path)
    assert decoded.info.duration < 10
    assert decoded.end.duration == pytest.approx(made.duration, abs=0.06)
    assert codes(decoded) == set()


def with_a_long_last_picture(path: Path, seconds: float, options: dict[str, str] | None = None) -> Path:
    """A clip of two seconds whose last packet states a duration of `seconds`."""
    whole = path.with_name("whole.mp4")
    make_clip(whole, seconds=2, options=(("preset", "ultrafast"), ("bf", "0")))
    with av.open(str(whole)) as source, av.open(str(path), "w", options=options or {}) as container:
        video = source.streams.video[0]
        copy = container.add_stream_from_template(video)
        packets = [packet for packet in source.demux(video) if packet.size]
        assert packets[-1].time_base
        packets[-1].duration = int(seconds / packets[-1].time_base)
        for packet in packets:
            packet.stream = copy
            container.mux(packet)
    return path


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "video_track_timescale": "1000"}


@pytest.mark.parametrize(("name", "options"), [("a.mkv", {}), ("b.mp4", FRAGMENTS)])
def test_a_last_picture_of_three_days_is_refused(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = with_a_long_last_picture(tmp_path / name, 3 * 86_400, options)
    assert failure(path) == ErrorCode.LIMIT_EXCEEDED


def test_a_last_picture_lasts_as_long_as_the_container_says(tmp_path: Path) -> None:
    decoded = decode_all(with_a_long_last_picture(tmp_path / "still.mp4", 30))
    assert decoded.end.duration == pytest.approx(31.96, abs=0.05)
    assert codes(decoded) == set()


def test_a_last_picture_that_is_longer_than_the_container_ends_with_it(tmp_path: Path) -> None:
    """A Matroska file whose header states its real length, and whose last block states an hour."""
    path = with_a_long_last_picture(tmp_path / "still.mkv", 3600)
    stated = struct.pack(">d", 3_601_960.0)
    assert path.read_bytes().count(stated) == 1
    path.write_bytes(path.read_bytes().replace(stated, struct.pack(">d", 2000.0)))
    assert decode_all(path).end.duration == pytest.approx(2.0, abs=0.05)


def test_an_animation_whose_last_picture_overflows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "still.apng"
    made = make_clip(path, seconds=0.4, fps=10.0, codec="apng", pixel_format="rgb24", options=())
    data = bytearray(path.read_bytes())
    # The last frame control chunk: 24 bytes up to the delay, which is a fraction of a second.
    start = data.rindex(b"fcTL")
    data[start + 24 : start + 28] = struct.pack(">HH", 65_000, 1)
    data[start + 30 : start + 34] = struct.pack(">I", zlib.crc32(data[start : start + 30]))
    path.write_bytes(data)
    assert decode_all(path).end.duration == pytest.approx(made.seconds)
