"""`melt` renders an exported sequence: every rendered picture is the one in the cut."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from sentiloc.app.cuts import CUT_FORMATS
from sentiloc.app.cuts.sequence import GivenClip, GivenSource, Sequence, SequenceOptions, make_sequence
from sentiloc.model.segments import VideoInfo
from sentiloc.worker.decoder.decode import (
    DecodeLimits,
    DecodeRequest,
    EndOfMedia,
    SnippetFrames,
    decode,
)
from tests.support.media import make_clip, read_time

MELT = shutil.which("melt")
pytestmark = pytest.mark.skipif(MELT is None, reason="melt is not installed")
SIZE = (128, 96)
# Screen recorders name files after the time.
ONE, TWO = "one", "2026-01-30T12:30:00"


def sequence(folder: Path, fps: float, rate: str) -> Sequence:
    sources = []
    for name in (ONE, TWO):
        make_clip(folder / f"{name}.mp4", seconds=4.0, fps=fps, size=SIZE)
        info = VideoInfo(duration=4.0, fps=fps, width=SIZE[0], height=SIZE[1], has_audio=False, timebase=rate)
        sources.append(GivenSource(id=name, name=f"{name}.mp4", video=info))
    spans = ((ONE, 0.52, 1.4), (TWO, 2.0, 3.0), (ONE, 3.04, 3.64), (TWO, 0.0, 0.36))
    clips = [GivenClip(source_id=name, start=start, end=end) for name, start, end in spans]
    return make_sequence(clips, sources, SequenceOptions())


def render(project: Path, output: Path) -> None:
    """Render with `melt`. On a busy machine `melt` sometimes hangs; then it is restarted."""
    command = [
        str(MELT),
        project.name,
        "-consumer",
        f"avformat:{output}",
        "vcodec=ffv1",
        "an=1",
        "real_time=-1",
    ]
    for _ in range(4):
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=True, cwd=project.parent, capture_output=True, timeout=150)
            return
    pytest.fail("melt does not end")


def shown_times(path: Path, fps: float) -> list[float]:
    """The time that each picture of a video shows."""
    request = DecodeRequest(frame_rate=fps, snippet_frames=1, face_samples=(0,), face_max_side=128)
    events = decode(path, request, DecodeLimits())
    return [read_time(event.faces[0]) for event in events if isinstance(event, SnippetFrames)]


def test_melt_shows_the_very_frames_if_sound_comes_first(tmp_path: Path) -> None:
    """Recordings of broadcasts begin with sound, and with pictures that need earlier ones."""
    path = tmp_path / "tv.mkv"
    times = [0.6 + number / 25 for number in range(60)]
    make_clip(path, times=times, size=SIZE, audio="aac", audio_spans=((0.0, 3.0),))
    info: VideoInfo | None = None
    for event in decode(path, DecodeRequest(frame_rate=25.0, snippet_frames=1), DecodeLimits()):
        if isinstance(event, VideoInfo):
            info = event
        elif isinstance(event, EndOfMedia) and info is not None:
            info = event.complete(info)
    assert info is not None
    source = GivenSource(id="a", name=path.name, video=info)
    clips = [GivenClip(source_id="a", start=start, end=start + 0.6) for start in (1.0, 1.8)]
    project = tmp_path / "cut.mlt"
    project.write_bytes(CUT_FORMATS["mlt"].write(make_sequence(clips, [source], SequenceOptions())).data)
    render(project, tmp_path / "cut.mkv")
    found = [round(seconds * 25) for seconds in shown_times(tmp_path / "cut.mkv", 25.0)]
    assert found == [*range(25, 40), *range(45, 60)]


@pytest.mark.parametrize(("fps", "rate"), [(25.0, "25/1"), (30000 / 1001, "30000/1001")])
def test_melt_shows_the_very_frames(tmp_path: Path, fps: float, rate: str) -> None:
    made = sequence(tmp_path, fps, rate)
    project = tmp_path / "cut.mlt"
    project.write_bytes(CUT_FORMATS["mlt"].write(made).data)
    render(project, tmp_path / "cut.mkv")
    wanted = [(clip.first + number) / fps for clip in made.clips for number in range(clip.frames)]
    found = shown_times(tmp_path / "cut.mkv", fps)
    assert len(found) == made.frames
    assert [round(seconds * fps) for seconds in found] == [round(seconds * fps) for seconds in wanted]
