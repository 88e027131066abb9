"""Scores of a growing video: equal to the final ones where no later snippet matters, and cheap."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from sentiloc.app.settings import Settings
from sentiloc.model.results.result import Result, SegmentOptions
from sentiloc.model.segments import FloatArray, SnippetFeatures
from sentiloc.worker.config import runtime_config
from sentiloc.worker.extraction.extraction import Run
from sentiloc.worker.features.feature_file import FeatureFile
from sentiloc.worker.pipelines.localizer import Localizer
from sentiloc.worker.pipelines.provisional import ProgressiveScores, ProvisionalScorer
from sentiloc.worker.pipelines.registry import load_pipeline
from tests.support.media import make_clip


class Growing:
    """A run with known features that counts how often they are read."""

    def __init__(self, features: SnippetFeatures) -> None:
        self.features = features
        self.read = 0

    def window(self, first: int, stop: int) -> SnippetFeatures:
        self.read += stop - first
        whole, inside = self.features, slice(first, stop)

        def part(values: FloatArray | None) -> FloatArray | None:
            return None if values is None else values[inside]

        return SnippetFeatures(
            visual=part(whole.visual),
            audio=part(whole.audio),
            face=part(whole.face),
            visual_present=whole.visual_present[inside],
            audio_present=whole.audio_present[inside],
            face_present=whole.face_present[inside],
        )


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    pipeline: Any = load_pipeline("fsenet-starter", runtime_config(Settings()))
    return cast("Localizer", pipeline.localizer)


def features(localizer: Localizer, total: int) -> SnippetFeatures:
    rng, spec = np.random.default_rng(5), localizer.spec
    assert spec.audio is not None
    assert spec.face is not None
    present = np.ones(total, np.bool_)
    # The level alternates over minutes.
    wave = np.sin(np.arange(total, dtype=np.float32) / 40)
    audio = rng.normal(size=(total, 32, 60)).astype(np.float32) * 0.3 + wave[:, None, None]
    face = rng.normal(size=(total, spec.face.dim)).astype(np.float32) * (1 + wave[:, None])
    return SnippetFeatures(
        visual=None,
        audio=audio.astype(np.float32),
        face=face.astype(np.float32),
        visual_present=~present,
        audio_present=present,
        face_present=present,
    )


def test_a_short_video_is_scored_as_a_whole(localizer: Localizer) -> None:
    whole = features(localizer, 300)
    run = cast("Run", Growing(whole))
    scores = ProgressiveScores(localizer)
    scores.blended(run, 64)
    assert np.allclose(scores.blended(run, 300).scores, localizer.score(whole).scores, atol=1e-6)


def test_growing_step_by_step_equals_one_step(localizer: Localizer) -> None:
    whole = features(localizer, 1500)
    growing = ProgressiveScores(localizer)
    run = Growing(whole)
    for total in (32, 200, 511, 512, 513, 900, 1280, 1281, 1500):
        stepwise = growing.blended(cast("Run", run), total)
        assert len(stepwise.scores) == total
    # Each finished window is computed once, plus one unfinished window per update; not the whole video each time.
    assert run.read <= 1500 + 12 * 512
    at_once = ProgressiveScores(localizer).blended(cast("Run", Growing(whole)), 1500)
    assert np.array_equal(stepwise.scores, at_once.scores)
    difference = np.abs(stepwise.scores - localizer.score(whole).scores)
    assert difference.mean() < 0.05


def test_rows_are_read_while_others_are_added() -> None:
    rows = FeatureFile((3,))
    rows.append(np.arange(12, dtype=np.float32).reshape(4, 3))
    assert rows.window(1, 3).tolist() == [[3, 4, 5], [6, 7, 8]]
    rows.append(np.ones((2, 3), np.float32))
    assert rows.count == 6
    assert rows.take(6)[4:].tolist() == [[1, 1, 1], [1, 1, 1]]


class Timed(ProvisionalScorer):
    """A scorer whose updates take a second."""

    def __init__(self, localizer: Localizer) -> None:
        self.now, self.totals = 1000.0, list[int]()
        wanted: Any = None
        super().__init__(cast("Any", None), localizer, wanted, lambda _: None, lambda: self.now)

    def _result(self, run: Run, total: int) -> Any:
        self.now += 1.0
        self.totals.append(total)


def test_updates_wait_for_more_video_and_take_a_small_share_of_the_time(localizer: Localizer) -> None:
    scorer, info = Timed(localizer), object()

    def update(snippets: int, ready: int | None = None, info: object = info) -> list[int]:
        """The totals of the updates that this makes."""
        before = len(scorer.totals)
        ready = snippets if ready is None else ready
        scorer.update(cast("Run", SimpleNamespace(snippets=snippets, ready=ready, info=info)))
        return scorer.totals[before:]

    assert update(31) == update(40, ready=31) == update(32, info=None) == []
    assert update(32) == [32]
    scorer.now += 39.5
    assert update(40) == []
    scorer.now += 0.5
    # A quarter of the first update more, or 5 % of a long video.
    assert update(39) == []
    assert update(400) == [400]
    scorer.now += 40.0
    assert update(419) == []
    assert update(420) == [420]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    make_clip(path, seconds=24.0, fps=5.0, size=(64, 48), audio="aac", beeps=((2.0, 9.0), (15.0, 22.0)))
    return path


@pytest.mark.parametrize("time_range", [None, (8.0, 23.0)])
def test_a_provisional_result_is_like_the_final_one_up_to_its_end(
    talk: Path, monkeypatch: pytest.MonkeyPatch, time_range: tuple[float, float] | None
) -> None:
    monkeypatch.setattr("sentiloc.worker.pipelines.sentiment.CONTEXT", 4)
    monkeypatch.setattr("sentiloc.worker.pipelines.provisional.FIRST_UPDATE", 12)
    pipeline = load_pipeline("fsenet-starter", runtime_config(Settings()))
    options = SegmentOptions(threshold=0.0, min_length=0.0, labels=("negative", "positive"))
    found: list[Result] = []
    last = pipeline.localize(
        talk, lambda _stage, _done: None, options, time_range, on_provisional=found.append
    )
    assert isinstance(last, Result)
    assert not last.provisional
    first, step = found[0], pipeline.package.spec.snippet_seconds
    until = first.scored_until
    assert first.provisional
    assert until is not None
    assert 12 * step <= until <= last.video.duration
    assert (first.options, first.model, first.calibration) == (options, last.model, last.calibration)
    # From the start of the video on, whatever the range.
    count = len(first.curve.positive)
    assert count * step == pytest.approx(until, abs=1e-3)
    assert len(first.curve.face_present) == len(first.curve.saliency) == count
    inside = [time_range is None or (n + 1) * step > 8.0 for n in range(count)]
    assert [value > 0 for value in first.curve.saliency] == inside
    assert [value > 0 for value in last.curve.saliency[:count]] == inside
    assert first.faces_seen == 0
    assert first.video.duration == pytest.approx(24.0, abs=0.1)
