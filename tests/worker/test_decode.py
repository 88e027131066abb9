"""One conformance suite over containers, codecs and time lines: the frame on screen at 16t/25 + k/25."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.model.segments import VideoInfo
from sentiloc.worker.decoder.decode import (
    AudioChunk,
    DecodeLimits,
    DecodeRequest,
    EndOfMedia,
    SnippetFrames,
    decode,
    grab_frame,
)
from tests.support.media import MATRICES, Clip, make_clip, read_time
from tests.support.shared_files import data_folder

RATE = 16_000
EVERY_FRAME = DecodeRequest(face_samples=tuple(range(16)), audio_rate=RATE)
LIMITS = DecodeLimits(threads=1)


@dataclass
class Decoded:
    """Everything that one decode yielded."""

    info: VideoInfo
    snippets: list[SnippetFrames]
    sound: NDArray[np.float32]
    end: EndOfMedia

    @property
    def times(self) -> list[float]:
        """The encoded time of each grid frame."""
        return [read_time(image) for snippet in self.snippets for image in snippet.faces]


def decode_all(path: Path, request: DecodeRequest = EVERY_FRAME, limits: DecodeLimits = LIMITS) -> Decoded:
    events = list(decode(path, request, limits))
    assert isinstance(events[0], VideoInfo)
    assert isinstance(events[-1], EndOfMedia)
    snippets = [event for event in events if isinstance(event, SnippetFrames)]
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    assert [snippet.index for snippet in snippets] == list(range(events[-1].snippets))
    lengths = np.cumsum([0, *(len(chunk.samples) for chunk in chunks)])
    assert [chunk.start for chunk in chunks] == lengths[:-1].tolist()
    assert events[-1].samples == lengths[-1]
    sound = np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in chunks)])
    return Decoded(events[0], snippets, sound, events[-1])


def on_screen(clip: Clip) -> list[float]:
    """The time of the frame that a player shows at each point of the 25 fps grid, whole snippets of them."""
    grid = [k / 25 for k in range(max(1, int(np.ceil(clip.duration * 25 - 0.04))))]
    shown = [max(t for t in clip.frame_times if t <= point + 0.0015) for point in grid]
    return shown + [clip.frame_times[-1]] * (-len(shown) % 16)


FORMATS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"audio": "aac"},
    "h264.mov": {"audio": "pcm_s16le"},
    "hevc.mp4": {"codec": "libx265", "audio": "aac"},
    "hevc.mkv": {"codec": "libx265", "audio": "flac"},
    "av1.mp4": {"codec": "libsvtav1"},
    "vp9.webm": {"codec": "libvpx-vp9", "audio": "libopus"},
    "vp8.webm": {"codec": "libvpx", "audio": "libopus"},
    "mpeg4.avi": {"codec": "mpeg4", "audio": "pcm_s16le"},
    "h264.avi": {"audio": "libmp3lame"},
    "h264.ts": {"audio": "aac"},
    "mpeg2.ts": {"codec": "mpeg2video", "audio": "mp2"},
    "mpeg2.mpg": {"codec": "mpeg2video", "audio": "mp2"},
    "h264.flv": {"audio": "aac", "audio_rate": 44_100},
    "mjpeg.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pixel_format": "yuv422p10le"},
    "h264_10bit.mkv": {"pixel_format": "yuv420p10le"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_container_and_codec_shows_the_right_frames(tmp_path: Path, name: str) -> None:
    changes = FORMATS[name]
    clip = make_clip(tmp_path / name, seconds=1.4, beeps=((0.5, 0.7),), **changes)
    decoded = decode_all(tmp_path / name)
    assert decoded.times == pytest.approx(on_screen(clip), abs=0.0015)
    assert (decoded.info.width, decoded.info.height) == clip.size
    assert decoded.end.duration == pytest.approx(1.4, abs=0.041)
    assert decoded.end.frames == 35
    assert decoded.info.has_audio == ("audio" in changes)
    if decoded.info.has_audio:
        assert beep_edges(decoded.sound) == pytest.approx([0.5, 0.7], abs=0.03)


def beep_edges(sound: NDArray[np.float32]) -> list[float]:
    """Seconds at which the tone begins and ends, in turn."""
    level = np.sqrt(np.convolve(sound**2, np.ones(160) / 160, "same")) > 0.15
    edges = np.flatnonzero(np.diff(np.concatenate([[False], level, [False]]).astype(int)))
    return [edge / RATE for edge in edges.tolist()]


@pytest.mark.parametrize("fps", [60, 50, 30, 24, 24_000 / 1001, 30_000 / 1001, 12.5, 10, 1])
def test_any_frame_rate_is_put_on_the_grid(tmp_path: Path, fps: float) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=3, fps=fps)
    decoded = decode_all(tmp_path / "clip.mp4")
    assert decoded.times == pytest.approx(on_screen(clip), abs=0.0015)
    assert decoded.info.fps == pytest.approx(fps, rel=1e-3)
    assert decoded.end.snippets == 5


TIME_LINES = {
    "slides": [0.0, 0.7, 0.72, 2.5],
    "irregular": np.cumsum([0.0, *np.random.default_rng(5).uniform(0.005, 0.12, 40)]).round(3).tolist(),
    "burst": [0.0, *np.arange(1.0, 1.2, 0.01).round(3).tolist(), 2.0],
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("name", TIME_LINES)
def test_variable_frame_rate_keeps_its_times(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    clip = make_clip(path, times=TIME_LINES[name])
    times = decode_all(path).times
    shown = on_screen(clip)
    assert times[: len(shown) - 16] == pytest.approx(shown[: len(shown) - 16], abs=0.0015)
    assert times[-1] == pytest.approx(clip.frame_times[-1], abs=0.0015)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_time_counts_from_the_containers_start(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    clip = make_clip(path, seconds=1.5, start=5.0, audio="aac", beeps=((0.5, 0.8),))
    decoded = decode_all(path)
    assert decoded.times == pytest.approx(on_screen(clip), abs=0.0015)
    assert beep_edges(decoded.sound) == pytest.approx([0.5, 0.8], abs=0.03)
    assert decoded.end.duration == pytest.approx(1.5, abs=0.041)


def test_the_last_frame_has_its_own_duration(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", times=[0.0, 0.04], last_frame_seconds=1.0)
    decoded = decode_all(tmp_path / "clip.mp4")
    assert decoded.end.duration == pytest.approx(1.04, abs=0.002)
    assert decoded.end.snippets == 2


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_one_frame_is_one_snippet(tmp_path: Path, suffix: str) -> None:
    codec = "libx264" if suffix == ".mp4" else "libvpx-vp9"
    make_clip(tmp_path / f"clip{suffix}", times=[0.0], codec=codec)
    decoded = decode_all(tmp_path / f"clip{suffix}")
    assert decoded.times == [0.0] * 16
    assert 0 < decoded.end.duration <= 0.04


MIRRORED = (-1, 0, 0, 1)


@pytest.mark.parametrize("matrix", [*MATRICES.values(), MIRRORED, (0, 1, 1, 0)])
def test_turned_and_mirrored_videos_come_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=0.64, size=(192, 96), matrix=matrix)
    decoded = decode_all(tmp_path / "clip.mp4")
    assert (decoded.info.width, decoded.info.height) == (192, 96)
    assert decoded.snippets[0].faces.shape == (16, 96, 192, 3)
    assert decoded.times == pytest.approx(on_screen(clip), abs=0.0015)


def test_wide_pixels_widen_the_picture(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=0.64, size=(96, 96), pixel_aspect=Fraction(4, 3))
    decoded = decode_all(tmp_path / "clip.mp4")
    assert (decoded.info.width, decoded.info.height) == (128, 96)
    assert decoded.snippets[0].faces.shape[1:3] == (96, 128)


@pytest.mark.parametrize("size", [(16, 16), (18, 130), (130, 18), (1280, 720), (720, 1280)])
def test_faces_fit_the_side_and_are_never_enlarged(tmp_path: Path, size: tuple[int, int]) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=0.2, size=size)
    decoded = decode_all(tmp_path / "clip.mp4", DecodeRequest(face_samples=(4, 11), face_max_side=640))
    scale = min(1.0, 640 / max(size))
    assert decoded.snippets[0].faces.shape == (2, round(size[1] * scale), round(size[0] * scale), 3)


@pytest.mark.parametrize("size", [(320, 240), (96, 200), (64, 64)])
def test_visual_frames_are_the_scaled_centre(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=1, size=size)
    request = DecodeRequest(face_samples=(0,), visual_size=224)
    decoded = decode_all(tmp_path / "clip.mp4", request)
    assert len(decoded.snippets) == 2
    shown = on_screen(clip)
    for snippet in decoded.snippets:
        assert snippet.visual is not None
        assert snippet.visual.shape == (16, 224, 224, 3)
        assert read_time(snippet.faces[0]) == pytest.approx(shown[16 * snippet.index], abs=0.0015)
    if size == (64, 64):
        first = decoded.snippets[1].visual
        assert first is not None
        padded = np.pad(first, ((0, 0), (16, 16), (16, 16), (0, 0)), "edge")
        assert [read_time(image) for image in padded] == pytest.approx(shown[16:32], abs=0.0015)


def test_native_rate_hands_over_every_frame(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", seconds=1.6, fps=30_000 / 1001)
    decoded = decode_all(tmp_path / "clip.mkv", DecodeRequest(frame_rate=None, face_samples=tuple(range(16))))
    assert decoded.times == pytest.approx(clip.frame_times, abs=0.0015)


class TestSound:
    """Sound keeps its place on the video's time line."""

    def test_no_track(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "clip.mp4", seconds=0.5)
        decoded = decode_all(tmp_path / "clip.mp4")
        assert not decoded.info.has_audio
        assert len(decoded.sound) == 0

    @pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
    def test_late_start_and_gap_become_silence(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"clip{suffix}"
        beeps = ((0.6, 0.8), (2.0, 2.2))
        make_clip(path, seconds=3, audio="pcm_s16le", audio_spans=((0.5, 1.0), (1.8, 3.0)), beeps=beeps)
        decoded = decode_all(path)
        expected = [0.6, 0.8, 2.0, 2.2] if suffix == ".mkv" else [0.6, 0.8]
        assert beep_edges(decoded.sound)[: len(expected)] == pytest.approx(expected, abs=0.02)

    @pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
    def test_sound_before_the_first_picture_is_kept(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"clip{suffix}"
        beeps = ((-0.5, -0.2), (0.5, 0.7))
        clip = make_clip(path, seconds=2, start=1.0, audio="aac", audio_spans=((-1.0, 2.0),), beeps=beeps)
        decoded = decode_all(path)
        assert beep_edges(decoded.sound) == pytest.approx([0.5, 0.8, 1.5, 1.7], abs=0.03)
        assert decoded.end.duration == pytest.approx(3.0, abs=0.06)
        assert decoded.end.first_picture == pytest.approx(1.0, abs=0.06)
        assert decoded.end.complete(decoded.info).first_picture == decoded.end.first_picture
        *_, end = decode(path, replace(EVERY_FRAME, first_snippet=3), LIMITS)
        assert isinstance(end, EndOfMedia)
        assert end.first_picture == decoded.end.first_picture
        assert decoded.times[:24] == [0.0] * 24
        assert decoded.snippets[0].faces.max() < 20
        late = [seconds + 1.0 - (30 + i) / 25 for i, seconds in enumerate(decoded.times[30:70])]
        assert max(map(abs, late)) < 0.085
        assert max(late) - min(late) < 0.002
        assert clip.duration == 2.0

    def test_rounded_timestamps_leave_no_seams(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "clip.mkv", seconds=4, audio="flac", audio_rate=44_100, beeps=((0.0, 4.0),))
        sound = decode_all(tmp_path / "clip.mkv").sound
        assert len(sound) == pytest.approx(4 * RATE, abs=2)
        spectrum = np.abs(np.fft.rfft(sound[: 4 * RATE] * np.hanning(4 * RATE)))
        tone = spectrum[3990:4010].sum()
        assert tone / spectrum.sum() > 0.98

    def test_a_broken_track_does_not_fail_the_video(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mkv"
        clip = make_clip(path, seconds=1.4, audio="aac", beeps=((0.0, 1.4),))
        broken = _spoil_packets(path, "audio")
        path.write_bytes(broken)
        decoded = decode_all(path)
        assert decoded.times == pytest.approx(on_screen(clip), abs=0.0015)


def _spoil_packets(path: Path, kind: str) -> bytes:
    """The file with every packet of a kind replaced by noise."""
    import av

    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(3)
    with av.open(str(path)) as container:
        for packet in container.demux(**{kind: 0}):
            body = bytes(packet)
            if len(body) > 8 and (at := data.find(body)) >= 0:
                data[at : at + len(body)] = noise.bytes(len(body))
    return bytes(data)


def test_timecode_is_reported(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mov", seconds=0.2, metadata=(("timecode", "01:00:00:00"),))
    assert decode_all(tmp_path / "clip.mov").info.start_timecode == "01:00:00:00"


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.1, 99.0])
def test_grab_frame_shows_what_is_on_screen(tmp_path: Path, seconds: float) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=2, start=3.0, size=(320, 240))
    image = grab_frame(tmp_path / "clip.mp4", seconds, 160, LIMITS)
    assert image.shape == (120, 160, 3)
    expected = max(t for t in clip.frame_times if t <= seconds + 0.0015)
    assert read_time(image) == pytest.approx(expected, abs=0.0015)


@pytest.mark.parametrize("folder", ["clips", "clips_labelled"])
def test_every_real_clip_decodes(folder: str) -> None:
    paths = [path for path in data_folder(folder).iterdir() if path.suffix in {".mp4", ".mov"}]
    for path in paths:
        decoded = decode_all(path, DecodeRequest(face_samples=(4, 11), audio_rate=RATE))
        assert decoded.end.snippets == int(np.ceil(round(decoded.end.duration * 25, 3) / 16)), path.name
        assert decoded.end.duration == pytest.approx(decoded.info.duration, abs=0.1), path.name
