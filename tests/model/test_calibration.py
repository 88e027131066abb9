"""Calibration: hand-computed steps, recovery of a known curve, monotone for any sample, stored exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.calibration import (
    Calibration,
    Method,
    expected_calibration_error,
    fit_calibration,
    parse_calibration,
    pool_adjacent_violators,
)

samples = st.lists(st.tuples(st.floats(-2, 2), st.booleans()), min_size=1, max_size=60)
methods = st.sampled_from(["isotonic", "platt"])


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


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_recovers_a_known_curve_on_unseen_scores(method: Method) -> None:
    found = fit_calibration(*sample(0), method=method)
    scores, correct = sample(1)
    assert expected_calibration_error(found.probabilities(scores), correct) < 0.03
    assert expected_calibration_error(scores, correct) > 0.1


def test_platt_finds_slope_and_intercept() -> None:
    found = fit_calibration(*sample(2, 40_000), method="platt")
    assert found.slope == pytest.approx(6, abs=0.25)
    assert found.intercept == pytest.approx(-4, abs=0.2)


@given(samples, methods, st.lists(st.floats(-3, 3), min_size=2, max_size=20))
def test_monotone_and_a_probability(pairs: list[tuple[float, bool]], method: Method, at: list[float]) -> None:
    scores, correct = zip(*pairs, strict=True)
    values = fit_calibration(scores, correct, method).probabilities(np.sort(at))
    assert (np.diff(values) >= -1e-12).all()
    assert ((values >= 0) & (values <= 1)).all()


@given(samples, methods)
def test_json_keeps_every_digit(pairs: list[tuple[float, bool]], method: Method) -> None:
    scores, correct = zip(*pairs, strict=True)
    found = fit_calibration(scores, correct, method)
    assert parse_calibration(found.to_json()) == found


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
        '{"knots": [[1, 2, 3]]}',
        '{"other": 1}',
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
