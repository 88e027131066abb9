"""Calibration: hand-computed steps, recovery of a known curve, monotone for any sample, stored exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.evaluation.confidence import fit_confidence
from sentiloc.model.evaluation.metrics import GroundTruthSegment
from sentiloc.model.proposals.calibration import (
    Calibration,
    Fit,
    expected_calibration_error,
    fit_calibration,
    fit_without_face,
    parse_calibration,
    pool_adjacent_violators,
)
from sentiloc.model.segments import Proposal

samples = st.lists(st.tuples(st.floats(-2, 2), st.booleans()), min_size=1, max_size=60)
methods = st.sampled_from(["isotonic", "platt", "smooth"])


def sample(seed: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 1, size)
    return scores, rng.random(size) < 1 / (1 + np.exp(-(6 * scores - 4)))


def test_pooling_by_hand() -> None:
    pooled = pool_adjacent_violators(np.array([0.2, 0.8, 0.4, 0.6, 0.9]), np.array([1.0, 1.0, 3.0, 1.0, 1.0]))
    np.testing.assert_allclose(pooled, [0.2, 0.5, 0.5, 0.6, 0.9])


def test_isotonic_steps_by_hand() -> None:
    found = fit_calibration([0.1, 0.2, 0.3, 0.4], [False, True, False, True])
    np.testing.assert_allclose(found.knots, [(0.1, 1 / 6), (0.2, 0.5), (0.3, 0.5), (0.4, 5 / 6)])
    assert found.apply(0.25) == pytest.approx(0.5)
    assert found.apply(-1) == pytest.approx(1 / 6)
    assert found.apply(9) == pytest.approx(5 / 6)


@pytest.mark.parametrize("method", ["isotonic", "platt", "smooth"])
def test_recovers_a_known_curve_on_unseen_scores(method: Fit) -> None:
    found = fit_calibration(*sample(0), method=method)
    scores, correct = sample(1)
    assert expected_calibration_error(found.probabilities(scores), correct) < 0.03
    assert expected_calibration_error(scores, correct) > 0.1


def test_the_default_threshold_counts_a_true_segment_once() -> None:
    """Weaker proposals on a segment that is found already are false alarms, as in the F1 of a benchmark."""
    truth = {name: [GroundTruthSegment("joy", 0.0, 10.0)] for name in "abcd"}
    found = {name: [Proposal("joy", 0.5, 0.0, 7.0), Proposal("joy", 0.9, 0.0, 10.0)] for name in "abcd"}
    assert fit_confidence(found, truth).threshold == 0.9
    for segments in truth.values():
        segments.append(GroundTruthSegment("joy", 0.0, 6.0))
    assert fit_confidence(found, truth).threshold == 0.5


def test_platt_finds_slope_and_intercept() -> None:
    found = fit_calibration(*sample(2, 40_000), method="platt")
    assert found.slope == pytest.approx(6, abs=0.25)
    assert found.intercept == pytest.approx(-4, abs=0.2)


# The first fit of a process imports SciPy.
@settings(deadline=None)
@given(samples, methods, st.lists(st.floats(-3, 3), min_size=2, max_size=20))
def test_monotone_and_a_probability(pairs: list[tuple[float, bool]], method: Fit, at: list[float]) -> None:
    scores, correct = zip(*pairs, strict=True)
    values = fit_calibration(scores, correct, method).probabilities(np.sort(at))
    assert (np.diff(values) >= -1e-12).all()
    assert ((values >= 0) & (values <= 1)).all()


# The first fit of a process imports SciPy.
@settings(deadline=None)
@given(samples, methods)
def test_json_keeps_every_digit(pairs: list[tuple[float, bool]], method: Fit) -> None:
    scores, correct = zip(*pairs, strict=True)
    found = fit_calibration(scores, correct, method)
    assert parse_calibration(found.to_json()) == found


def largest_step(found: Calibration) -> float:
    """How far the probability moves within a thousandth of the score."""
    return float(np.diff(found.probabilities(np.linspace(0, 1, 1001))).max())


def test_a_smooth_fit_does_not_jump_where_steps_do() -> None:
    scores, correct = sample(3, 1500)
    assert largest_step(fit_calibration(scores, correct, "isotonic")) > 0.04
    assert largest_step(fit_calibration(scores, correct, "smooth")) < 0.01


def test_a_smooth_fit_goes_through_the_centres_of_its_bins() -> None:
    scores = np.concatenate([np.full(60, 0.2), np.full(60, 0.6)])
    correct = np.concatenate([np.arange(60) < 15, np.arange(60) < 45])
    found = fit_calibration(scores, correct, "smooth")
    assert found.apply(0.2) == pytest.approx(15.5 / 61)
    assert found.apply(0.4) == pytest.approx(0.5)
    assert found.apply(0.6) == pytest.approx(45.5 / 61)


def test_older_releases_read_what_a_smooth_fit_stores() -> None:
    raw = json.loads(fit_calibration(*sample(4), "smooth").to_json())
    assert set(raw) == {"method", "knots", "slope", "intercept", "calibrated"}
    assert raw["method"] == "isotonic"


def test_without_a_face_the_log_odds_fall_in_its_share() -> None:
    found = Calibration(method="platt", slope=0.0, intercept=1.0, without_face=-0.5)
    sure = found.probabilities(np.zeros(3), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(np.log(sure / (1 - sure)), [1.0, 0.75, 0.5])
    assert found.apply(0.0) == pytest.approx(1 / (1 + np.exp(-1)))
    assert parse_calibration(found.to_json()) == found


def test_the_shift_of_sound_alone_is_found() -> None:
    rng = np.random.default_rng(5)
    known = Calibration(method="platt", slope=6.0, intercept=-3.0, without_face=-0.8)
    scores, unseen = rng.uniform(0, 1, 20_000), (rng.random(20_000) < 0.3).astype(float)
    correct = rng.random(20_000) < known.probabilities(scores, unseen)
    assert fit_without_face(known, scores, correct, unseen).without_face == pytest.approx(-0.8, abs=0.1)
    assert fit_without_face(known, scores, correct, np.zeros(20_000)).without_face == 0


@pytest.mark.parametrize("count", [20, 60, 200, 2000])
@pytest.mark.parametrize("sure", [-8.0, -4.6, 4.6, 8.0])
def test_the_loss_without_a_face_is_found_where_the_score_is_very_sure(count: int, sure: float) -> None:
    """Half of these are right. A normal prior keeps the shift below what would make it even odds."""
    known, scores = Calibration(method="platt"), np.full(count, sure)
    correct, unseen = np.tile([0.0, 1.0], count // 2), np.ones(count)
    shift = fit_without_face(known, scores, correct, unseen).without_face
    pull = count * (0.5 - 1 / (1 + np.exp(-(sure + shift))))
    assert pull == pytest.approx(shift, abs=1e-6)
    assert abs(shift) < abs(sure)


def test_calibration_error_by_hand() -> None:
    assert expected_calibration_error([0.8, 0.8, 0.2, 0.2], [True, False, False, False]) == pytest.approx(
        0.25
    )
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0


def test_without_a_fit_the_score_is_clipped() -> None:
    assert [Calibration().apply(score) for score in (-0.5, 0.3, 1.5)] == [0.0, 0.3, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"method": "magic"}',
        '{"method": "isotonic"}',
        '{"method": "isotonic", "knots": [[0, 0.9], [1, 0.1]]}',
        '{"method": "platt", "slope": -1}',
        '{"method": "platt", "slope": NaN}',
        '{"method": "platt", "without_face": NaN}',
        '{"knots": [[1, 2, 3]]}',
        '{"method": "isotonic", "knots": [[1' + "0" * 400 + ", 1]]}",
        '{"other": 1}',
        '{"calibrated": NaN}',
        '{"calibrated": "no"}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SentilocError) as caught:
        parse_calibration(text)
    assert caught.value.code is ErrorCode.SPEC_MISMATCH


def test_an_empty_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot calibrate"):
        fit_calibration([], [])
    with pytest.raises(ValueError, match="cannot compare"):
        expected_calibration_error([0.5], [True, False])
    with pytest.raises(ValueError, match="outcomes 0 or 1"):
        fit_calibration([0.5, 0.6], [1, np.nan])


@pytest.mark.parametrize("probability", [np.nan, -0.01, 1.01])
def test_the_calibration_error_refuses_values_that_are_no_probabilities(probability: float) -> None:
    with pytest.raises(ValueError, match=r"probabilities must be in \[0, 1\]"):
        expected_calibration_error([0.5, probability], [1, 0])
