"""Malicious or excessive files: each gives a typed error soon, and no other file is opened."""

from __future__ import annotations

import lzma
import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.decode import DecodeLimits, EndOfMedia, decode
from sentiloc.worker.decoder.process import DecoderProcess
from sentiloc.worker.decoder.source.containers import sniff_container
from tests.support.media import make_clip
from tests.worker.decoding import BOMB, LIMITS, REQUEST, failure, leaves_nothing_behind, refused_soon

_clean = pytest.fixture(autouse=True)(leaves_nothing_behind)


class TestNotAVideo:
    """Other files than videos are named in the error."""

    def test_missing(self, tmp_path: Path) -> None:
        assert failure(tmp_path / "none.mp4") == ErrorCode.SOURCE_MISSING

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "clip.mp4").touch()
        assert failure(tmp_path / "clip.mp4") == ErrorCode.EMPTY_FILE

    @pytest.mark.parametrize("content", [b"x", b"just text\n" * 500, b"\x89PNG\r\n\x1a\n", bytes(5000)])
    def test_something_else(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "clip.mp4").write_bytes(content)
        assert failure(tmp_path / "clip.mp4") == ErrorCode.UNSUPPORTED_FORMAT

    @pytest.mark.parametrize("name", ["sound.mp4", "sound.mkv", "sound.ts", "sound.ogg"])
    def test_sound_alone(self, tmp_path: Path, name: str) -> None:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libopus" if name.endswith("ogg") else "aac", rate=48_000)
            for i in range(50):
                frame = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), "fltp", "stereo")
                frame.sample_rate, frame.pts = 48_000, i * 960
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert failure(tmp_path / name) == ErrorCode.NO_VIDEO

    @pytest.mark.parametrize(
        "head",
        [b"\x1a\x45\xdf\xa3", b"\x00\x00\x00\x18ftypisom", b"RIFF\0\0\0\0AVI LIST", b"OggS\0\2", b"FLV\1\5"],
    )
    def test_a_promising_start_and_noise(self, tmp_path: Path, head: bytes) -> None:
        noise = np.random.default_rng(1).bytes(20_000)
        (tmp_path / "clip.mp4").write_bytes(head + noise)
        code = failure(tmp_path / "clip.mp4")
        assert code in {ErrorCode.CORRUPT_MEDIA, ErrorCode.NO_VIDEO, ErrorCode.UNSUPPORTED_FORMAT}


