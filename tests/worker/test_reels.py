"""Reels: every picture and sample follows the plan, lengths are exact, and no process outlives a stop."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

from sentiloc.app.reels.plan import ReelClip, ReelPlan, parse_plan
from sentiloc.model.errors import ErrorCode, KilledProcessError, SentilocError
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.reels.captions import Caption
from sentiloc.worker.reels.encoder import Encoder
from sentiloc.worker.reels.encoder_child import CHANNELS, SOUND_RATE
from sentiloc.worker.reels.join import Block, Joiner, equal_power, linear
from sentiloc.worker.reels.render import render_reel
from sentiloc.worker.reels.storing import _locked, delete_abandoned
from tests.support.media import make_clip, read_time

SIZE = (128, 96)
BEEP = (1.0, 1.2)
RED = (200, 30, 30)


def plan(*clips: ReelClip, rate: str = "25/1", crossfade: int = 0, captions: bool = False) -> ReelPlan:
    return ReelPlan(
        title="Best of",
        rate=rate,
        width=SIZE[0],
        height=SIZE[1],
        crossfade=crossfade,
        captions=captions,
        clips=clips,
    )


def part(path: Path, first: int, frames: int) -> ReelClip:
    return ReelClip(source=str(path), name=path.name, first=first, frames=frames)


def ignore(stage: str, progress: float) -> None:
    """Ignore progress."""


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def sound(path: Path) -> NDArray[np.float32]:
    """Samples (2, n) as a player plays them, without those that an edit list skips."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(parts, axis=1)


