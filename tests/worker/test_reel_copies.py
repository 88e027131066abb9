"""Reels whose packets are copied: the same pictures bit by bit, and the right length. Others are rendered."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.app.reels.plan import ReelClip, ReelPlan
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.reels import copier
from sentiloc.worker.reels.encoder_child import FAILED, send
from sentiloc.worker.reels.made_file import MadeFile
from sentiloc.worker.reels.render import Rendered, render_reel
from tests.support.media import make_clip, read_time

SIZE = (128, 96)
BEEP = (2.0, 2.2)
GOP = 25
KEYS = (("g", str(GOP)), ("sc_threshold", "0"))
NO_B = (*KEYS, ("bf", "0"))


def make(path: Path, **changes: Any) -> Path:
    given: dict[str, Any] = {"seconds": 6.0, "size": SIZE, "audio": "aac", "beeps": (BEEP,), "options": NO_B}
    make_clip(path, **{**given, **changes})
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("copies") / "clip.mp4")


def part(path: Path, first: int, frames: int) -> ReelClip:
    return ReelClip(source=str(path), name=path.name, first=first, frames=frames)


def reel(path: Path, *clips: ReelClip, **changes: Any) -> Rendered:
    given = {
        "rate": "25/1",
        "width": SIZE[0],
        "height": SIZE[1],
        "crossfade": 0,
        "captions": False,
        **changes,
    }
    plan = ReelPlan(title="Best of", clips=clips, **given)
    return render_reel(plan, path, DecodeLimits(), lambda _stage, _done: None)


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def times(path: Path) -> list[int]:
    """The frames, at 25 a second, that the pictures of a reel show."""
    return [round(read_time(picture) * 25) for picture in pictures(path)]


def loud(path: Path) -> tuple[float, float]:
    """When the sound of a reel begins and ends to be loud, in seconds from the first picture."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        start = frames[0].time or 0.0
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
        rate = frames[0].sample_rate
    first, last = np.flatnonzero(np.abs(samples).max(axis=0) > 0.1)[[0, -1]] / rate + start
    return float(first), float(last)