class TestTruncated:
    """A truncated file gives its readable part, or an error that it is damaged."""

    def test_without_its_index(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "clip.mp4", seconds=2)
        whole = (tmp_path / "clip.mp4").read_bytes()
        (tmp_path / "clip.mp4").write_bytes(whole[: len(whole) // 2])
        assert failure(tmp_path / "clip.mp4") == ErrorCode.CORRUPT_MEDIA

    @pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.avi", "clip.flv"])
    def test_streams_give_the_part_that_came(self, tmp_path: Path, name: str) -> None:
        make_clip(tmp_path / name, seconds=4, audio="libmp3lame", audio_rate=44_100)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 6 // 10])
        events = list(decode(tmp_path / name, REQUEST, LIMITS))
        end = events[-1]
        assert isinstance(end, EndOfMedia)
        assert 1.0 < end.duration < 3.5

    @pytest.mark.parametrize("seed", range(12))
    def test_mutated_files_end_in_success_or_a_typed_error(self, tmp_path: Path, seed: int) -> None:
        name = ("clip.mp4", "clip.mkv", "clip.ts", "clip.avi", "clip.mov", "clip.flv")[seed % 6]
        make_clip(tmp_path / name, seconds=1, audio="libmp3lame", audio_rate=44_100)
        random = np.random.default_rng(seed)
        data = bytearray((tmp_path / name).read_bytes())
        for at in random.integers(0, len(data), 40):
            data[at] = random.integers(256)
        (tmp_path / name).write_bytes(data)
        try:
            events = list(decode(tmp_path / name, REQUEST, LIMITS))
        except SentilocError as error:
            assert error.code != ErrorCode.INTERNAL
        else:
            assert isinstance(events[-1], EndOfMedia)


PLAYLISTS = {
    "ffconcat": b"ffconcat version 1.0\nfile secret.mp4\n",
    "concat": b"file 'secret.mp4'\nfile 'secret.mp4'\n",
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{folder}/secret.mp4\n#EXT-X-ENDLIST\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash": b'<?xml version="1.0"?><MPD><Period><BaseURL>secret.mp4</BaseURL></Period></MPD>',
    "smil": b'<smil><body><video src="secret.mp4"/></body></smil>',
    "imf": b'<?xml version="1.0"?><CompositionPlaylist><Id>secret.mp4</Id></CompositionPlaylist>',
    "image sequence": b"secret%03d.png\n",
}


class TestPlaylists:
    """A text that refers to other files opens none of them, whatever its name and its first bytes are."""

    @pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".sdp", ".mpd"])
    @pytest.mark.parametrize("name", PLAYLISTS)
    def test_is_not_a_video(self, tmp_path: Path, name: str, suffix: str) -> None:
        secret = self.make_secret(tmp_path)
        text = PLAYLISTS[name].replace(b"{folder}", str(tmp_path).encode())
        (tmp_path / f"clip{suffix}").write_bytes(text)
        assert failure(tmp_path / f"clip{suffix}") == ErrorCode.UNSUPPORTED_FORMAT
        assert not self.was_read(secret)

    @pytest.mark.parametrize("container_format", ["mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg"])
    @pytest.mark.parametrize("name", PLAYLISTS)
    def test_is_not_opened_past_the_sniffer(self, tmp_path: Path, name: str, container_format: str) -> None:
        secret = self.make_secret(tmp_path)
        (tmp_path / "clip.mp4").write_bytes(PLAYLISTS[name].replace(b"{folder}", str(tmp_path).encode()) * 50)
        with (
            (tmp_path / "clip.mp4").open("rb", buffering=0) as file,
            DecoderProcess(file, container_format, REQUEST, LIMITS) as process,
            pytest.raises(SentilocError) as caught,
        ):
            list(process.messages())
        assert caught.value.code in {ErrorCode.CORRUPT_MEDIA, ErrorCode.NO_VIDEO}
        assert not self.was_read(secret)

    def test_a_track_in_another_file_is_not_fetched(self, tmp_path: Path) -> None:
        secret = self.make_secret(tmp_path)
        make_clip(tmp_path / "clip.mov", seconds=1)
        data = (tmp_path / "clip.mov").read_bytes()
        own = struct.pack(">I4sI", 12, b"url ", 1)
        assert own in data
        elsewhere = struct.pack(">I4sI", 12, b"alis", 0)
        (tmp_path / "clip.mov").write_bytes(data.replace(own, elsewhere))
        try:
            list(decode(tmp_path / "clip.mov", REQUEST, LIMITS))
        except SentilocError as error:
            assert error.code != ErrorCode.INTERNAL
        assert not self.was_read(secret)

    @staticmethod
    def make_secret(folder: Path) -> Path:
        """A video beside the playlist whose access time tells whether it was read."""
        path = folder / "secret.mp4"
        make_clip(path, seconds=0.2)
        os.utime(path, (1_000_000_000, 2_000_000_000))
        return path

    @staticmethod
    def was_read(path: Path) -> bool:
        return path.stat().st_atime != 1_000_000_000

    def test_access_times_are_recorded(self, tmp_path: Path) -> None:
        secret = self.make_secret(tmp_path)
        secret.read_bytes()
        if not self.was_read(secret):
            pytest.skip("this file system keeps no access times: the tests above prove less here")


