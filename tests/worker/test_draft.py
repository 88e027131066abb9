"""A draft decodes keyframes only: times are exact, and its pictures are those of a full decode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import load_package
from sentiloc.model.spec import FlowStream, VisualStream
from sentiloc.worker.config import CacheConfig, RuntimeConfig
from sentiloc.worker.decoder.decode import AudioChunk, DecodeRequest, EndOfMedia, SnippetFrames, decode
from sentiloc.worker.pipelines.base import require_draft
from sentiloc.worker.pipelines.registry import load_pipeline
from tests.support.media import make_clip, read_time
from tests.worker.decoding import LIMITS, leaves_nothing_behind

FULL = DecodeRequest(face_samples=(4, 11), audio_rate=16_000, find_shots=True)
DRAFT = replace(FULL, keyframes_only=True)
GROUP = ("g", "25"), ("keyint_min", "25"), ("sc_threshold", "0")
"""A keyframe every second, at 25 fps."""
MEDIA: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": (*GROUP, ("bf", "2"), ("preset", "ultrafast"))},
    "vp9.webm": {"codec": "libvpx-vp9", "options": (*GROUP, ("deadline", "realtime")), "audio": "libopus"},
    "mpeg2.ts": {"codec": "mpeg2video", "options": (*GROUP, ("bf", "2"), ("b", "4000000"))},
}

_clean = pytest.fixture(autouse=True)(leaves_nothing_behind)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, how in MEDIA.items():
        make_clip(folder / name, **{"seconds": 6.0, "size": (160, 128), "audio": "aac", **how})
    return folder


class Decoded:
    """Everything that one decode yielded."""

    def __init__(self, path: Path, request: DecodeRequest) -> None:
        events = list(decode(path, request, LIMITS))
        self.faces = [event.faces for event in events if isinstance(event, SnippetFrames)]
        self.sound = [event.samples for event in events if isinstance(event, AudioChunk)]
        self.end = next(event for event in events if isinstance(event, EndOfMedia))


def keyframe_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        times = [
            float(packet.pts * packet.time_base)
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pts is not None and packet.time_base is not None
        ]
    return [time - times[0] for time in times]


@pytest.mark.parametrize("name", MEDIA)
def test_each_sample_shows_the_keyframe_before_it(folder: Path, name: str) -> None:
    full, draft = Decoded(folder / name, FULL), Decoded(folder / name, DRAFT)
    shown = np.array([[read_time(image) for image in faces] for faces in draft.faces])
    exact = np.array([[read_time(image) for image in faces] for faces in full.faces])
    keyframes = np.array(keyframe_times(folder / name))
    before = keyframes[np.searchsorted(keyframes, exact, side="right") - 1]
    # Until the first picture comes out of the decoder, every packet goes into it.
    assert np.all((np.abs(shown - before) < 0.002) | (exact < keyframes[1]))
    assert np.all(shown <= exact)


@pytest.mark.parametrize("name", MEDIA)
def test_times_and_sound_are_those_of_a_full_decode(folder: Path, name: str) -> None:
    full, draft = Decoded(folder / name, FULL), Decoded(folder / name, DRAFT)
    assert replace(draft.end, warnings=(), shots=()) == replace(full.end, warnings=(), shots=())
    assert np.array_equal(np.concatenate(draft.sound), np.concatenate(full.sound))


def test_a_warning_states_the_decoded_part(folder: Path) -> None:
    first, *others = Decoded(folder / "h264.mp4", DRAFT).end.warnings
    assert first.code == "draft"
    assert "at most" not in first.detail
    assert "the longest time between two being 1.0 seconds" in first.detail
    assert others == list(Decoded(folder / "h264.mp4", FULL).end.warnings)


def test_few_pictures_are_decoded(folder: Path) -> None:
    words = Decoded(folder / "h264.mp4", DRAFT).end.warnings[0].detail.split()
    assert int(words[words.index("pictures") - 1]) < 25


def test_a_part_of_a_video_is_a_draft_too(folder: Path) -> None:
    part = replace(DRAFT, first_snippet=4, end_snippet=7)
    faces = Decoded(folder / "h264.mp4", part).faces
    assert len(faces) == 3
    assert [read_time(image) for image in faces[0]] == [2.0, 3.0]


def test_a_draft_never_stands_in_for_a_full_result(folder: Path, tmp_path: Path) -> None:
    """The cache of features distinguishes the two."""
    pipeline = load_pipeline("fsenet-starter", RuntimeConfig(threads=1, cache=CacheConfig(folder=tmp_path)))
    codes = []
    for is_draft in (True, False, True, False):
        found = pipeline.localize(folder / "h264.mp4", lambda _stage, _done: None, is_draft=is_draft)
        codes.append("draft" in {warning.code for warning in found.warnings})
    assert codes == [True, False, True, False]


def test_a_package_that_needs_every_picture_has_no_draft() -> None:
    spec = load_package("fsenet-starter").spec
    require_draft(spec)
    for other in (
        replace(spec, visual=VisualStream()),
        replace(spec, flow=FlowStream()),
    ):
        with pytest.raises(SentilocError) as caught:
            require_draft(other)
        assert caught.value.code == ErrorCode.INVALID_DATA
