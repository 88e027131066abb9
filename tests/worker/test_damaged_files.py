"""Damage in a file costs what it covers, and the result says so; what cannot be opened says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.decode import DecodeRequest
from sentiloc.worker.decoder.source.opening import open_media
from sentiloc.worker.decoder.source.packets import PacketSource
from tests.support.media import make_clip
from tests.worker.decoding import LIMITS
from tests.worker.test_decode import Decoded, beep_edges, decode_all

# Short groups of pictures, so that bytes are spread evenly over the seconds.
EVEN = (("preset", "ultrafast"), ("g", "10"), ("bf", "0"))


def codes(decoded: Decoded) -> set[str]:
    return {str(warning.code) for warning in decoded.end.warnings}


@pytest.mark.parametrize("filler", [b"\0", b"\xff"])
@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_pictures_behind_a_hole_are_not_lost(tmp_path: Path, suffix: str, filler: bytes) -> None:
    path = tmp_path / f"clip{suffix}"

    make_clip(path, seconds=20, options=EVEN, audio="aac", beeps=((16.0, 17.0),))
    data = path.read_bytes()
    # Demuxers skip some ten thousand bytes by themselves.
    hole = filler * 300_000
    path.write_bytes(data[: int(len(data) * 0.4)] + hole + data[int(len(data) * 0.6) :])
    decoded = decode_all(path)
    assert decoded.end.duration == pytest.approx(20.0, abs=0.3)
    assert max(decoded.times) > 18
    assert beep_edges(decoded.sound)[-1] == pytest.approx(17.0, abs=0.1)
    lost = [warning for warning in decoded.end.warnings if str(warning.code) == "undecodable"]
    assert lost
    assert lost[0].start is not None
    assert 5 < lost[0].start < 15


def test_a_pause_between_even_pictures_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "pause.mkv"
    make_clip(path, times=[k / 25 for k in range(500) if not 200 <= k < 275])
    (warning,) = decode_all(path).end.warnings
    assert str(warning.code) == "undecodable"
    assert [warning.start, warning.end] == pytest.approx([8.0, 11.0], abs=0.01)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".avi", "mpeg4"), (".wmv", "wmv2"), (".mkv", "libx264"), (".flv", "libx264")]
)
def test_a_file_that_breaks_off_says_so(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"clip{suffix}"
    make_clip(path, seconds=20, codec=codec)
    assert "truncated" not in codes(decode_all(path))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    assert "truncated" in codes(decode_all(path))


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_fragmented_recording_that_breaks_off_is_reported(tmp_path: Path, is_whole: bool) -> None:
    """No box states the length of the whole, as a recorder that may crash writes it."""
    make_clip(tmp_path / "clip.mp4", seconds=4)
    path = tmp_path / "fragments.mp4"
    with (
        av.open(str(tmp_path / "clip.mp4")) as clip,
        av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container,
    ):
        stream = container.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data if is_whole else data[: int(len(data) * 0.6)])
    assert codes(decode_all(path)) == (set() if is_whole else {"truncated"})


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".flv", ".wmv", ".mp4"])
@pytest.mark.parametrize("is_heard", [True, False])
def test_sound_that_goes_on_behind_the_video_is_no_missing_part(
    tmp_path: Path, suffix: str, is_heard: bool
) -> None:
    """A model without a sound stream does not read the sound, which is part of the declared length."""
    path = tmp_path / f"clip{suffix}"
    codecs = {".avi": ("mpeg4", "mp2"), ".wmv": ("wmv2", "mp2")}
    codec, audio = codecs.get(suffix, ("libx264", "aac"))
    make_clip(path, seconds=4, codec=codec, audio=audio, audio_spans=((0.0, 12.0),), beeps=((0.0, 12.0),))
    request = DecodeRequest(face_samples=(4,), audio_rate=16_000 if is_heard else None)
    decoded = decode_all(path, request)
    assert decoded.end.duration == pytest.approx(4.0, abs=0.1)
    assert "truncated" not in codes(decoded)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    if suffix != ".mp4":
        assert "truncated" in codes(decode_all(path, request))


def test_a_second_file_behind_the_first_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    """FLV is read up to the header of the second file."""
    path = tmp_path / "clip.flv"
    make_clip(path, seconds=4)
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    decoded = decode_all(path)
    assert decoded.end.duration > 7 or "truncated" in codes(decoded)


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [(".gif", "gif", "rgb8"), (".apng", "apng", "rgb24"), (".flv", "flv1", "yuv420p")],
)
@pytest.mark.parametrize("pictures", [2, 4, 20])
def test_packets_that_reach_the_end_are_a_whole_file(
    tmp_path: Path, suffix: str, codec: str, pixels: str, pictures: int
) -> None:
    """The last picture of a few is a large part of the file."""
    path = tmp_path / f"clip{suffix}"
    write_noise(path, codec, pixels, pictures)
    assert not reads_short(path)
    data = path.read_bytes()
    path.write_bytes(data + bytes(len(data)))
    assert reads_short(path)


def write_noise(path: Path, codec: str, pixels: str, pictures: int) -> None:
    random = np.random.default_rng(pictures)
    with av.open(str(path), "w", format=path.suffix[1:]) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 255, (64, 96, 3), np.uint8), "rgb24")
            frame.pts = number
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode(None))


def reads_short(path: Path) -> bool:
    with path.open("rb") as file:
        media = open_media(file, path.suffix[1:], LIMITS)
        source = PacketSource(media, [media.video])
        assert list(source)
        return source.broke_off


def test_a_clock_that_stops_is_not_a_high_frame_rate(tmp_path: Path) -> None:
    """The stamps of MXF come from its index. Pictures of a second file have none, and get the last one of the first."""
    path = tmp_path / "clip.mxf"
    make_clip(path, seconds=12, codec="mpeg2video")
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    decoded = decode_all(path)
    assert decoded.end.duration == pytest.approx(24, abs=0.5)
    assert "mended_timestamps" in codes(decoded)


@pytest.mark.parametrize("kind", ["cut", "part"])
def test_the_error_of_an_mp4_without_index_names_the_index(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    make_clip(path, seconds=2)
    data = path.read_bytes()
    moov = data.index(b"moov") - 4
    if kind == "cut":
        path.write_bytes(data[:moov])
        words = "recording or the upload was cut off"
    else:
        moof = b"\0\0\0\x10moof" + b"\0\0\0\x08mfhd"
        path.write_bytes(moof + data[data.index(b"mdat") - 4 : moov])
        words = "initialization segment"
    with pytest.raises(SentilocError, match=words) as caught, path.open("rb") as file:
        open_media(file, "mov", LIMITS)
    assert caught.value.code is ErrorCode.CORRUPT_MEDIA


def test_an_encrypted_mp4_that_cannot_be_opened_is_still_called_encrypted(tmp_path: Path) -> None:
    """Some muxers write the boxes of encrypted samples in a way that libav refuses."""
    path = tmp_path / "clip.mp4"
    make_clip(path, seconds=1)
    data = path.read_bytes()
    protected = data.replace(b"avc1", b"encv").replace(b"avcC", b"sinf")
    assert protected != data
    broken = protected.replace(b"stsz", b"xxxx").replace(b"stco", b"saio")
    path.write_bytes(broken)
    with pytest.raises(SentilocError) as caught, path.open("rb") as file:
        open_media(file, "mov", LIMITS)
    assert caught.value.code is ErrorCode.ENCRYPTED
