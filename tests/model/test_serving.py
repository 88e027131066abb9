"""The serving rule: hand-computed curves, and properties that hold for any curve."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.proposals.proposals import propose
from sentiloc.model.proposals.rule import (
    DEFAULT_RULE,
    ServingRule,
    _contrast,
    find_peak,
    fuse,
    select_segments,
    serving_proposals,
    share_unseen,
    smooth,
)
from sentiloc.model.segments import FrameScores, Segment

STEP = 0.64
ONE_LEVEL = replace(DEFAULT_RULE, levels=(0.5,), merge_gap=0.0)

SPANS = ((0.0, 1.0), (0.5, 1.5), (1.4, 1.9), (1.5, 2.0))


def frame_scores(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> FrameScores:
    """Scores that have the two given fused curves."""
    scores = np.stack([negative, positive, np.zeros(len(negative))], axis=1)
    return FrameScores(scores=scores.astype(np.float32), saliency=np.ones(len(negative), np.float32))


def plateaus(length: int, *spans: tuple[int, int, float]) -> NDArray[np.float64]:
    curve = np.full(length, 0.02)
    for start, stop, height in spans:
        curve[start:stop] = height
    return curve


def select(scores: FrameScores, threshold: float = 0.0) -> list[Segment]:
    return select_segments(scores, STEP, threshold=threshold)


def ranges(curve: NDArray[np.float64], rule: ServingRule) -> list[tuple[float, float]]:
    """Start and end of the candidates on one fused curve, in order of time."""
    scores = frame_scores(np.zeros(len(curve)), curve)
    found = serving_proposals(scores.scores, scores.saliency, STEP, rule=rule)
    return sorted((row.start, row.end) for row in found)


@st.composite
def any_scores(draw: st.DrawFn) -> FrameScores:
    length = draw(st.integers(1, 80))
    seed = draw(st.integers(0, 2**32 - 1))
    roughness = draw(st.floats(0.05, 3.0))
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(length, 4)) * roughness, axis=0)
    values = 1 / (1 + np.exp(-walk))
    return FrameScores(scores=values[:, :3].astype(np.float32), saliency=values[:, 3].astype(np.float32))


def test_two_plateaus_are_two_segments_at_their_half_heights() -> None:
    quiet = np.full(100, 0.02)
    found = select(frame_scores(plateaus(100, (60, 80, 0.8)), plateaus(100, (10, 30, 0.9))))
    assert [row.label for row in found] == ["positive", "negative"]
    for row, (start, stop) in zip(found, [(10, 30), (60, 80)], strict=True):
        assert row.start == pytest.approx(start * STEP, abs=STEP)
        assert row.end == pytest.approx(stop * STEP, abs=STEP)
        assert row.start < row.peak < row.end
        assert row.confidence > 0.6
    assert select(frame_scores(quiet, quiet)) == []


def test_a_dip_does_not_split_and_a_silence_does() -> None:
    dip = plateaus(60, (10, 40, 0.8))
    dip[25] = 0.6
    assert len(select(frame_scores(np.zeros(60), dip))) == 1
    dip[22:30] = 0.02
    assert len(select(frame_scores(np.zeros(60), dip))) == 2


@pytest.mark.parametrize(
    ("height", "dip", "count"), [(0.5, 0.5, 1), (0.49, 0.49, 0), (0.8, 0.41, 1), (0.8, 0.39, 2)]
)
def test_a_candidate_reaches_its_level_and_falls_below_it_by_at_most_the_hysteresis(
    height: float, dip: float, count: int
) -> None:
    curve = plateaus(60, (10, 50, height))
    curve[25:35] = dip
    assert len(ranges(curve, ONE_LEVEL)) == count


def test_pauses_up_to_the_gap_are_bridged_within_a_level() -> None:
    curve = plateaus(80, (10, 20, 0.8), (24, 34, 0.8))
    (first, pause), (resumed, last) = ranges(curve, ONE_LEVEL)
    gap = resumed - pause
    assert ranges(curve, replace(ONE_LEVEL, merge_gap=gap)) == [(first, last)]
    assert len(ranges(curve, replace(ONE_LEVEL, merge_gap=gap - 0.01))) == 2


def test_a_candidate_at_the_edge_of_the_video_reaches_it() -> None:
    ((start, _), (_, end)) = ranges(plateaus(40, (0, 10, 0.6), (30, 40, 0.6)), ONE_LEVEL)
    assert (start, end) == (0.0, 40 * STEP)


def test_the_peak_may_lie_in_a_snippet_that_the_segment_only_touches() -> None:
    curve = np.array([0.1, 0.3, 0.2, 0.9, 0.1])
    assert find_peak(curve, 0.0, 3.2, 1.0) == 3.2
    assert find_peak(curve, 0.0, 3.0, 1.0) == 1.5
    assert find_peak(curve, 3.7, 5.0, 1.0) == 3.7


def test_merge_gap_joins_and_min_length_drops() -> None:
    curve = plateaus(80, (10, 20, 0.8), (24, 34, 0.8), (60, 62, 0.8))
    scores = frame_scores(np.zeros(80), curve)
    assert len(select(scores)) == 3
    assert len(select_segments(scores, STEP, threshold=0.0, merge_gap=5 * STEP)) == 2
    assert len(select_segments(scores, STEP, threshold=0.0, min_length=3.0)) == 2


def test_a_join_weighs_confidence_by_length() -> None:
    scores = frame_scores(np.zeros(80), plateaus(80, (10, 34, 0.95), (38, 42, 0.6)))
    long, short = select(scores)
    (joined,) = select_segments(scores, STEP, threshold=0.0, merge_gap=6 * STEP)
    lengths = [long.end - long.start, short.end - short.start]
    expected = np.average([long.confidence, short.confidence], weights=lengths)
    assert (joined.start, joined.end) == (long.start, short.end)
    assert joined.confidence == pytest.approx(expected)


def test_segments_are_not_joined_across_another_label_even_if_it_is_not_shown() -> None:
    scores = frame_scores(plateaus(80, (34, 38, 0.5)), plateaus(80, (10, 30, 0.95), (42, 62, 0.95)))
    first, between, last = select_segments(scores, STEP, threshold=0.0, merge_gap=20 * STEP)
    assert [first.label, between.label, last.label] == ["positive", "negative", "positive"]
    shown = select_segments(scores, STEP, threshold=between.confidence + 0.01, merge_gap=20 * STEP)
    assert shown == [first, last]


def test_a_candidate_that_would_lose_more_than_half_is_dropped() -> None:
    better = plateaus(80, (10, 32, 0.95))
    assert len(select(frame_scores(plateaus(80, (26, 60, 0.7)), better))) == 2
    assert len(select(frame_scores(plateaus(80, (14, 36, 0.7)), better))) == 1


def test_a_shorter_minimum_lets_a_flash_through() -> None:
    scores = frame_scores(np.zeros(40), plateaus(40, (20, 21, 0.9)))
    short = select_segments(scores, 0.2, threshold=0.0, min_length=0.3)
    assert len(short) == 1
    assert select_segments(scores, 0.2, threshold=0.0) == []


def test_the_less_confident_of_two_overlapping_labels_is_cut() -> None:
    scores = frame_scores(plateaus(80, (28, 60, 0.7)), plateaus(80, (10, 32, 0.95)))
    first, second = select(scores)
    assert (first.label, second.label) == ("positive", "negative")
    assert first.end == pytest.approx(32 * STEP, abs=STEP)
    assert second.start == pytest.approx(first.end)
    inside = select(frame_scores(plateaus(80, (20, 24, 0.5)), plateaus(80, (10, 40, 0.95))))
    assert [row.label for row in inside] == ["positive"]


def test_confidence_is_the_calibrated_score() -> None:
    scores = frame_scores(np.zeros(60), plateaus(60, (10, 30, 0.9)))
    (raw,) = select(scores)
    platt = Calibration(method="platt", slope=4.0, intercept=-3.0)
    (row,) = select_segments(scores, STEP, threshold=0.0, calibration=platt)
    assert row.confidence == pytest.approx(platt.apply(raw.confidence))
    assert select_segments(scores, STEP, threshold=row.confidence + 0.01, calibration=platt) == []


def test_only_segments_without_a_face_lose_confidence() -> None:
    scores = frame_scores(plateaus(40, (5, 15, 0.8)), plateaus(40, (25, 35, 0.8)))
    calibration = Calibration(method="platt", slope=4.0, intercept=-1.0, without_face=-1.0)
    seen = np.arange(40) < 20
    plain = select_segments(scores, 0.64, threshold=0.0, calibration=calibration)
    told = select_segments(scores, 0.64, threshold=0.0, calibration=calibration, face_present=seen)
    assert [(s.label, s.start, s.end) for s in told] == [(s.label, s.start, s.end) for s in plain]
    assert told[0].confidence == pytest.approx(plain[0].confidence)
    odds = [s.confidence / (1 - s.confidence) for s in (plain[1], told[1])]
    assert np.log(odds[0] / odds[1]) == pytest.approx(1.0)


def test_a_share_without_a_face_counts_parts_of_snippets() -> None:
    rows = [Segment(start=a, end=b, label="negative", confidence=1.0, peak=a) for a, b in SPANS]
    seen = np.array([True, False, False, True])
    np.testing.assert_allclose(share_unseen(seen, rows, 0.5), [0.5, 1.0, 0.2, 0.0])
    np.testing.assert_array_equal(share_unseen((), rows, 0.5), np.zeros(4))


def test_segments_end_with_the_video_and_one_snippet_may_be_one() -> None:
    all_high = frame_scores(np.zeros(10), np.full(10, 0.9))
    (row,) = select_segments(all_high, STEP, threshold=0.5, duration=6.1)
    assert (row.start, row.end) == (0.0, 6.1)
    short = frame_scores(np.zeros(1), np.full(1, 0.9))
    (row,) = select_segments(short, STEP, threshold=0.5, duration=0.04)
    assert (row.start, row.end) == (0.0, 0.04)


def test_labels_pick_among_the_same_segments() -> None:
    scores = frame_scores(plateaus(80, (28, 60, 0.7)), plateaus(80, (10, 32, 0.95)))
    both = select(scores)
    negative = select_segments(scores, STEP, threshold=0.0, labels={"negative"})
    assert negative == [row for row in both if row.label == "negative"]


@given(any_scores(), st.floats(0, 1), st.floats(0.2, 2.0))
def test_sorted_inside_the_video_and_without_overlap(
    scores: FrameScores, threshold: float, seconds: float
) -> None:
    duration = len(scores.saliency) * seconds * 0.97
    found = select_segments(scores, seconds, threshold=threshold, duration=duration)
    for row in found:
        assert 0 <= row.start <= row.peak <= row.end <= duration
        assert row.end - row.start >= min(DEFAULT_RULE.min_length, duration) - 1e-9
        assert row.confidence >= threshold - 1e-9
    for before, after in pairwise(found):
        assert before.end <= after.start


@given(any_scores(), st.floats(0, 1), st.floats(0, 1), st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_a_higher_threshold_covers_less(
    scores: FrameScores, one: float, two: float, gap: float, length: float
) -> None:
    few, many = (
        select_segments(scores, STEP, threshold=threshold, merge_gap=gap, min_length=length)
        for threshold in (max(one, two), min(one, two))
    )
    for row in few:
        assert any(
            other.label == row.label and other.start <= row.start and row.end <= other.end for other in many
        )


@given(any_scores())
def test_proposals_are_ranked_and_scores_can_be_calibrated(scores: FrameScores) -> None:
    found = serving_proposals(scores.scores, scores.saliency, STEP)
    assert all(0 <= row.score <= 1 and 0 <= row.start < row.end for row in found)
    assert [row.score for row in found] == sorted((row.score for row in found), reverse=True)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(5, 30), st.integers(5, 20), st.floats(0.4, 0.95)), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_jitter_neither_splits_nor_moves_segments(spans: list[tuple[int, int, float]], seed: int) -> None:
    pieces = [np.append(np.zeros(gap), np.full(length, height)) for gap, length, height in spans]
    curve = np.concatenate([*pieces, np.zeros(6)])
    # With it, pauses stay below the lowest level less the hysteresis (0.05). Where they reach it, they may be bridged.
    noise = np.random.default_rng(seed).uniform(-0.049, 0.049, curve.size)
    clean = select(frame_scores(np.zeros(curve.size), curve), 0.2)
    noisy = select(frame_scores(np.zeros(curve.size), curve + noise), 0.2)
    assert len(clean) == len(noisy) == len(spans)
    for one, other in zip(clean, noisy, strict=True):
        assert one.start == pytest.approx(other.start, abs=STEP)
        assert one.end == pytest.approx(other.end, abs=STEP)


def test_fused_curve_is_the_mean_of_both_views() -> None:
    fused = fuse(np.array([[0.2, 0.8, 0.5]]), np.array([0.7]))
    np.testing.assert_allclose(fused, [[0.2 * 0.6, 0.8 * 0.6]])


def test_smoothing_keeps_a_constant_and_the_mean_of_a_spike() -> None:
    np.testing.assert_allclose(smooth(np.full(5, 0.3)), 0.3)
    np.testing.assert_allclose(smooth(np.array([0.0, 0, 1, 0, 0])), [0, 0.25, 0.5, 0.25, 0])


def test_rules_go_by_name() -> None:
    scores = np.stack([np.zeros(60), plateaus(60, (10, 30, 0.9)), np.full(60, 0.1)], axis=1)
    (row,) = [row for row in propose(scores, np.array([0.1, 0.9]), 25.0, "serving") if row.score > 0.5]
    assert row.label == "positive"
    assert row in serving_proposals(scores, 1 - scores[:, 2], 16 / 25)
    with pytest.raises(SentilocError) as caught:
        propose(scores, np.array([0.1, 0.9]), 25.0, "other")
    assert caught.value.code is ErrorCode.INVALID_DATA


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SentilocError, match="do not go together"):
        serving_proposals(np.zeros((4, 3)), np.zeros(5), STEP)
    with pytest.raises(SentilocError, match="not finite"):
        serving_proposals(np.full((4, 3), np.nan), np.zeros(4), STEP)


def test_contrast_is_the_mean_inside_times_one_less_the_mean_around() -> None:
    curve = np.array([0.2, 0.2, 0.8, 0.8, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2])
    start, end = np.array([2.0, 0.0]), np.array([4.0, 10.0])
    found = _contrast(curve, start, end, step=1.0, duration=10.0, outer_margin=0.5)
    assert found == pytest.approx([0.8 * (1 - 0.2), curve.mean()])
    # A short range is compared with a whole snippet on either side.
    short = _contrast(curve, np.array([2.75]), np.array([3.25]), step=1.0, duration=10.0, outer_margin=0.5)
    assert short == pytest.approx([0.8 * (1 - (0.75 * 0.8 + 0.25 * 0.2))])
    loud = np.where(curve > 0.5, curve, 1.5)
    assert _contrast(loud, start[:1], end[:1], step=1.0, duration=10.0, outer_margin=0.5) == pytest.approx(
        [0]
    )
