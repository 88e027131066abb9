"""A part of a video is decoded as in the whole video, and little more than the part is decoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import load_package
from sentiloc.model.results.result import Result
from sentiloc.model.results.time_range import within
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import (
    AudioChunk,
    DecodeLimits,
    DecodeRequest,
    EndOfMedia,
    SnippetFrames,
    decode,
)
from sentiloc.worker.pipelines.sentiment import load_sentiment_pipeline
from tests.support.media import Clip, make_clip, read_time

RATE = 16_000
SNIPPET = 10_240  # samples
REQUEST = DecodeRequest(face_samples=tuple(range(16)), audio_rate=RATE)
LIMITS = DecodeLimits(threads=1)
LONG = Clip(seconds=12.0, size=(64, 48), audio="aac", beeps=((5.0, 6.2), (6.7, 7.2), (10.0, 11.0)))
FORMATS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"start": 0.5, "fps": 30.0},
    "hevc.mkv": {"codec": "libx265", "audio": "flac", "fps": 24_000 / 1001},
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "audio": "libopus",
        "options": (("deadline", "realtime"), ("g", "25")),
    },
    "one_keyframe.mp4": {"options": (("preset", "ultrafast"), ("g", "999"), ("sc_threshold", "0"))},
    "uneven.mp4": {"times": tuple(np.cumsum([0, *([0.02, 0.1, 0.04] * 75)]).round(3).tolist())},
    "mpeg4.avi": {"codec": "mpeg4", "audio": "pcm_s16le"},
}
NO_INDEX = "avi"
FAR_KEYFRAMES = ("one_keyframe.mp4", "vp9.webm")


class Decoded:
    """Everything that one decode yielded: snippets by index, the sound from sample `begins` on."""

    def __init__(self, path: Path, request: DecodeRequest) -> None:
        events = list(decode(path, request, LIMITS))
        end = events[-1]
        assert isinstance(end, EndOfMedia)
        self.end = end
        found = [event for event in events if isinstance(event, SnippetFrames)]
        self.times = {one.index: [read_time(image) for image in one.faces] for one in found}
        chunks = [event for event in events if isinstance(event, AudioChunk)]
        self.begins = chunks[0].start if chunks else 0
        starts = np.cumsum([self.begins, *(len(chunk.samples) for chunk in chunks)])
        assert [chunk.start for chunk in chunks] == starts[:-1].tolist()
        self.sound: NDArray[np.float32] = np.concatenate(
            [np.zeros(0, np.float32), *(chunk.samples for chunk in chunks)]
        )


@pytest.mark.parametrize("name", FORMATS)
def test_a_part_is_as_in_the_whole(tmp_path: Path, name: str) -> None:
    make_clip(tmp_path / name, LONG, **FORMATS[name])
    whole = Decoded(tmp_path / name, REQUEST)
    part = Decoded(tmp_path / name, replace(REQUEST, first_snippet=9, end_snippet=11))
    assert part.times == {index: whole.times[index] for index in (9, 10)}
    assert part.end.duration == pytest.approx(whole.end.duration, abs=0.05)
    assert (part.begins, len(part.sound)) == (9 * SNIPPET, 2 * SNIPPET)
    expected = whole.sound[part.begins : 11 * SNIPPET]
    assert np.abs(expected).max() > 0.3
    # Resampling begins at another phase, so it may be half a sample off.
    assert np.sqrt(np.mean((part.sound - expected) ** 2)) < 0.1
    levels = [np.abs(one).reshape(-1, 640).max(axis=1) > 0.15 for one in (part.sound, expected)]
    assert np.mean(levels[0] == levels[1]) > 0.95
    if name not in FAR_KEYFRAMES:
        most = whole.end.frames * (0.75 if name.endswith(NO_INDEX) else 0.4)
        assert part.end.frames < most


@pytest.mark.parametrize("name", ["h264.mp4"])
def test_parts_at_the_ends(tmp_path: Path, name: str) -> None:
    make_clip(tmp_path / name, LONG, **FORMATS[name])
    whole = Decoded(tmp_path / name, REQUEST)
    last = max(whole.times)
    for first, end in ((0, 2), (last, last + 5), (last + 3, None)):
        part = Decoded(tmp_path / name, replace(REQUEST, first_snippet=first, end_snippet=end))
        wanted = range(first, last + 1 if end is None else end)
        assert part.times == {index: times for index, times in whole.times.items() if index in wanted}
        assert part.end.duration == pytest.approx(whole.end.duration, abs=0.05)


@pytest.mark.parametrize("part", [(-1, None), (3, 3), (5, 2)])
def test_no_part(part: tuple[int, int | None]) -> None:
    with pytest.raises(ValueError, match="no snippets"):
        DecodeRequest(first_snippet=part[0], end_snippet=part[1])


def test_a_result_of_a_part_is_that_of_the_whole_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mp4"
    make_clip(path, LONG)
    pipeline = load_sentiment_pipeline(load_package("fsenet-starter"), RuntimeConfig(threads=1))
    options = replace(pipeline.default_options, threshold=0.0)
    whole = pipeline.localize(path, lambda *_: None, options)
    cut = within(whole, 6.0, 8.0)
    part = pipeline.localize(path, lambda *_: None, options, (6.0, 8.0))
    assert isinstance(part, Result)
    assert (part.video, part.curve, part.segments) == (cut.video, cut.curve, cut.segments)
    monkeypatch.setattr("sentiloc.worker.pipelines.sentiment.CONTEXT", 2)
    less = pipeline.localize(path, lambda *_: None, options, (6.0, 8.0))
    assert isinstance(less, Result)
    assert less.video.duration == pytest.approx(whole.video.duration, abs=0.05)
    seen = [index for index, value in enumerate(less.curve.saliency) if value]
    assert (len(less.curve.saliency), min(seen), max(seen)) == (len(whole.curve.saliency), 9, 12)
    assert less.sound is not None
    assert whole.sound is not None
    assert len(less.sound.loudness) == len(whole.sound.loudness)
    assert set(less.sound.loudness[: 4 * 4]) == {0.0}
    for empty in ((3.0, 3.0), (-1.0, None), (2.0, 1.0), (500.0, 600.0), (1e5, None), (1e18, 1e308)):
        with pytest.raises(SentilocError) as raised:
            pipeline.localize(path, lambda *_: None, options, empty)
        assert raised.value.code is ErrorCode.INVALID_DATA
    far = pipeline.localize(path, lambda *_: None, options, (6.0, 1e308))
    assert far.segments == pipeline.localize(path, lambda *_: None, options, (6.0, None)).segments
