"""The benchmark's proposal rule: outputs of the reference program, and hand-computed cases."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.proposals import propose
from sentiloc.model.proposals.tsl300 import (
    find_runs,
    present_classes,
    tsl300_proposals,
    upsample,
    video_scores,
)
from tests.model.tsl300_loop import loop_proposals
from tests.support.shared_files import golden_folder


def test_proposals_equal_the_reference_programs() -> None:
    folder = golden_folder("tsl300_protocol")
    inputs = np.load(folder / "proposal_inputs.npz")
    expected = json.loads((folder / "proposal_outputs.json").read_text(encoding="utf-8"))
    for name, rows in expected.items():
        found = propose(
            inputs[f"{name}__cas"], inputs[f"{name}__score"], float(inputs[f"{name}__fps"]), "tsl300"
        )
        assert [row.label for row in found] == [row["label"] for row in rows]
        np.testing.assert_allclose(
            [row[1:] for row in found], [[row["score"], *row["segment"]] for row in rows], rtol=0, atol=1e-6
        )
        np.testing.assert_allclose(
            video_scores(inputs[f"{name}__cas"]), inputs[f"{name}__score"], rtol=0, atol=1e-12
        )


def test_constant_curve_is_one_proposal_that_spans_the_video() -> None:
    scores = np.tile([0.2, 0.8, 0.25], (10, 1))
    (proposal,) = tsl300_proposals(scores, np.array([0.2, 0.8]), fps=30.0)
    assert proposal.label == "p"
    assert proposal.score == pytest.approx(0.8 * 0.75 + 0.3 * 0.8)
    assert (proposal.start, proposal.end) == pytest.approx((0.0, 160 / 30))


@pytest.mark.parametrize("fps", [23.976, 25.0, 30.0])
@pytest.mark.parametrize("snippets", [2, 3, 9, 40])
def test_equals_plain_loops_on_random_curves(snippets: int, fps: float) -> None:
    rng = np.random.default_rng(snippets)
    for _ in range(5):
        smooth = np.cumsum(rng.normal(size=(snippets, 3)), axis=0)
        scores = 1 / (1 + np.exp(-smooth))
        class_scores = rng.random(2)
        found = tsl300_proposals(scores, class_scores, fps)
        expected = loop_proposals(scores, class_scores, fps)
        assert [row.label for row in found] == [row.label for row in expected]
        np.testing.assert_allclose(
            np.array([row[1:] for row in found]), np.array([row[1:] for row in expected]), rtol=0, atol=1e-9
        )


@pytest.mark.parametrize(
    ("class_scores", "expected"),
    [([0.5, 0.5], [0, 1]), ([0.4, 0.9], [1]), ([0.49, 0.48], [0]), ([0.3, 0.3], [0])],
)
def test_classes_below_one_half_are_left_out_unless_none_reaches_it(
    class_scores: list[float], expected: list[int]
) -> None:
    assert present_classes(np.array(class_scores)).tolist() == expected


def test_upsampling_interpolates_and_extrapolates_the_last_snippet() -> None:
    fine = upsample(np.array([0.0, 0.24, 0.48]))
    assert fine.shape == (72,)
    np.testing.assert_allclose(fine, np.arange(72) * 0.01, atol=1e-12)


def test_runs_follow_the_rows_and_a_lone_first_sample_is_none() -> None:
    mask = np.array([[1, 0, 0, 0], [1, 0, 1, 1], [0, 1, 1, 0]], dtype=bool)
    runs = find_runs(mask)
    assert list(zip(*(part.tolist() for part in runs), strict=True)) == [(1, 0, 1), (1, 2, 4), (2, 1, 3)]


def test_video_score_of_a_short_video_is_its_best_snippet() -> None:
    scores = np.array([[0.1, 0.9, 0.0], [0.3, 0.2, 0.0]])
    np.testing.assert_allclose(video_scores(scores), [0.3, 0.9])
    assert video_scores(np.tile(scores, (8, 1)))[1] == pytest.approx(0.9)


def test_one_snippet_and_a_silent_curve_have_no_proposals() -> None:
    assert tsl300_proposals(np.full((1, 3), 0.5), np.array([0.9, 0.9]), 25.0) == []
    never = np.tile([0.0, 0.0, 1.0], (12, 1))
    assert tsl300_proposals(never, np.array([0.9, 0.9]), 25.0) == []


@pytest.mark.parametrize(
    ("shape", "class_scores", "fps"),
    [
        ((0, 3), [0.1, 0.2], 25.0),
        ((4, 2), [0.1, 0.2], 25.0),
        ((4, 3), [0.1], 25.0),
        ((4, 3), [0.1, 0.2], 0.0),
    ],
)
def test_wrong_shapes_and_rates_are_named(
    shape: tuple[int, int], class_scores: list[float], fps: float
) -> None:
    with pytest.raises(SentilocError) as caught:
        tsl300_proposals(np.zeros(shape), np.array(class_scores), fps)
    assert caught.value.code is ErrorCode.INVALID_DATA


def test_values_that_are_not_finite_are_refused() -> None:
    scores = np.full((4, 3), 0.5)
    scores[2, 1] = np.nan
    with pytest.raises(SentilocError, match="not finite"):
        tsl300_proposals(scores, np.array([0.9, 0.9]), 25.0)