class TestBombs:
    """Excessive files are refused within two processor seconds, by the header or, if that is wrong, by the content."""

    def test_huge_frames(self, tmp_path: Path) -> None:
        (tmp_path / "bomb.mp4").write_bytes(lzma.decompress(BOMB.read_bytes()))
        assert refused_soon(tmp_path / "bomb.mp4") == ErrorCode.LIMIT_EXCEEDED

    def test_huge_frames_behind_a_small_header(self, tmp_path: Path) -> None:
        data = bytearray(lzma.decompress(BOMB.read_bytes()))
        at = data.index(b"avc1", data.index(b"stsd")) + 28
        assert struct.unpack_from(">2H", data, at) == (16384, 8192)
        struct.pack_into(">2H", data, at, 64, 48)
        (tmp_path / "bomb.mp4").write_bytes(data)
        code = refused_soon(tmp_path / "bomb.mp4")
        assert code in {ErrorCode.LIMIT_EXCEEDED, ErrorCode.CORRUPT_MEDIA}

    def test_growing_frames(self, tmp_path: Path) -> None:
        parts = []
        for name, size in (("a.ts", (64, 64)), ("b.ts", (320, 240))):
            make_clip(tmp_path / name, seconds=1, size=size, start=0.0 if name == "a.ts" else 1.0)
            parts.append((tmp_path / name).read_bytes())
        (tmp_path / "clip.ts").write_bytes(b"".join(parts))
        small = DecodeLimits(threads=1, max_side_pixels=200)
        assert refused_soon(tmp_path / "clip.ts", small) == ErrorCode.LIMIT_EXCEEDED

    @pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
    def test_a_thousand_frames_a_second(self, tmp_path: Path, name: str) -> None:
        make_clip(tmp_path / name, seconds=0.6, fps=1000, size=(64, 48))
        assert refused_soon(tmp_path / name) == ErrorCode.LIMIT_EXCEEDED

    @pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
    def test_too_many_frames(self, tmp_path: Path, name: str) -> None:
        make_clip(tmp_path / name, seconds=8, size=(64, 48))
        few = DecodeLimits(threads=1, max_frames=150)
        assert refused_soon(tmp_path / name, few) == ErrorCode.LIMIT_EXCEEDED

    @pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
    def test_ten_hours_of_one_frame(self, tmp_path: Path, name: str) -> None:
        make_clip(tmp_path / name, times=[0.0, 36_000.0], size=(64, 48))
        assert refused_soon(tmp_path / name) == ErrorCode.LIMIT_EXCEEDED

    def test_a_clock_that_jumps_beyond_the_declared_end(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "clip.ts", times=[0.0, 36_000.0], size=(64, 48))
        make_clip(tmp_path / "clip.mkv", times=[0.0, 1.0, 20_000.0], size=(64, 48))
        data = (tmp_path / "clip.mkv").read_bytes()
        at = data.index(b"\x44\x89\x88") + 3
        lying = data[:at] + struct.pack(">d", 2000.0) + data[at + 8 :]
        (tmp_path / "clip.mkv").write_bytes(lying)
        for name in ("clip.ts", "clip.mkv"):
            end = list(decode(tmp_path / name, REQUEST, LIMITS))[-1]
            assert isinstance(end, EndOfMedia)
            assert end.duration < 5
            assert "mended_timestamps" in [warning.code for warning in end.warnings]

    def test_a_hundred_streams(self, tmp_path: Path) -> None:
        with av.open(str(tmp_path / "clip.mkv"), "w") as container:
            streams = [container.add_stream("mpeg4", rate=25) for _ in range(100)]
            for stream in streams:
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
                frame.pts, frame.time_base = 0, Fraction(1, 25)
                container.mux([*stream.encode(frame), *stream.encode(None)])
        assert refused_soon(tmp_path / "clip.mkv") == ErrorCode.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\x00\x00\x00\x18ftypheic", None),
        (b"\x00\x00\x00\x18ftypqt  ", "mov"),
        (b"\x00\x00\x00\x08wide\x00\x00", "mov"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        ((b"\x47" + bytes(187)) * 6, "mpegts"),
        (bytes(4) + (b"\x47" + bytes(191)) * 6, "mpegts"),
        (b"G" * 4, None),
        (b"", None),
    ],
)
def test_first_bytes_determine_the_container(head: bytes, expected: str | None) -> None:
    assert sniff_container(head) == expected