def write_red(path: Path, size: tuple[int, int], matrix: Colorspace, *, is_stated: bool) -> None:
    """A red video whose colours were coded with `matrix`; the file says so if `is_stated`."""
    red = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), RED, np.uint8), "rgb24")
    frame = red.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "4"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if is_stated:
            stream.codec_context.colorspace = matrix
        for number in range(5):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_wide(path: Path, levels: NDArray[np.uint16], transfer: ColorTrc) -> None:
    """A still video of RGB levels in BT.2020, without loss."""
    frame = av.VideoFrame.from_ndarray(levels, "rgb48le").reformat(
        format="yuv444p10le", dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.MPEG
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = levels.shape[1], levels.shape[0], "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.BT2020, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT2020, transfer
        for number in range(5):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_fields(path: Path) -> None:
    """A bar that moves four pixels in each field, lower field first, as libx264 states it."""
    bars = np.zeros((32, *SIZE[::-1]), np.uint8)
    for number, bar in enumerate(bars):
        bar[:, 4 * number : 4 * number + 16] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", "x264-params": "bff=1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for lower, upper in zip(bars[::2], bars[1::2], strict=True):
            woven = lower.copy()
            woven[::2] = upper[::2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(woven, "gray").reformat(format="yuv420p")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reels") / "clip.mp4"
    make_clip(path, seconds=4.0, size=SIZE, audio="aac", beeps=(BEEP,))
    return path


@pytest.fixture(scope="module")
def ntsc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reels") / "ntsc.mp4"
    make_clip(path, seconds=4.0, fps=30000 / 1001, size=SIZE)
    return path


class TestRender:
    def test_every_picture_is_the_requested_one(self, clip: Path, ntsc: Path, tmp_path: Path) -> None:
        made = plan(part(clip, 13, 20), part(ntsc, 50, 25), part(clip, 80, 20))
        done = render_reel(made, tmp_path / "reel.mp4", DecodeLimits(), ignore)
        shown = [read_time(picture) for picture in pictures(tmp_path / "reel.mp4")]
        assert done.frames == len(shown) == 65
        ours = [round(seconds * 25) for seconds in shown]
        assert ours[:20] == list(range(13, 33))
        assert ours[45:] == list(range(80, 100))
        # A video of another rate shows the picture on screen in the middle of the frame, at most 1/29.97 s old.
        wanted = np.arange(50.5, 75) / 25
        lag = wanted - np.array(shown[20:45])
        assert (lag > -0.002).all()
        assert (lag < 1001 / 30000 + 0.002).all()

    @pytest.mark.parametrize("start", [0.313, 0.333])
    def test_pictures_beside_the_frames_are_those_of_the_shot(self, tmp_path: Path, start: float) -> None:
        times = [start + number / 25 for number in range(60)]
        make_clip(tmp_path / "late.mkv", times=times, size=SIZE, audio="pcm_s16le", audio_spans=((0.0, 2.7),))
        for cut in (10, 30):
            first = floor(times[cut] * 25 + 0.5)
            made = plan(part(tmp_path / "late.mkv", first, 10))
            render_reel(made, tmp_path / "reel.mp4", DecodeLimits(), ignore)
            shown = [read_time(picture) for picture in pictures(tmp_path / "reel.mp4")]
            assert shown == pytest.approx(times[cut : cut + 10], abs=0.002)

    def test_the_file_states_what_it_is(self, clip: Path, tmp_path: Path) -> None:
        path = tmp_path / "reel.mp4"
        made = plan(part(clip, 0, 30), part(clip, 50, 30), part(clip, 10, 30), crossfade=10)
        render_reel(made, path, DecodeLimits(), ignore, quality=33)
        with av.open(str(path)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert video.frames == made.frames == 70
            assert video.duration is not None
            assert video.time_base is not None
            assert float(video.duration * video.time_base) == pytest.approx(70 / 25)
            assert audio.duration is not None
            assert audio.time_base is not None
            assert float(audio.duration * audio.time_base) == pytest.approx(70 / 25, abs=0.022)
            assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
            assert container.metadata["title"] == made.title
        # libx264 writes its options into the pictures.
        assert b" crf=33.0 " in path.read_bytes()
        assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")

    def test_sound_is_in_sync_with_its_picture(self, clip: Path, tmp_path: Path) -> None:
        path = tmp_path / "reel.mp4"
        # The beep at 1.0 s of the clip is 0.4 s after the part's start, which is 1.2 s into the reel.
        render_reel(plan(part(clip, 50, 30), part(clip, 15, 40)), path, DecodeLimits(), ignore)
        loud = np.abs(sound(path)).max(axis=0) > 0.1
        first, last = np.flatnonzero(loud)[[0, -1]] / 48_000
        assert first == pytest.approx(1.2 + 0.4, abs=0.02)
        assert last == pytest.approx(1.2 + 0.6, abs=0.03)

    def test_a_crossfade_mixes_pictures(self, clip: Path, tmp_path: Path) -> None:
        path = tmp_path / "reel.mp4"
        render_reel(plan(part(clip, 0, 20), part(clip, 60, 20), crossfade=9), path, DecodeLimits(), ignore)
        shown = pictures(path)
        assert len(shown) == 31
        alone = [read_time(picture) * 25 for picture in (*shown[:11], *shown[20:])]
        assert [round(frame) for frame in alone] == [*range(11), *range(69, 80)]
        middle = shown[15].astype(int)
        assert ((middle > 100) & (middle < 155)).mean() > 0.2

    def test_a_part_beyond_the_end_holds_the_last_picture(self, clip: Path, tmp_path: Path) -> None:
        path = tmp_path / "reel.mp4"
        render_reel(plan(part(clip, 95, 15)), path, DecodeLimits(), ignore)
        shown = [round(read_time(picture) * 25) for picture in pictures(path)]
        assert shown == [*range(95, 100), *[99] * 10]

    def test_a_video_without_sound_is_silent(self, ntsc: Path, tmp_path: Path) -> None:
        path = tmp_path / "reel.mp4"
        render_reel(plan(part(ntsc, 5, 30), rate="30000/1001"), path, DecodeLimits(), ignore)
        assert np.abs(sound(path)).max() < 1e-3
        assert len(pictures(path)) == 30

    def test_long_silence_is_sent_in_pieces(
        self, ntsc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half an hour in one piece took more memory than the encoder may use."""
        sizes = []
        send = Encoder.sound

        def counted(self: Encoder, data: memoryview) -> None:
            sizes.append(data.nbytes)
            send(self, data)

        monkeypatch.setattr(Encoder, "sound", counted)
        render_reel(plan(part(ntsc, 10, 60)), tmp_path / "reel.mp4", DecodeLimits(), ignore)
        assert max(sizes) <= SOUND_RATE * CHANNELS * 4
        assert sum(sizes) == round(60 / 25 * SOUND_RATE) * CHANNELS * 4

    def test_lengths_of_the_sound_of_many_parts_add_up(
        self, ntsc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        monkeypatch.setattr(Encoder, "sound", lambda _encoder, data: sizes.append(data.nbytes))
        made = plan(*(part(ntsc, first, 1) for first in range(0, 50, 10)), rate="30000/1001")
        render_reel(made, tmp_path / "reel.mp4", DecodeLimits(), ignore)
        assert sum(sizes) == round(5 * 1001 / 30000 * SOUND_RATE) * CHANNELS * 4

    @pytest.mark.parametrize(
        ("size", "matrix", "is_stated"),
        [
            ((128, 96), Colorspace.ITU709, True),
            ((128, 96), Colorspace.ITU601, True),
            ((128, 96), Colorspace.ITU601, False),
            ((1280, 720), Colorspace.ITU709, False),
        ],
    )
    def test_colours_stay_and_are_stated(
        self, tmp_path: Path, size: tuple[int, int], matrix: Colorspace, is_stated: bool
    ) -> None:
        write_red(tmp_path / "red.mp4", size, matrix, is_stated=is_stated)
        made = replace(plan(part(tmp_path / "red.mp4", 2, 3)), width=size[0], height=size[1])
        render_reel(made, tmp_path / "reel.mp4", DecodeLimits(), ignore)
        with av.open(str(tmp_path / "reel.mp4")) as container:
            frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (Colorspace.ITU709, ColorRange.MPEG)
        assert (frame.color_primaries, frame.color_trc) == (ColorPrimaries.BT709, ColorTrc.BT709)
        assert np.abs(frame.to_ndarray(format="rgb24").mean((0, 1)) - RED).max() < 6

    @pytest.mark.parametrize(
        ("transfer", "coded", "shown"),
        [
            # 50 and 203 cd/m2, and the red of BT.709 at 50.
            (ColorTrc.SMPTE2084, (0.440, 0.440, 0.440), (142, 142, 142)),
            (ColorTrc.SMPTE2084, (0.581, 0.581, 0.581), (230, 230, 230)),
            (ColorTrc.SMPTE2084, (0.3915, 0.2187, 0.1334), (142, 0, 0)),
            (ColorTrc.ARIB_STD_B67, (0.5, 0.5, 0.5), (143, 143, 143)),
            (ColorTrc.ARIB_STD_B67, (0.75, 0.75, 0.75), (230, 230, 230)),
            (ColorTrc.BT2020_10, (0.5, 0.5, 0.5), (128, 128, 128)),
            # Red of BT.709 at half of the code.
            (ColorTrc.BT2020_10, (0.412, 0.164, 0.0901), (128, 0, 0)),
        ],
    )
    def test_high_range_and_wide_gamuts_look_right_on_ordinary_screens(
        self, tmp_path: Path, transfer: ColorTrc, coded: tuple[float, ...], shown: tuple[int, ...]
    ) -> None:
        levels = np.full((*SIZE[::-1], 3), coded) * 65535
        write_wide(tmp_path / "wide.mkv", levels.astype(np.uint16), transfer)
        render_reel(plan(part(tmp_path / "wide.mkv", 1, 3)), tmp_path / "reel.mp4", DecodeLimits(), ignore)
        assert np.abs(pictures(tmp_path / "reel.mp4")[1].mean((0, 1)) - shown).max() < 6

    def test_pictures_of_two_fields_have_no_combs(self, tmp_path: Path) -> None:
        write_fields(tmp_path / "fields.mp4")
        render_reel(plan(part(tmp_path / "fields.mp4", 3, 10)), tmp_path / "reel.mp4", DecodeLimits(), ignore)
        shown = pictures(tmp_path / "reel.mp4")
        assert len(shown) == 10
        for number, picture in enumerate(shown, 3):
            rows = picture[:, :, 0].astype(int)
            assert np.abs(2 * rows[2:-2] - rows[1:-3] - rows[3:-1]).mean() < 4
            # The bar is where the first field has it.
            bright = np.flatnonzero(rows[48] > 128)
            assert abs(bright.mean() - (8 * number + 7.5)) < 2

    @pytest.mark.parametrize("crossfade", [0, 9])
    def test_cuts_and_ends_do_not_click(self, tmp_path: Path, crossfade: int) -> None:
        make_clip(tmp_path / "tone.mp4", seconds=3.0, size=SIZE, audio="aac", beeps=((0.0, 3.0),))
        parts = [part(tmp_path / "tone.mp4", first, 21) for first in (5, 41)]
        # At 29.97 pictures a second, no cut falls on a whole period of the tone, and no fade on whole samples.
        made = plan(*parts, rate="30000/1001", crossfade=crossfade)
        render_reel(made, tmp_path / "reel.mp4", DecodeLimits(), ignore)
        samples = sound(tmp_path / "reel.mp4")[0]
        steps = np.abs(np.diff(np.pad(samples, 1)))
        assert steps.max() < 1.6 * np.quantile(steps, 0.9)

    def test_sound_that_goes_on_has_no_dip(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "tone.mp4", seconds=3.0, size=SIZE, audio="aac", beeps=((0.0, 3.0),))
        parts = [part(tmp_path / "tone.mp4", first, 20) for first in (5, 25)]
        render_reel(plan(*parts, rate="30000/1001"), tmp_path / "reel.mp4", DecodeLimits(), ignore)
        middle = sound(tmp_path / "reel.mp4")[0][31_500:32_500]
        peaks = np.abs(middle).reshape(10, 100).max(axis=1)
        assert peaks.min() > 0.8 * peaks.max()

    @pytest.mark.parametrize(
        ("size", "dark", "bright"),
        [
            ((64, 128), np.s_[:, [*range(36), *range(92, 128)]], np.s_[:, 44:84]),
            ((128, 32), np.s_[[*range(28), *range(68, 96)]], np.s_[36:60]),
        ],
    )
    def test_other_shapes_are_fitted_onto_black(
        self, tmp_path: Path, size: tuple[int, int], dark: Any, bright: Any
    ) -> None:
        make_clip(tmp_path / "other.mp4", seconds=1.0, size=size)
        render_reel(plan(part(tmp_path / "other.mp4", 0, 10)), tmp_path / "reel.mp4", DecodeLimits(), ignore)
        picture = pictures(tmp_path / "reel.mp4")[5]
        assert picture.shape == (96, 128, 3)
        assert picture[dark].max() < 30
        assert picture[bright].max() > 150

    def test_captions_show_the_time_in_the_video(
        self, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[float] = []
        monkeypatch.setattr(Caption, "draw", lambda _caption, _picture, seconds: shown.append(seconds))
        made = plan(part(clip, 10, 2), part(clip, 60, 2), captions=True)
        render_reel(made, tmp_path / "reel.mp4", DecodeLimits(), ignore)
        assert shown == pytest.approx([0.4, 0.44, 2.4, 2.44])

    def test_captions_are_drawn(self, clip: Path, tmp_path: Path) -> None:
        for captions in (False, True):
            made = plan(part(clip, 0, 3), captions=captions)
            render_reel(made, tmp_path / f"{captions}.mp4", DecodeLimits(), ignore)
        plain, titled = (pictures(tmp_path / f"{captions}.mp4")[1] for captions in (False, True))
        changed = np.abs(plain.astype(int) - titled).max(axis=2) > 60
        assert changed[70:].any()
        assert not changed[:60].any()


FULL = Path("/dev/full")


def start(code: str) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a process that runs `code` instead of the encoder; `OUT` stands for the descriptor of its output."""

    def started(_module: str, task: dict[str, Any], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code.replace("OUT", str(task["out_fd"]))]
        return subprocess.Popen(command, pass_fds=fds, stderr=subprocess.DEVNULL)

    return started


def encode(
    folder: Path, limits: DecodeLimits, pictures: int, on_wait: Callable[[], None] = lambda: None
) -> None:
    """Encode black pictures."""
    made = plan(part(folder / "clip.mp4", 0, 10))
    with Encoder(folder / "reel.mp4", made, limits, has_sound=True, quality=20, on_wait=on_wait) as encoder:
        for _ in range(pictures):
            encoder.picture(memoryview(bytes(SIZE[0] * SIZE[1] * 3)))
        encoder.finish()


class TestFailure:
    def test_exceptions_that_stop_the_work_are_raised(self, clip: Path, tmp_path: Path) -> None:
        def stop(stage: str, progress: float) -> None:
            assert stage == "rendering"
            if progress > 0.3:
                raise SentilocError(ErrorCode.CANCELLED, "stopped")

        with pytest.raises(SentilocError) as caught:
            render_reel(plan(part(clip, 0, 100)), tmp_path / "reel.mp4", DecodeLimits(), stop)
        assert caught.value.code is ErrorCode.CANCELLED

    def test_progress_rises_to_one(self, clip: Path, tmp_path: Path) -> None:
        seen: list[float] = []
        made = plan(part(clip, 0, 20), part(clip, 30, 20))
        render_reel(made, tmp_path / "reel.mp4", DecodeLimits(), lambda _, done: seen.append(done))
        assert seen == sorted(seen)
        assert seen[-1] == 1.0

    def test_a_damaged_video_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))
        with pytest.raises(SentilocError) as caught:
            render_reel(
                plan(part(tmp_path / "bad.mp4", 0, 10)), tmp_path / "reel.mp4", DecodeLimits(), ignore
            )
        assert caught.value.code is ErrorCode.CORRUPT_MEDIA

    def test_a_part_behind_the_end_is_refused(self, clip: Path, tmp_path: Path) -> None:
        beyond = replace(part(clip, 200, 10), seconds=8.0)
        with pytest.raises(SentilocError, match=r"^clip\.mp4 has no picture at 8 s\.$") as caught:
            render_reel(plan(beyond), tmp_path / "reel.mp4", DecodeLimits(), ignore)
        assert caught.value.code is ErrorCode.CORRUPT_MEDIA

    @pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
    @pytest.mark.parametrize("first", [0, 3])
    def test_without_room_the_job_can_be_tried_again(self, clip: Path, first: int) -> None:
        """Whether the reel is copied, from a keyframe, or rendered."""
        with pytest.raises(SentilocError) as caught:
            render_reel(plan(part(clip, first, 12)), FULL, DecodeLimits(), ignore)
        assert caught.value.code is ErrorCode.STORAGE_FULL

    @pytest.mark.parametrize(
        ("limits", "detail"),
        [
            (DecodeLimits(stall_seconds=0.3), "The encoder made no progress."),
            (DecodeLimits(wall_seconds=0.3), "Encoding the reel takes longer than is allowed."),
        ],
    )
    def test_an_encoder_that_stands_still_is_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: DecodeLimits, detail: str
    ) -> None:
        monkeypatch.setattr(
            "sentiloc.worker.reels.encoder.start_confined", start("import time; time.sleep(600)")
        )
        # More than the pipe holds, or little.
        pictures = 100 if limits.stall_seconds < 1 else 1
        with pytest.raises(SentilocError) as caught:
            encode(tmp_path, limits, pictures)
        assert (caught.value.code, caught.value.detail) == (ErrorCode.RESOURCE_LIMIT, detail)

    @pytest.mark.parametrize("pictures", [1, 100])
    def test_a_stop_is_noticed_while_the_encoder_stands_still(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: int
    ) -> None:
        monkeypatch.setattr(
            "sentiloc.worker.reels.encoder.start_confined", start("import time; time.sleep(600)")
        )

        def stop() -> None:
            raise SentilocError(ErrorCode.CANCELLED, "stopped")

        with pytest.raises(SentilocError) as caught:
            encode(tmp_path, DecodeLimits(), pictures, stop)
        assert caught.value.code is ErrorCode.CANCELLED

    def test_an_encoder_that_lies_does_not_fill_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lie = (
            "import os, struct\n"
            "for n in range(64):\n"
            "  left = struct.pack('<cQQ', b'B', n << 20, 1 << 20) + bytes(1 << 20)\n"
            "  while left: left = left[os.write(OUT, left):]"
        )
        monkeypatch.setattr("sentiloc.worker.reels.encoder.start_confined", start(lie))
        with pytest.raises(SentilocError) as caught:
            encode(tmp_path, DecodeLimits(), 1)
        assert caught.value.code is ErrorCode.RESOURCE_LIMIT
        assert (tmp_path / "reel.mp4").stat().st_size <= 3 << 20

    def test_the_encoder_is_held_to_its_limits(self, tmp_path: Path) -> None:
        with pytest.raises(SentilocError) as caught:
            encode(tmp_path, DecodeLimits(memory_bytes=150 * 1024**2), 200)
        assert caught.value.code is ErrorCode.RESOURCE_LIMIT

    def test_an_encoder_that_somebody_kills_is_not_at_its_limits(self, clip: Path, tmp_path: Path) -> None:
        out = tmp_path / "reel.mp4"
        with (
            pytest.raises(KilledProcessError),
            Encoder(
                out,
                plan(part(clip, 0, 10)),
                DecodeLimits(),
                has_sound=True,
                quality=20,
                on_wait=lambda: None,
            ) as encoder,
        ):
            encoder.picture(memoryview(bytes(SIZE[0] * SIZE[1] * 3)))
            encoder._child.kill()
            encoder.finish()


class TestJoiner:
    @staticmethod
    def joined(clips: list[Block], overlaps: list[int], block: int = 7, weights: object = linear) -> Block:
        out: list[Block] = []
        joiner = Joiner(out.append, weights)  # type: ignore[arg-type]
        ends = [*overlaps[1:], 0]
        for clip, fade_in, fade_out in zip(clips, overlaps, ends, strict=True):
            joiner.begin(len(clip), fade_in, fade_out)
            for start in range(0, len(clip), block):
                joiner.push(clip[start : start + block])
        return np.concatenate(out)

    @pytest.mark.parametrize("block", [1, 3, 7, 100])
    def test_lengths_and_weights_do_not_depend_on_blocks(self, block: int) -> None:
        clips = [np.full((40, 1), value, np.float32) for value in (0.0, 1.0, 0.0)]
        found = self.joined(clips, [0, 9, 4], block)[:, 0]
        assert len(found) == 120 - 13
        assert found[31:40].tolist() == pytest.approx([step / 10 for step in range(1, 10)])
        assert found[67:71].tolist() == pytest.approx([0.8, 0.6, 0.4, 0.2])
        assert set(found[:31].tolist()) == {0.0}

    def test_equal_power_keeps_the_power_of_unlike_sounds(self) -> None:
        noise = np.random.default_rng(1)
        clips = [noise.standard_normal((40_000, 1)).astype(np.float32) for _ in range(2)]
        faded = self.joined(clips, [0, 20_000], 1000, equal_power)[20_000:40_000]
        assert float(np.square(faded).mean()) == pytest.approx(1.0, abs=0.05)

    def test_the_end_of_a_long_clip_falls_evenly(self) -> None:
        ends: list[Block] = []
        joiner = Joiner(lambda block: ends.append(block[-300:].copy()), linear)
        joiner.begin(40_000_001, 0, 0, fall=240)
        block = np.ones((1_000_000, 1), np.float32)
        while joiner.missing:
            joiner.push(block)
        fall = np.concatenate(ends)[-241:, 0]
        assert np.diff(fall) == pytest.approx(-1 / 241, rel=0.01)

    @pytest.mark.parametrize("block", [1, 3, 100])
    def test_the_start_rises_and_the_end_falls(self, block: int) -> None:
        out: list[Block] = []
        joiner = Joiner(out.append, linear)
        joiner.begin(12, 0, 0, rise=3, fall=4)
        clip = np.ones((12, 1), np.float32)
        for start in range(0, 12, block):
            joiner.push(clip[start : start + block])
        expected = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]
        assert np.concatenate(out)[:, 0].tolist() == pytest.approx(expected)

    def test_the_weights_of_equal_power_go_from_one_to_the_other(self) -> None:
        old, new = equal_power(np.array([0, 0.5, 1], np.float32))
        half = 0.5**0.5
        assert (old.tolist(), new.tolist()) == (
            pytest.approx([1, half, 0], abs=1e-6),
            pytest.approx([0, half, 1], abs=1e-6),
        )

    def test_items_beyond_the_length_are_dropped(self) -> None:
        out: list[Block] = []
        joiner = Joiner(out.append, linear)
        joiner.begin(5, 0, 0)
        joiner.push(np.zeros((9, 1), np.float32))
        assert sum(map(len, out)) == 5