def test_cuts_at_keyframes_are_copied_bit_by_bit(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "reel.mp4"
    done = reel(path, part(clip, 2 * GOP, 40), part(clip, 0, 25), part(clip, 4 * GOP, 17))
    assert done.is_copy
    assert done.frames == 82
    assert times(path) == [*range(50, 90), *range(25), *range(100, 117)]
    own, copied = pictures(clip), pictures(path)
    assert all((copied[n] == own[n + 50]).all() for n in range(40))
    assert all((copied[n + 65] == own[n + 100]).all() for n in range(17))


def test_a_remuxed_file_states_its_length_and_is_seekable(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "reel.mp4"
    reel(path, part(clip, 0, 50), part(clip, 3 * GOP, 50))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.frames == 100
        assert video.duration is not None
        assert video.time_base is not None
        assert audio.duration is not None
        assert audio.time_base is not None
        assert float(video.duration * video.time_base) == pytest.approx(4.0, abs=0.04)
        assert float(audio.duration * audio.time_base) == pytest.approx(4.0, abs=0.04)
        container.seek(round(3.5 / video.time_base), stream=video)
        frame = next(iter(container.decode(video=0)))
        assert frame.time == pytest.approx(3.0, abs=0.01)  # the keyframe before
        assert container.metadata["title"] == "Best of"
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")


def test_sound_is_in_sync_with_its_picture(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "reel.mp4"
    # The beep is 1.0 s after the second part's start, which is 1.2 s into the reel.
    assert reel(path, part(clip, 4 * GOP, 30), part(clip, GOP, 45)).is_copy
    first, last = loud(path)
    assert first == pytest.approx(2.2, abs=0.04)
    assert last == pytest.approx(2.4, abs=0.04)


def test_many_parts_do_not_let_the_sound_drift(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "reel.mp4"
    parts = 30
    long = make(tmp_path / "long.mp4", seconds=parts + 6.0, beeps=((parts + 2.0, parts + 2.2),))
    clips = [part(long, number * GOP, 13) for number in range(parts)]
    assert reel(path, *clips, part(long, (parts + 1) * GOP, 40)).is_copy
    assert loud(path)[0] == pytest.approx(parts * 13 / 25 + 1.0, abs=0.04)


def test_a_copy_is_not_larger_than_its_videos(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "reel.mp4"
    assert not reel(path, *(part(clip, GOP, 50) for _ in range(8))).is_copy
    assert len(pictures(path)) == 400


def test_a_copying_process_that_stands_still_is_ended(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copier, "start_confined", stand_still)
    plan = ReelPlan(
        title="a", rate="25/1", width=128, height=96, crossfade=0, captions=False, clips=(part(clip, 0, 25),)
    )
    assert (
        copier.copy_reel(plan, tmp_path / "reel.mp4", DecodeLimits(stall_seconds=0.5), lambda _: None) is None
    )


def rendered_because(caplog: pytest.LogCaptureFixture) -> str:
    """The logged reason why a reel is rendered."""
    (reason,) = [str(one.args) for one in caplog.records if one.msg == "the reel is rendered: %s"]
    return reason


# What the process sends, and a part of the reason why the reel is rendered instead.
LIES = {
    "large": ("for n in range(40): send(b'B', n << 20, bytes(1 << 20))", "a file of more than"),
    "far": ("send(b'B', 1 << 40, b'x')", "a file of more than"),
    "huge": (
        "send(b'B', 0, b'', 1 << 40)\nwhile True: os.write(out, bytes(1 << 16))",
        f"a piece of {1 << 40} bytes",
    ),
    "full": ("send(b'X', 0, b'ENOSPC')", "ENOSPC"),
    "deep": ("send(b'C', 0, b'[' * 100_000)", "recursion"),
    "endless": ("while True: send(b'P', 1, b'')", "takes too long"),
    "measures": ("while True: send(b'C', 0, b'[]')", "not a statement of measures"),
    "ahead": ("while True: send(b'P', 1 << 63, b'')", "takes too long"),
    "short": ("send(b'P', 23, b'')\nsend(b'D', 0, b'')", "None"),
    "long": ("send(b'P', 27, b'')\nsend(b'D', 0, b'')", "None"),
    "unknown": ("send(b'Q', 0, b'')", "a message of the kind b'Q'"),
    "silent": ("", "ended early"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_copying_process_that_lies_fills_neither_disk_nor_log(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lie: str
) -> None:
    """It reads hostile videos, so it may have been taken over."""
    progress: list[float] = []

    def lies(_module: str, task: dict[str, Any], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        code = (
            "import os, struct\n"
            f"out = {task['out_fd']}\n"
            "def send(kind, place, data, size=None):\n"
            "  left = struct.pack('<cQQ', kind, place, len(data) if size is None else size) + data\n"
            "  while left: left = left[os.write(out, left):]\n"
            f"{LIES[lie][0]}"
        )
        return subprocess.Popen([sys.executable, "-c", code], pass_fds=fds, stderr=subprocess.DEVNULL)

    monkeypatch.setattr(copier, "start_confined", lies)
    caplog.set_level("INFO", copier.__name__)
    plan = ReelPlan(
        title="a", rate="25/1", width=128, height=96, crossfade=0, captions=False, clips=(part(clip, 0, 25),)
    )
    path = tmp_path / "reel.mp4"
    assert copier.copy_reel(plan, path, DecodeLimits(wall_seconds=2.0), progress.append) is None
    assert LIES[lie][1] in rendered_because(caplog)
    assert max(progress, default=0.0) <= 1
    assert sum("runs without" in record.message for record in caplog.records) <= 1
    assert path.stat().st_size <= 2 * clip.stat().st_size + (1 << 20)


def test_the_log_has_the_error_at_the_end_of_a_traceback(tmp_path: Path) -> None:
    made, out = os.pipe()
    with os.fdopen(made, "rb"), os.fdopen(out, "wb"):
        file = MadeFile(tmp_path / "reel.mp4", made, 1)
        file.start()
        send(out, FAILED, b"line\n" * 300 + b"MemoryError: 8 bytes")
        file.close()
    assert file.failure is not None
    assert file.failure.endswith("MemoryError: 8 bytes")
    assert len(file.failure) < 1000


def stand_still(_module: str, task: dict[str, Any], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """A process that holds the pipe open and sends nothing."""
    code = f"import time, os; os.fstat({task['out_fd']}); time.sleep(600)"
    return subprocess.Popen([sys.executable, "-c", code], pass_fds=fds)


def test_a_cut_one_frame_before_a_keyframe_is_moved_to_it(clip: Path, tmp_path: Path) -> None:
    """No picture from before or behind the cut is copied, because it may be of another shot."""
    done = reel(tmp_path / "reel.mp4", part(clip, 2 * GOP - 1, 30))
    assert (done.is_copy, done.frames) == (True, 29)
    assert times(tmp_path / "reel.mp4") == list(range(50, 79))
    assert not reel(tmp_path / "reel.mp4", part(clip, 2 * GOP + 1, 30)).is_copy
    assert times(tmp_path / "reel.mp4") == list(range(51, 81))


def test_any_other_cut_is_rendered(clip: Path, tmp_path: Path) -> None:
    done = reel(tmp_path / "reel.mp4", part(clip, 0, 20), part(clip, 2 * GOP + 2, 30))
    assert (done.is_copy, done.frames) == (False, 50)
    assert times(tmp_path / "reel.mp4") == [*range(20), *range(52, 82)]


@pytest.mark.parametrize(
    "changes", [{"captions": True}, {"crossfade": 5}, {"width": 64, "height": 48}, {"rate": "30/1"}]
)
def test_another_look_is_rendered(clip: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert not reel(tmp_path / "reel.mp4", part(clip, 0, 20), part(clip, 50, 20), **changes).is_copy


def test_reordered_pictures_are_cut_only_if_none_is_missing(tmp_path: Path) -> None:
    clip = make(tmp_path / "b.mp4", options=(*KEYS, ("bf", "3"), ("b_strategy", "0")))
    results = {}
    for frames in range(40, 50):
        path = tmp_path / f"{frames}.mp4"
        done = results[frames] = reel(path, part(clip, GOP, frames), part(clip, 4 * GOP, 25))
        assert done.frames == len(times(path))
        assert frames + 24 <= done.frames <= frames + 25
        assert times(path) == [*range(25, 25 + done.frames - 25), *range(100, 125)]
    assert {done.is_copy for done in results.values()} == {True, False}


def test_lengths_never_add_up_to_more_than_a_frame(tmp_path: Path) -> None:
    clip = make(tmp_path / "b.mp4", options=(*KEYS, ("bf", "3"), ("b_strategy", "0")))
    for frames in range(20, 24):
        done = reel(tmp_path / "reel.mp4", *(part(clip, GOP, frames) for _ in range(8)))
        assert abs(done.frames - 8 * frames) <= 1


def test_two_videos_of_one_kind_are_copied_and_others_rendered(clip: Path, tmp_path: Path) -> None:
    twin = make(tmp_path / "twin.mkv", beeps=((1.0, 1.2),))
    other = make(tmp_path / "other.mp4", options=(*NO_B, ("profile", "baseline")))
    mute = make(tmp_path / "mute.mp4", audio=None)
    hevc = tmp_path / "twin-path.mp4"
    assert reel(hevc, part(clip, 0, 25), part(twin, 25, 25)).is_copy
    assert times(hevc) == [*range(25), *range(25, 50)]
    for video in (other, mute):
        done = reel(tmp_path / "reel.mp4", part(clip, 0, 25), part(video, 25, 25))
        assert (done.is_copy, times(tmp_path / "reel.mp4")) == (False, [*range(25), *range(25, 50)])


OPEN = (("g", str(GOP)), ("sc_threshold", "0"), ("x264-params", "open-gop=1:bframes=2:b-adapt=0"))
# What other videos are like, and a part of the reason why they are not copied.
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "turned": ({"matrix": (-1, 0, 0, -1)}, "is turned"),
    "mpeg4": ({"codec": "mpeg4"}, "only H.264"),
    "ten_bit": ({"pixel_format": "yuv420p10le"}, "their format"),
    "interlaced": ({"options": (*NO_B, ("x264-params", "tff=1"))}, "interlaced"),
    "wide pixels": ({"pixel_aspect": Fraction(4, 3)}, "size differs"),
    "pcm": ({"audio": "pcm_s16le"}, "only AAC"),
    "8 kHz": ({"audio_rate": 8000}, "too long to be placed"),
    "gap": ({"audio_spans": ((0.0, 1.4), (1.6, 6.0))}, "sound has a gap"),
    "short": ({"audio_spans": ((0.0, 1.5),)}, "sound ends before the picture"),
    # Pictures behind its keyframes may refer to earlier ones.
    "open": ({"options": OPEN}, "does not end all references"),
    "uneven": ({"times": [n / 25 + (n > 30) * 0.02 for n in range(150)]}, "frame rate differs"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_videos_are_rendered(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    changes, reason = OTHERS[name]
    suffix = {"pcm": "mov", "open": "mkv", "uneven": "mkv"}.get(name, "mp4")
    clip = make(tmp_path / f"clip.{suffix}", **changes)
    caplog.set_level("INFO", copier.__name__)
    assert not reel(tmp_path / "reel.mp4", part(clip, 25, 25)).is_copy
    assert reason in rendered_because(caplog)
    if name not in ("wide pixels", "uneven"):
        assert times(tmp_path / "reel.mp4") == list(range(25, 50))


def test_a_part_beyond_the_end_is_rendered(clip: Path, tmp_path: Path) -> None:
    assert not reel(tmp_path / "reel.mp4", part(clip, 5 * GOP, 40)).is_copy


def test_a_reel_without_sound_is_copied(tmp_path: Path) -> None:
    mute = make(tmp_path / "mute.mp4", audio=None)
    assert reel(tmp_path / "reel.mp4", part(mute, 25, 25), part(mute, 100, 25)).is_copy
    assert times(tmp_path / "reel.mp4") == [*range(25, 50), *range(100, 125)]


def test_stopping_goes_through(clip: Path, tmp_path: Path) -> None:
    def stop(stage: str, progress: float) -> None:
        raise SentilocError(ErrorCode.CANCELLED, f"stopped at {stage}, {progress}")

    plan = ReelPlan(
        title="a", rate="25/1", width=128, height=96, crossfade=0, captions=False, clips=(part(clip, 0, 50),)
    )
    with pytest.raises(SentilocError) as caught:
        render_reel(plan, tmp_path / "reel.mp4", DecodeLimits(), stop)
    assert caught.value.code is ErrorCode.CANCELLED
