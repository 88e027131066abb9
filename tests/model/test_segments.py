"""The shared data types refuse values that cannot be; suppression, runs and contrast follow their definitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from sentiloc.model.proposals.nms import disjoint, suppress
from sentiloc.model.proposals.spans import Runs, outer_inner_contrast, threshold_runs
from sentiloc.model.segments import (
    AudioTrack,
    FrameScores,
    Segment,
    SnippetFeatures,
    VideoInfo,
    parse_stored_video,
    parse_video,
)

TRACK = AudioTrack(numbers=(1, 2), count=2, chosen="mixed", codec="aac", layout="stereo")


def segment(start: float, peak: float, end: float, confidence: float = 0.5) -> Segment:
    return Segment(start=start, end=end, label="positive", confidence=confidence, peak=peak)


def video(**changes: object) -> VideoInfo:
    known = {"duration": 8.0, "fps": 25.0, "width": 64, "height": 48, "has_audio": True}
    return VideoInfo(**{**known, "audio_track": TRACK, **changes})  # type: ignore[arg-type]


def features(audio: int, seen: int) -> SnippetFeatures:
    return SnippetFeatures(
        visual=None,
        audio=np.zeros((audio, 4, 8), np.float32),
        face=None,
        visual_present=np.zeros(3, np.bool_),
        audio_present=np.ones(3, np.bool_),
        face_present=np.zeros(seen, np.bool_),
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: segment(-0.1, 1.0, 2.0), "out of order"),
        (lambda: segment(2.0, 1.0, 3.0), "out of order"),
        (lambda: segment(1.0, 3.0, 2.0), "out of order"),
        (lambda: segment(0.0, float("nan"), 2.0), "out of order"),
        (lambda: segment(0.0, 1.0, 2.0, 1.001), "not a probability"),
        (lambda: segment(0.0, 1.0, 2.0, -0.001), "not a probability"),
        (lambda: segment(0.0, 1.0, 2.0, float("nan")), "not a probability"),
        (lambda: features(2, 3), "disagree on time: 2 and 3"),
        (lambda: features(3, 4), "disagree on time: 4 and 3"),
        (lambda: FrameScores(scores=np.zeros(3, np.float32), saliency=np.zeros(3, np.float32)), "not agree"),
        (
            lambda: FrameScores(scores=np.zeros((3, 3), np.float32), saliency=np.zeros(2, np.float32)),
            "not agree",
        ),
        (lambda: parse_video(asdict(video(timebase="0/1"))), "not a rate"),
        (lambda: parse_video(asdict(video(timebase="-25/1"))), "not a rate"),
    ],
)
def test_impossible_values_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_values_at_the_bounds_are_possible() -> None:
    assert [segment(0.0, 0.0, 0.0, sure).confidence for sure in (0.0, 1.0)] == [0.0, 1.0]
    assert len(features(3, 3)) == 3
    assert parse_video(asdict(video(timebase="1/2"))).rate == 0.5


def test_a_video_reads_back_and_only_a_stored_one_may_have_later_fields() -> None:
    raw = {**asdict(video()), "later": 1}
    raw["audio_track"] = {**raw["audio_track"], "numbers": [1, 2], "later": 2}
    assert parse_stored_video(raw) == video()
    assert parse_stored_video({**raw, "audio_track": None}) == video(audio_track=None)
    with pytest.raises(TypeError):
        parse_video(raw)


def test_suppression_keeps_what_overlaps_each_better_survivor_less_than_asked() -> None:
    starts = np.array([0.0, 5.0, 20.0, 4.0, 30.0])
    ends = np.array([10.0, 15.0, 25.0, 14.0, 40.0])
    scores = np.array([0.9, 0.8, 0.5, 0.7, 0.95])
    # The tIoU of 0 and 1 is 5/15, of 0 and 3 it is 6/14, of 1 and 3 it is 9/11.
    assert suppress(starts, ends, scores, 0.5, 0.0).tolist() == [4, 0, 1, 2]
    assert suppress(starts, ends, scores, 5 / 15, 0.0).tolist() == [4, 0, 2]
    # With an offset of 1, that of 0 and 1 is 6/16.
    assert suppress(starts, ends, scores, 0.36, 1.0).tolist() == [4, 0, 2]
    assert suppress(starts, ends, scores, 0.38, 1.0).tolist() == [4, 0, 1, 2]


def test_disjoint_keeps_the_best_of_those_that_overlap_and_all_that_touch() -> None:
    starts = np.array([0.0, 5.0, 10.0, 14.0, 2.0])
    ends = np.array([5.0, 10.0, 14.0, 18.0, 3.0])
    scores = np.array([0.5, 0.9, 0.6, 0.7, 0.4])
    assert disjoint(starts, ends, scores).tolist() == [1, 3, 2, 0]
    # In a tie the last one comes first.
    assert disjoint(starts, ends, np.full(5, 0.5)).tolist() == [4, 3, 2, 1]
    assert disjoint(starts[:0], ends[:0], scores[:0]).tolist() == []


def test_a_run_is_higher_than_its_threshold_and_equal_runs_count_once() -> None:
    curve = np.array([0.9, 0.5, 0.1, 0.6, 0.6])
    runs = threshold_runs(curve, (0.05, 0.1, 0.1, 0.5))
    assert list(zip(runs.start.tolist(), runs.stop.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 5), (3, 5)]


@pytest.mark.parametrize(
    ("start", "stop", "least_margin", "expected"),
    [
        (2, 8, 0, 1 - 0.4 / 3),
        (2, 8, 1, 1 - 0.4 / 2),
        (2, 10, 1, (6 + 0.2 + 0.3) / 8 - (0.1 + 0.2 + 0.2 + 0.1) / 4),
        (4, 7, 0, 1.0),
        (4, 7, 1, 1.0 - 2 / 2),
        (0, 4, 1, (0.1 + 0.2 + 2) / 4 - 1 / 2),
        (8, 12, 0, (0.2 + 0.3 + 0.2 + 0.1) / 4 - 1 / 2),
    ],
)
def test_contrast_is_the_mean_inside_less_the_sum_around(
    start: int, stop: int, least_margin: int, expected: float
) -> None:
    curve = np.array([0.1, 0.2, *[1.0] * 6, 0.2, 0.3, 0.2, 0.1])
    runs = Runs(np.array([start]), np.array([stop]))
    assert outer_inner_contrast(curve, runs, least_margin) == pytest.approx([expected])
