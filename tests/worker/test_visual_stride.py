"""A stride for the visual network: which snippets it reads, what is not decoded, and what the others get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sentiloc.app.settings import get_settings
from sentiloc.model.package import load_package
from sentiloc.model.segments import FloatArray
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import DecodeRequest, SnippetFrames, decode
from sentiloc.worker.decoder.selection import Samples
from sentiloc.worker.extraction.stages import StageClock
from sentiloc.worker.extraction.visual_run import VisualRun, between
from sentiloc.worker.features.visual import VisualExtractor
from sentiloc.worker.pipelines.sentiment import load_sentiment_pipeline
from sentiloc.worker.runtime.onnx_session import create_session
from sentiloc.worker.timeline.visual_choice import Chosen, VisualChoice
from tests.support.media import make_clip
from tests.worker.selecting import choices
from tests.worker.test_decode import LIMITS
from tests.worker.test_shots import scene, write
from tests.worker.tiny_networks import SPEC, write_package, write_visual

FULL = DecodeRequest(face_samples=(4, 11), visual_size=64, still_side=32)
B_PICTURES = (("bf", "3"), ("b_strategy", "0"), ("x264-params", "b-pyramid=none"))


def _snippets(path: Path, request: DecodeRequest) -> list[SnippetFrames]:
    return [event for event in decode(path, request, LIMITS) if isinstance(event, SnippetFrames)]


def _read(snippets: Sequence[SnippetFrames]) -> list[int]:
    return [snippet.index for snippet in snippets if snippet.visual is not None]


@pytest.mark.parametrize(("first", "expected"), [(0, [0, 3, 6, 9]), (2, [2, 3, 6, 9])])
def test_snippets_that_are_read_are_the_same_as_without_a_stride(
    tmp_path: Path, first: int, expected: list[int]
) -> None:
    """A part reads the snippets that the whole video reads, and its first one."""
    make_clip(tmp_path / "clip.mp4", seconds=6.0, options=B_PICTURES)
    full = _snippets(tmp_path / "clip.mp4", replace(FULL, first_snippet=first))
    some = _snippets(tmp_path / "clip.mp4", replace(FULL, first_snippet=first, visual_stride=3))
    assert _read(some) == expected
    for one, other in zip(full, some, strict=True):
        assert np.array_equal(one.faces, other.faces)
        assert one.still is not None and other.still is not None
        assert np.array_equal(one.still, other.still)
        if other.visual is not None:
            assert one.visual is not None and np.array_equal(one.visual, other.visual)


def test_pictures_of_snippets_that_are_not_read_are_not_decoded(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=9.0, options=B_PICTURES)
    every = Samples(rate=25.0, length=16, positions=(4, 11), first=0, end=None, whole_stride=1)
    left_out = {
        stride: [needed for _, needed in choices(tmp_path / "clip.mp4", replace(every, whole_stride=stride))]
        for stride in (1, 4, None)
    }
    assert all(left_out[1])
    assert left_out[None].count(False) * 0.6 < left_out[4].count(False) < left_out[None].count(False)


def test_samples_of_whole_snippets() -> None:
    looks = Samples(rate=25.0, length=16, positions=(), first=32, end=None, whole_stride=4)
    assert looks.any_between(1.28, 1.3), "the third snippet is the first requested one"
    assert not looks.any_between(1.96, 2.5), "the one after it is not read"
    assert looks.any_between(1.96, 2.6), "the fifth of the video is"
    assert not looks.any_between(3.21, 5.0), "the three after that are not read"
    assert looks.any_between(2.0, 9000.0), "a picture that stays for hours covers some"


def test_the_first_snippet_of_each_shot_is_read_too(tmp_path: Path) -> None:
    # Shots begin in the middle of snippets 2 and 7.
    lengths = (40, 80, 72)
    pictures = [scene(seed, index) for seed, length in enumerate(lengths) for index in range(length)]
    write(tmp_path / "clip.mp4", pictures)
    full = _snippets(tmp_path / "clip.mp4", FULL)
    snippets = _snippets(tmp_path / "clip.mp4", replace(FULL, visual_stride=4, visual_by_shots=True))
    assert _read(snippets) == [0, 3, 7, 8]
    assert [one.index for one in snippets if one.begins_shot] == [3, 8]
    for one, other in zip(full, snippets, strict=True):
        assert other.visual is None or (one.visual is not None and np.array_equal(one.visual, other.visual))


def test_a_choice_counts_from_the_last_one() -> None:
    dark, bright = np.zeros((48, 48), np.uint8), np.full((48, 48), 200, np.uint8)
    choice = VisualChoice(stride=3, by_shots=True)
    chosen = [choice.next(grid) for grid in (dark, dark, bright, bright, bright, bright, None, dark)]
    assert [one.is_read for one in chosen] == [True, False, True, False, False, True, False, False]
    assert [one.begins_shot for one in chosen].count(True) == 1
    part = VisualChoice(stride=3, first=4)
    assert [part.next(None).is_read for _ in range(6)] == [True, False, True, False, False, True]
    assert VisualChoice().next(None) == VisualChoice().next(bright) == Chosen(is_read=True)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> VisualExtractor:
    return VisualExtractor(create_session(write_visual(tmp_path_factory.mktemp("network") / "tiny.onnx")))


def _snippet(index: int, level: int | None, *, begins_shot: bool = False) -> SnippetFrames:
    faces = np.zeros((0, 1, 1, 3), np.uint8)
    visual: NDArray[np.uint8] | None = None
    if level is not None:
        visual = np.full((16, 224, 224, 3), level, np.uint8)
    return SnippetFrames(index, faces, visual, begins_shot=begins_shot)


def _features(extractor: VisualExtractor, *levels: int) -> FloatArray:
    return extractor.extract([np.full((16, 224, 224, 3), level, np.uint8) for level in levels])


def test_snippets_between_get_interpolated_features(extractor: VisualExtractor) -> None:
    clock = StageClock()
    run = VisualRun(extractor, None, clock)
    levels = [10, None, None, 40, None, 90, None, None, 200, 50, None]
    cuts = {8}
    for start in range(0, len(levels), 4):
        run.take(
            [_snippet(i, levels[i], begins_shot=i in cuts) for i in range(start, min(start + 4, len(levels)))]
        )
    run.finish()
    a, b, c, d, e = _features(extractor, 10, 40, 90, 200, 50)
    expected = [a, a + (b - a) / 3, a + (b - a) * 2 / 3, b, (b + c) / 2, c, c, c, d, e, e]
    assert run.count == len(levels)
    assert np.allclose(run.rows.take(len(levels)), expected, atol=1e-5)
    assert clock.seconds["visual"] > 0


def test_the_network_gets_full_batches(extractor: VisualExtractor, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    extract = VisualExtractor.extract

    def counted(self: VisualExtractor, frames: Sequence[NDArray[np.uint8]]) -> FloatArray:
        sizes.append(len(frames))
        return extract(self, frames)

    monkeypatch.setattr(VisualExtractor, "extract", counted)
    run = VisualRun(extractor, None, StageClock())
    for start in range(0, 24, 8):
        run.take([_snippet(i, 10 if i % 3 == 0 else None) for i in range(start, start + 8)])
    run.finish()
    assert sizes == [4, 4]
    assert run.count == 24


def test_between_has_neither_end() -> None:
    found = between(np.array([0.0, 4.0], np.float32), np.array([4.0, 0.0], np.float32), 3)
    assert found.tolist() == [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]
    assert between(found[0], found[1], 0).shape == (0, 2)


def test_a_served_model_reads_the_snippets_that_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path / "models")
    (tmp_path / "cache").mkdir()
    write_visual(tmp_path / "cache" / "i3d-rgb.onnx")
    monkeypatch.setenv("SENTILOC_CACHE_DIR", str(tmp_path / "cache"))
    get_settings.cache_clear()
    make_clip(tmp_path / "clip.mp4", seconds=6.0)
    curves = {}
    for stride in (1, 3):
        config = RuntimeConfig(threads=1, models_dir=tmp_path / "models", visual_stride=stride)
        package = load_package(SPEC.name, config.models_dir)
        found = load_sentiment_pipeline(package, config).localize(tmp_path / "clip.mp4", lambda *_: None)
        curves[stride] = np.array(found.curve.positive)
    assert len(curves[1]) == len(curves[3]) == 10
    assert np.allclose(curves[1][::3], curves[3][::3], atol=1e-6)
    assert not np.allclose(curves[1], curves[3], atol=1e-6)