def test_overlaps_are_at_most_half_of_a_clip() -> None:
    made = plan(*(ReelClip(source="a", name="a", first=0, frames=n) for n in (20, 6, 20)), crossfade=8)
    assert made.overlaps == (0, 3, 3)
    assert made.starts == (0, 17, 20)
    assert made.frames == 40
    assert made.seconds == pytest.approx(float(Fraction(40, 25)))


def test_a_plan_comes_back_as_it_was() -> None:
    made = plan(ReelClip(source="a", name="a.mp4", first=3, frames=9, caption="Positive 92%", seconds=0.12))
    assert parse_plan(made.to_json()) == made


def test_letters_that_cannot_be_drawn_are_replaced() -> None:
    picture = np.zeros((96, 128, 3), np.uint8)
    Caption("fröhlich 92% und noch sehr viel mehr Text", 128, 96).draw(picture, 3725.0)
    assert picture.max() == 255


def test_a_caption_is_the_text_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[str] = set()
    monkeypatch.setattr("cv2.putText", lambda _picture, line, *_: drawn.add(line))
    for text, seconds in (("Positive 92%", 3725.9), ("", 59.0), ("", 36_060.0)):
        Caption(text, 128, 96).draw(np.zeros((96, 128, 3), np.uint8), seconds)
    assert drawn == {"Positive 92%  01:02:05", "00:00:59", "10:01:00"}


