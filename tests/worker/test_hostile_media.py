"""Files that want to break in, break down or never end: each a typed error, soon, and nothing left behind."""

from __future__ import annotations

import lzma
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from model.errors import ErrorCode, SentilocError
from tests.media import make_clip
from worker.decode import DecodeLimits, DecodeRequest, EndOfMedia, SnippetFrames, decode, grab_frame
from worker.decoder.containers import sniff_container
from worker.decoder.process import DecoderProcess

LIMITS = DecodeLimits(threads=1)
REQUEST = DecodeRequest(face_samples=(4, 11), audio_rate=16_000)
HEAVY = DecodeRequest(face_samples=tuple(range(16)), visual_size=224)
ROOT = Path(__file__).parents[2]
BOMB = Path(__file__).parent / "data" / "h264_16384x8192.mp4.xz"


def failure(path: Path, limits: DecodeLimits = LIMITS, request: DecodeRequest = REQUEST) -> ErrorCode:
    with pytest.raises(SentilocError) as caught:
        list(decode(path, request, limits))
    return caught.value.code


def refused_within(seconds: float, path: Path, limits: DecodeLimits = LIMITS) -> ErrorCode:
    start = time.monotonic()
    code = failure(path, limits)
    assert time.monotonic() - start < seconds
    return code


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real 30 s video, small in bytes, that takes a moment to decode."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    make_clip(path, seconds=30, size=(640, 360), audio="aac")
    return path


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    before = open_files()
    yield
    assert child_pids() == []
    assert open_files() <= before


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def child_pids() -> list[int]:
    """Decoders that this process has running."""
    texts = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return [pid for text in texts for pid in map(int, text.split())]


class TestNotAVideo:
    """What is not a video is called by its name."""

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
    """A file that breaks off gives what is there, or says that it is damaged."""

    def test_without_its_index(self, tmp_path: Path, clip: Path) -> None:
        whole = clip.read_bytes()
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
    """A text that names other files opens none of them, whatever it is called and whatever it begins with."""

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

    def test_access_times_tell(self, tmp_path: Path) -> None:
        secret = self.make_secret(tmp_path)
        secret.read_bytes()
        if not self.was_read(secret):
            pytest.skip("this file system keeps no access times: the tests above prove less here")


class TestBombs:
    """Too much is refused within 2 s, by the header or, if that lies, by what comes."""

    def test_huge_frames(self, tmp_path: Path) -> None:
        (tmp_path / "bomb.mp4").write_bytes(lzma.decompress(BOMB.read_bytes()))
        assert refused_within(2, tmp_path / "bomb.mp4") == ErrorCode.LIMIT_EXCEEDED

    def test_huge_frames_in_a_header_that_says_small(self, tmp_path: Path) -> None:
        data = bytearray(lzma.decompress(BOMB.read_bytes()))
        at = data.index(b"avc1", data.index(b"stsd")) + 28
        assert struct.unpack_from(">2H", data, at) == (16384, 8192)
        struct.pack_into(">2H", data, at, 64, 48)
        (tmp_path / "bomb.mp4").write_bytes(data)
        code = refused_within(2, tmp_path / "bomb.mp4")
        assert code in {ErrorCode.LIMIT_EXCEEDED, ErrorCode.CORRUPT_MEDIA}

    def test_growing_frames(self, tmp_path: Path) -> None:
        parts = []
        for name, size in (("a.ts", (64, 64)), ("b.ts", (320, 240))):
            make_clip(tmp_path / name, seconds=1, size=size, start=0.0 if name == "a.ts" else 1.0)
            parts.append((tmp_path / name).read_bytes())
        (tmp_path / "clip.ts").write_bytes(b"".join(parts))
        small = DecodeLimits(threads=1, max_side_pixels=200)
        assert refused_within(2, tmp_path / "clip.ts", small) == ErrorCode.LIMIT_EXCEEDED

    @pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
    def test_a_thousand_frames_a_second(self, tmp_path: Path, name: str) -> None:
        make_clip(tmp_path / name, seconds=2, fps=1000, size=(64, 48))
        assert refused_within(2, tmp_path / name) == ErrorCode.LIMIT_EXCEEDED

    @pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])
    def test_too_many_frames(self, tmp_path: Path, name: str) -> None:
        make_clip(tmp_path / name, seconds=8, size=(64, 48))
        few = DecodeLimits(threads=1, max_frames=150)
        assert refused_within(2, tmp_path / name, few) == ErrorCode.LIMIT_EXCEEDED

    @pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
    def test_ten_hours_of_one_frame(self, tmp_path: Path, name: str) -> None:
        make_clip(tmp_path / name, times=[0.0, 36_000.0], size=(64, 48))
        assert refused_within(2, tmp_path / name) == ErrorCode.LIMIT_EXCEEDED

    def test_a_lying_duration(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "clip.mkv", times=[0.0, 1.0, 20_000.0], size=(64, 48))
        data = (tmp_path / "clip.mkv").read_bytes()
        at = data.index(b"\x44\x89\x88") + 3
        lying = data[:at] + struct.pack(">d", 2000.0) + data[at + 8 :]
        (tmp_path / "clip.mkv").write_bytes(lying)
        assert refused_within(2, tmp_path / "clip.mkv") == ErrorCode.LIMIT_EXCEEDED

    def test_a_hundred_streams(self, tmp_path: Path) -> None:
        with av.open(str(tmp_path / "clip.mkv"), "w") as container:
            streams = [container.add_stream("mpeg4", rate=25) for _ in range(100)]
            for stream in streams:
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
                frame.pts, frame.time_base = 0, Fraction(1, 25)
                container.mux([*stream.encode(frame), *stream.encode(None)])
        assert refused_within(2, tmp_path / "clip.mkv") == ErrorCode.LIMIT_EXCEEDED


