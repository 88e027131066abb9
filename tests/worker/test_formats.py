"""Formats of editors are decoded, unsupported ones are named, and protected files are reported as such."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.decode import decode, grab_frame
from sentiloc.worker.decoder.source.containers import is_encrypted, refusal, sniff_container
from tests.support.media import Clip, make_clip, picture, read_time
from tests.worker.decoding import LIMITS, REQUEST, failure
from tests.worker.test_decode import EVERY_FRAME, decode_all, on_screen

EDITORS: dict[str, dict[str, Any]] = {
    "mpeg2.mxf": {"codec": "mpeg2video", "audio": "pcm_s16le"},
    "prores.mxf": {"codec": "prores_ks", "pixel_format": "yuv422p10le"},
    "jpeg2000.mxf": {"codec": "jpeg2000", "pixel_format": "yuv422p"},
    "wmv2.wmv": {"codec": "wmv2"},
    "msmpeg4.asf": {"codec": "msmpeg4"},
    "dv.dv": {"codec": "dvvideo", "size": (720, 576), "pixel_format": "yuv420p"},
    "dv.mov": {"codec": "dvvideo", "size": (720, 576), "pixel_format": "yuv420p", "audio": "pcm_s16le"},
    "dv.avi": {"codec": "dvvideo", "size": (720, 576), "pixel_format": "yuv420p"},
    "v210.mov": {"codec": "v210", "pixel_format": "yuv422p10le"},
    "cineform.mov": {"codec": "cfhd", "pixel_format": "yuv422p10le", "size": (256, 192)},
    "cineform.avi": {"codec": "cfhd", "pixel_format": "yuv422p10le", "size": (256, 192)},
    "png.mov": {"codec": "png", "pixel_format": "rgb24"},
    "animation.mov": {"codec": "qtrle", "pixel_format": "rgb24"},
    "jpeg2000.mov": {"codec": "jpeg2000", "pixel_format": "yuv422p"},
    "v410.mov": {"codec": "v410", "pixel_format": "yuv444p10le"},
    "r210.mov": {"codec": "r210", "pixel_format": "gbrp10le"},
    "huffyuv.avi": {"codec": "huffyuv", "pixel_format": "yuv422p"},
    "ffvhuff.avi": {"codec": "ffvhuff"},
    "utvideo.avi": {"codec": "utvideo"},
    "magicyuv.avi": {"codec": "magicyuv"},
    "raw.avi": {"codec": "rawvideo", "pixel_format": "bgr24"},
    "anim.gif": {"codec": "gif", "pixel_format": "gray"},
    "anim.webp": {"codec": "libwebp_anim"},
    "anim.apng": {"codec": "apng", "pixel_format": "rgb24"},
    "vp9.ivf": {"codec": "libvpx-vp9"},
    "raw.y4m": {"codec": "wrapped_avframe"},
    "ffv1.mkv": {"codec": "ffv1"},
}


def make(path: Path, **changes: Any) -> Any:
    if path.suffix == ".y4m":
        return _y4m(path)
    return make_clip(path, **{"seconds": 1.4, "fps": 25.0, **changes})


def _y4m(path: Path) -> Any:
    clip = Clip(seconds=1.4, pixel_format="gray")
    frames = [picture(round(t * 1000), clip.size)[:, :, 0] for t in clip.frame_times]
    header = f"YUV4MPEG2 W{clip.size[0]} H{clip.size[1]} F25:1 Ip A1:1 Cmono\n".encode()
    path.write_bytes(
        header + b"".join(b"FRAME\n" + np.ascontiguousarray(frame).tobytes() for frame in frames)
    )
    return clip


@pytest.mark.parametrize("name", EDITORS)
def test_editors_formats_show_the_right_frames(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    clip = make(path, **EDITORS[name])
    decoded = decode_all(path, EVERY_FRAME)
    assert decoded.times[:32] == pytest.approx(on_screen(clip)[:32], abs=0.0015)
    assert decoded.end.timebase == "25/1"
    assert decoded.info.has_audio == ("audio" in EDITORS[name])
    assert read_time(grab_frame(path, 0.7, 128, LIMITS)) == pytest.approx(0.68, abs=0.0015)


@pytest.mark.parametrize(
    ("head", "code", "word"),
    [
        (b"ID3\x04" + bytes(60), ErrorCode.NO_VIDEO, "MP3"),
        (b"fLaC" + bytes(60), ErrorCode.NO_VIDEO, "FLAC"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(60), ErrorCode.NO_VIDEO, "WAV"),
        (b"\xff\xfb\x90\x64" + bytes(60), ErrorCode.NO_VIDEO, "MP3"),
        (b"%PDF-1.7\n" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT, "PDF"),
        (b"PK\x03\x04" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT, "ZIP"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT, "PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT, "JPEG"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(60), ErrorCode.UNSUPPORTED_FORMAT, "heic"),
        (b"#EXTM3U\n", ErrorCode.UNSUPPORTED_FORMAT, "playlist"),
        (b"once upon a time", ErrorCode.UNSUPPORTED_FORMAT, "a text"),
        (bytes(range(128, 256)), ErrorCode.UNSUPPORTED_FORMAT, "Accepted are MP4"),
    ],
)
def test_refused_formats_are_named(tmp_path: Path, head: bytes, code: ErrorCode, word: str) -> None:
    (tmp_path / "file.mp4").write_bytes(head)
    with pytest.raises(SentilocError, match=word) as caught:
        list(decode(tmp_path / "file.mp4", REQUEST, LIMITS))
    assert caught.value.code is code


@pytest.mark.parametrize("junk", [1, 100, 5000, 60_000])
@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_junk_before_the_first_sync_byte_is_skipped(tmp_path: Path, suffix: str, junk: int) -> None:
    path = tmp_path / f"clip{suffix}"
    codec = "mpeg2video"
    clip = make_clip(path, seconds=1.4, codec=codec, size=(320, 240))
    noise = np.random.default_rng(junk).integers(1, 255, junk, np.uint8).tobytes().replace(b"G", b"H")
    path.write_bytes(noise + path.read_bytes())
    times = decode_all(path).times
    assert times[:32] == pytest.approx(on_screen(clip)[:32], abs=0.0415)


def test_sound_with_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound: Any = container.add_stream("aac", rate=48_000)
        sound.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux([*sound.encode(frame), *sound.encode(None)])
    assert failure(path) is ErrorCode.NO_VIDEO


def test_encrypted_mp4(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(
        str(path),
        "w",
        options={
            "encryption_scheme": "cenc-aes-ctr",
            "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
            "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
        },
    ) as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(picture(index * 40, (128, 96)), "rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    assert failure(path) is ErrorCode.ENCRYPTED


def test_encrypted_matroska_and_asf_and_scrambled_streams(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mkv", seconds=0.4)
    data = (tmp_path / "clip.mkv").read_bytes()
    encryption = b"\x6d\x80\x8f\x62\x40\x8c\x50\x33\x81\x01\x50\x35\x85\x47\xe1\x81\x05"
    at = data.index(b"\x1f\x43\xb6\x75")
    assert not is_encrypted(data, "matroska")
    assert is_encrypted(data[:at] + encryption + data[at:], "matroska")
    guid = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
    assert is_encrypted(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + guid, "asf")
    make_clip(tmp_path / "clip.ts", seconds=1.4, size=(320, 240))
    stream = bytearray((tmp_path / "clip.ts").read_bytes())
    assert not is_encrypted(bytes(stream), "mpegts")
    for start in range(0, len(stream), 188):
        if stream[start + 1] & 0x1F or stream[start + 2] > 0x20:
            stream[start + 3] |= 0xC0
    (tmp_path / "clip.ts").write_bytes(stream)
    assert failure(tmp_path / "clip.ts") is ErrorCode.ENCRYPTED


def test_detected_heads_are_distinguished() -> None:
    assert sniff_container(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 8, b"acTL")) == "apng"
    assert sniff_container(bytes(3000) + bytes.fromhex("060e2b34020501010d010201")) == "mxf"
    assert sniff_container(b"\x00\x00\x01\xb3\x14\x00\xf0") == "mpegvideo"
    assert sniff_container(b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10" + bytes(9)) is None
    assert sniff_container(b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x12" + bytes(9)) == "webp"


@pytest.mark.parametrize(
    ("suffix", "codec", "name"),
    [("h264", "libx264", "a bare H.264 stream"), ("hevc", "libx265", "a bare HEVC stream")],
)
def test_a_stream_without_a_container_is_named(tmp_path: Path, suffix: str, codec: str, name: str) -> None:
    bare = tmp_path / f"bare.{suffix}"
    make_clip(bare, seconds=1.0, size=(320, 240), codec=codec)
    error = refusal(bare.read_bytes())
    assert error.code is ErrorCode.UNSUPPORTED_FORMAT
    assert name in str(error)
    assert "put it into MP4" in str(error)