@pytest.mark.parametrize("text", ["", "Positive 92%", "A text that is far too long for this picture"])
def test_captions_lie_within_the_picture(text: str) -> None:
    picture = np.zeros((96, 128, 3), np.uint8)
    Caption(text, 128, 96).draw(picture, 3725.0)
    rows, columns = np.nonzero(picture.max(axis=2))
    assert rows.min() > 64 and rows.max() < 95
    assert columns.min() > 0 and columns.max() < 127


def test_of_old_folders_only_those_of_killed_workers_go(tmp_path: Path) -> None:
    names = (
        "reel-ab12cd_3.unfinished",
        "reel-in_use_1.unfinished",
        "reel-by_older.unfinished",
        "reel-holidays",
        "reel-2026-summer.unfinished",
    )
    hour, days = (time.time() - seconds for seconds in (3600, 200_000))
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "reel.mp4").touch()
    with _locked(tmp_path / names[0]):
        pass
    (tmp_path / "reel-of_now_5.unfinished").mkdir()
    with _locked(tmp_path / names[1]):
        for name in names:
            os.utime(tmp_path / name, (hour, hour))
        assert delete_abandoned(tmp_path) == 1
        assert [(tmp_path / name).exists() for name in names] == [False, True, True, True, True]
        for name in names[1:]:
            os.utime(tmp_path / name, (days, days))
        assert delete_abandoned(tmp_path) == 1
    assert [(tmp_path / name).exists() for name in names] == [False, True, False, True, True]
    assert (tmp_path / "reel-of_now_5.unfinished").exists()
    assert delete_abandoned(tmp_path / "missing") == 0
