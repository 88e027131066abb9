"""Files may state odd values. None of them makes the parent take an honest decoder for one that lies."""

from __future__ import annotations

import mmap
import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode
from sentiloc.model.segments import VideoInfo
from sentiloc.worker.decoder import channel
from sentiloc.worker.decoder.decode import AudioChunk, DecodeLimits, DecodeRequest, EndOfMedia, decode
from sentiloc.worker.decoder.source.timecode import find_timecode
from sentiloc.worker.decoder.task import Output
from sentiloc.worker.sound.soundtrack import Samples
from tests.support.media import make_clip
from tests.worker.decoding import LIMITS, failure

REQUEST = DecodeRequest(face_samples=(8,), audio_rate=16_000, find_shots=True)
SIZE = (64, 48)


def read(path: Path) -> tuple[VideoInfo, list[Samples], EndOfMedia]:
    """What a decoder says about a file: first, its sound, and at the end."""
    info, *events = decode(path, REQUEST, LIMITS)
    end = events[-1]
    assert isinstance(info, VideoInfo)
    assert isinstance(end, EndOfMedia)
    return info, [event.samples for event in events if isinstance(event, AudioChunk)], end


@pytest.mark.parametrize(
    ("tag", "read_as"),
    [
        ("01:00:00:0", "01:00:00:00"),
        ("1:2:3:4", "01:02:03:04"),
        ("01:00:00:119", "01:00:00:119"),
        ("01:00:00;02", "01:00:00;02"),
        ("01:00:00.02", "01:00:00;02"),
        (" 01:00:00:00 ", "01:00:00:00"),
        ("25:00:00:00", "01:00:00:00"),
        ("01:00:00.250", None),
        ("-01:00:00:00", None),
        ("01:60:00:00", None),
        ("at noon", None),
        ("", None),
    ],
)
def test_a_timecode_is_read_in_every_notation(tag: str, read_as: str | None) -> None:
    assert find_timecode([{"title": "10:00:00:00"}, {"TimeCode": tag}]) == read_as


@pytest.mark.parametrize(
    ("name", "fps", "tag", "read_as"),
    [
        ("ten.mov", 10, "01:00:00:05", "01:00:00:05"),
        ("five.mp4", 5, "01:00:00:04", "01:00:00:04"),
        ("text.avi", 25, "second take", None),
        ("upper.mkv", 25, "01:00:00:10", "01:00:00:10"),
    ],
)
def test_a_timecode_of_any_container_is_reported(
    tmp_path: Path, name: str, fps: int, tag: str, read_as: str | None
) -> None:
    make_clip(tmp_path / name, seconds=0.6, fps=fps, size=SIZE, metadata=(("timecode", tag),))
    assert read(tmp_path / name)[0].start_timecode == read_as


def write(path: Path, greys: list[int], ticks: list[int], base: Fraction) -> None:
    """A video of plain pictures, half of each in another grey, at the given time stamps."""
    with av.open(str(path), "w", options={"video_track_timescale": str(base.denominator)}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size = 1
        stream.time_base = base
        packets = []
        for index, grey in enumerate(greys):
            image = np.full((*SIZE[::-1], 3), grey, np.uint8)
            image[:, : SIZE[0] // 2] //= 2
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts = index
            packets += stream.encode(frame)
        for packet, tick in zip([*packets, *stream.encode(None)], ticks, strict=True):
            packet.time_base, packet.pts, packet.dts, packet.duration = base, tick, tick, 1
            packet.stream = stream
            container.mux(packet)


def test_two_cuts_may_have_one_time_stamp(tmp_path: Path) -> None:
    greys = [30] * 20 + [110] + [220] * 19
    write(
        tmp_path / "doubled.mkv",
        greys,
        [40 * min(i, 20) + 40 * max(0, i - 21) for i in range(40)],
        Fraction(1, 1000),
    )
    assert read(tmp_path / "doubled.mkv")[2].shots == (0.8,)


def test_wide_pixels_count_for_the_limit_of_a_side(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    make_clip(path, seconds=0.2, size=(64, 64), pixel_aspect=Fraction(2, 1))
    assert failure(path, DecodeLimits(threads=1, max_side_pixels=100)) == ErrorCode.LIMIT_EXCEEDED
    assert read(path)[0].width == 128


@pytest.mark.parametrize("pictures", [1, 3])
def test_time_stamps_of_nanoseconds_are_no_rate(tmp_path: Path, pictures: int) -> None:
    write(tmp_path / "dense.mov", [30] * pictures, list(range(pictures)), Fraction(1, 10**9))
    info, _, end = read(tmp_path / "dense.mov")
    assert (info.fps, end.fps, end.frames) == (25.0, 25.0, pictures)


def test_a_negative_rate_is_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.flv"
    make_clip(path, seconds=0.4, size=SIZE, options=(("preset", "ultrafast"), ("bf", "0")))
    data = bytearray(path.read_bytes())
    at = data.index(b"framerate") + len(b"framerate") + 1
    data[at : at + 8] = struct.pack(">d", -5.0)
    path.write_bytes(data)
    assert read(path)[0].fps == 25.0


def write_sound(path: Path, samples: Any, sample_format: str, codec: str, rate: int) -> None:
    """A short video whose sound, interleaved stereo or mono (1, n), is one packet."""
    layout = "mono" if codec == "pcm_u8" else "stereo"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = *SIZE, "yuv420p"
        sound: Any = container.add_stream(codec, rate=rate)
        sound.codec_context.layout, sound.codec_context.format = layout, sample_format
        frame = av.VideoFrame.from_ndarray(np.zeros((*SIZE[::-1], 3), np.uint8), "rgb24")
        frame.pts = 0
        container.mux([*picture.encode(frame), *picture.encode(None)])
        heard = av.AudioFrame.from_ndarray(samples, sample_format, layout)
        heard.sample_rate, heard.pts = rate, 0
        container.mux([*sound.encode(heard), *sound.encode(None)])


def test_a_packet_of_a_minute_of_sound_is_read(tmp_path: Path) -> None:
    tone = (128 + 100 * np.sin(np.arange(60 * 8000) / 5)).astype(np.uint8)
    write_sound(tmp_path / "whole.mkv", tone[None], "u8", "pcm_u8", 8000)
    _, sound, end = read(tmp_path / "whole.mkv")
    assert sum(map(len, sound)) == end.samples == 60 * 16_000
    assert np.abs(sound[-1]).max() > 0.5


def test_sound_waits_up_to_a_minute_for_the_first_picture() -> None:
    sent: list[bytes] = []
    sender: Any = SimpleNamespace(send=lambda kind, *_: sent.append(kind))
    output, half = Output(sender, mmap.mmap(-1, 1), REQUEST), np.zeros(30 * 16_000, np.float32)
    output.audio(0, half)
    output.audio(len(half), half)
    assert sent == []
    output.audio(2 * len(half), half)
    assert set(sent) == {channel.AUDIO}


def test_sound_beyond_all_bounds_is_read(tmp_path: Path) -> None:
    loud = np.full((1, 2 * 16_000), 3e38, np.float32)
    write_sound(tmp_path / "loud.mkv", loud, "flt", "pcm_f32le", 16_000)
    _, sound, _ = read(tmp_path / "loud.mkv")
    assert np.concatenate(sound).max() > 1e6