class TestLimits:
    """The child's limits hold, and running into one is a typed error of the parent."""

    def test_memory(self, clip: Path) -> None:
        assert failure(clip, DecodeLimits(threads=1, memory_bytes=150 * 1024**2)) == ErrorCode.RESOURCE_LIMIT

    def test_processor_time(self, clip: Path) -> None:
        code = failure(clip, DecodeLimits(threads=1, cpu_seconds=1), HEAVY)
        assert code == ErrorCode.RESOURCE_LIMIT

    def test_wall_time(self, clip: Path) -> None:
        with stopped_decoding(clip, DecodeLimits(threads=1, wall_seconds=6)) as events:
            assert error_of(events) == ErrorCode.RESOURCE_LIMIT

    def test_no_progress(self, clip: Path) -> None:
        with stopped_decoding(clip, DecodeLimits(threads=1, stall_seconds=5)) as events:
            assert error_of(events) == ErrorCode.RESOURCE_LIMIT


class stopped_decoding:  # noqa: N801
    """A decode whose child has been stopped after its first snippet."""

    def __init__(self, path: Path, limits: DecodeLimits, on_wait: Callable[[], None] | None = None) -> None:
        self._events = decode(path, HEAVY, limits, on_wait)

    def __enter__(self) -> Iterator[Any]:
        while not isinstance(next(self._events), SnippetFrames):
            pass
        (pid,) = child_pids()
        os.kill(pid, signal.SIGSTOP)
        return self._events

    def __exit__(self, *exception: object) -> None:
        self._events.close()


def error_of(events: Iterator[Any]) -> ErrorCode:
    with pytest.raises(SentilocError) as caught:
        list(events)
    return caught.value.code


class TestEnds:
    """However a decode ends, its child ends with it."""

    @pytest.mark.parametrize(
        ("name", "code"), [("SIGKILL", ErrorCode.RESOURCE_LIMIT), ("SIGSEGV", ErrorCode.CORRUPT_MEDIA)]
    )
    def test_a_killed_child_is_a_typed_error(self, clip: Path, name: str, code: ErrorCode) -> None:
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        (pid,) = child_pids()
        os.kill(pid, signal.Signals[name])
        assert error_of(events) == code

    def test_closing_kills_within_half_a_second(self, clip: Path) -> None:
        events = decode(clip, HEAVY, LIMITS)
        next(events)
        assert len(child_pids()) == 1
        start = time.monotonic()
        events.close()
        assert child_pids() == []
        assert time.monotonic() - start < 0.5

    def test_what_on_wait_raises_goes_through(self, clip: Path) -> None:
        wanted = threading.Event()

        def cancel() -> None:
            if wanted.is_set():
                raise SentilocError(ErrorCode.CANCELLED, "cancelled")

        with stopped_decoding(clip, LIMITS, cancel) as events:
            wanted.set()
            assert error_of(events) == ErrorCode.CANCELLED
            assert child_pids() == []

    def test_an_idle_consumer_holds_the_child_back(self, clip: Path) -> None:
        events = decode(clip, DecodeRequest(face_samples=(4, 11)), LIMITS)
        next(events)
        (pid,) = child_pids()
        time.sleep(1.0)
        used = [processor_ticks(pid)]
        time.sleep(0.5)
        used.append(processor_ticks(pid))
        assert used[1] - used[0] <= 2
        assert sum(isinstance(event, SnippetFrames) for event in events) == 47

    def test_the_child_dies_with_its_parent(self, clip: Path) -> None:
        script = (
            "import sys\nfrom pathlib import Path\nfrom tests.worker.test_hostile_media import *\n"
            "events = decode(Path(sys.argv[1]), HEAVY, LIMITS)\nnext(events)\n"
            "print(child_pids()[0], flush=True)\nsys.stdin.read()\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", script, str(clip)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert is_running(pid)
            parent.kill()
        deadline = time.monotonic() + 2
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not is_running(pid)

    def test_a_decode_in_a_thread(self, clip: Path) -> None:
        found: list[int] = []
        request = DecodeRequest(face_samples=(0,))
        thread = threading.Thread(target=lambda: found.append(len(list(decode(clip, request, LIMITS)))))
        thread.start()
        thread.join()
        assert found == [1 + 47 + 1]

    def test_memory_does_not_grow_with_the_video(self, tmp_path: Path) -> None:
        peaks = []
        for seconds in (4, 40):
            make_clip(tmp_path / "clip.mp4", seconds=seconds, size=(320, 240), audio="aac")
            events = decode(tmp_path / "clip.mp4", REQUEST, LIMITS)
            peaks.append(max(peak_kilobytes(pid) for event in events for pid in child_pids()))
        assert peaks[1] < 1.1 * peaks[0]

    def test_grab_frame_of_a_bomb(self, tmp_path: Path) -> None:
        (tmp_path / "bomb.mp4").write_bytes(lzma.decompress(BOMB.read_bytes()))
        with pytest.raises(SentilocError) as caught:
            grab_frame(tmp_path / "bomb.mp4", 0.0, 320, LIMITS)
        assert caught.value.code == ErrorCode.LIMIT_EXCEEDED


def processor_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def peak_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) if "VmHWM" in status else 0


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


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
def test_first_bytes_tell_the_container(head: bytes, expected: str | None) -> None:
    assert sniff_container(head) == expected
