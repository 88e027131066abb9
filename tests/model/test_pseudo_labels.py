"""Equations 7 and 8 on hand-computed numbers."""

from __future__ import annotations

import pytest
import torch

from sentiloc.model.fsenet.pseudo_labels import (
    Inside,
    boundary_scores,
    combine,
    pseudo_labels,
    threshold_scores,
)

INSIDE: tuple[Inside, ...] = ("sum", "max", "step")


def points_at(time: int, *places: tuple[int, int]) -> torch.Tensor:
    points = torch.zeros(1, time, 2, dtype=torch.bool)
    for step, index in places:
        points[0, step, index] = True
    return points


def test_equation_7_falls_linearly_from_one_to_beta_and_is_zero_beyond_w() -> None:
    scores = boundary_scores(points_at(7, (2, 1)), w=2, beta=0.6)
    assert scores[0, :, 1].tolist() == pytest.approx([0.6, 0.8, 1.0, 0.8, 0.6, 0.0, 0.0])
    assert not scores[0, :, 0].any()


def test_overlapping_windows_of_a_class_take_the_maximum() -> None:
    scores = boundary_scores(points_at(6, (1, 0), (4, 0)), w=2, beta=0.5)
    assert scores[0, :, 0].tolist() == pytest.approx([0.75, 1.0, 0.75, 0.75, 1.0, 0.75])


def test_window_may_be_longer_than_the_video() -> None:
    assert boundary_scores(points_at(1, (0, 0)), w=7, beta=0.6).shape == (1, 1, 2)


def test_threshold_zeroes_sentiment_only_where_non_sentiment_exceeds_tau() -> None:
    scores = torch.tensor([[[0.3, 0.2, 0.96], [0.3, 0.2, 0.95]]], requires_grad=True)
    own = threshold_scores(scores, tau=0.95)
    assert own.tolist() == [[pytest.approx([0, 0, 0.96]), pytest.approx([0.3, 0.2, 0.95])]]
    assert not own.requires_grad


def test_equation_8_adds_clips_and_gives_non_sentiment_one_minus_s() -> None:
    own = torch.tensor([[[0.1, 0.3, 0.2], [0.1, 0.3, 0.9], [0.1, 0.3, 0.4]]])
    boundary = torch.tensor([[[0.0, 1.0], [0.0, 0.6], [0.0, 0.0]]])
    labels = combine(own, boundary)
    expected = [[0.1, 1.0, 0.2], [0.1, 0.9, 1.0], [0.1, 0.3, 0.4]]
    assert torch.allclose(labels, torch.tensor([expected]))


def test_non_sentiment_takes_one_minus_the_larger_of_two_classes() -> None:
    own, boundary = torch.zeros(1, 1, 3), torch.tensor([[[0.7, 0.9]]])
    assert combine(own, boundary)[0, 0].tolist() == pytest.approx([0.7, 0.9, 0.1])


def test_own_non_sentiment_can_be_kept_out_of_the_windows() -> None:
    own = torch.tensor([[[0.0, 0.0, 0.9], [0.0, 0.0, 0.9]]])
    boundary = torch.tensor([[[0.8, 0.0], [0.0, 0.0]]])
    assert combine(own, boundary, add_inside=False)[0, :, 2].tolist() == pytest.approx([0.2, 0.9])


def rows(kind: str) -> list[list[float]]:
    scores = torch.tensor([[[0.4, 0.5, 0.99], [0.4, 0.5, 0.99], [0.4, 0.5, 0.3]]])
    points, classes = points_at(3, (0, 1)), torch.tensor([[False, True]])
    labels = pseudo_labels(scores, points, classes, kind=kind, w=1, beta=0.5)  # type: ignore[arg-type]
    return [[round(value, 4) for value in row] for row in labels[0].tolist()]


def test_the_four_rows_of_table_6() -> None:
    assert rows("none") == [[0, 1, 0.99], [0, 0.5, 0.99], [0, 0.5, 0.3]]
    assert rows("threshold") == [[0, 1, 0.99], [0, 0, 0.99], [0, 0.5, 0.3]]
    assert rows("step") == [[0, 1, 0], [0, 0.5, 0.5], [0, 0, 0]]
    assert rows("full") == [[0, 1, 0.99], [0, 0.5, 1.0], [0, 0.5, 0.3]]


def test_a_class_without_points_gets_no_label_from_the_models_own_score() -> None:
    scores = torch.full((1, 4, 3), 0.5)
    labels = pseudo_labels(scores, points_at(4, (1, 0)), torch.tensor([[True, False]]))
    assert not labels[..., 1].any()


def test_the_label_inside_a_window_is_the_sum_the_larger_or_the_step_alone() -> None:
    own = torch.tensor([[[0.3, 0.1, 0.2], [0.9, 0.1, 0.2], [0.3, 0.1, 0.2]]])
    boundary = torch.tensor([[[0.8, 0.0], [0.8, 0.0], [0.0, 0.0]]])
    labels = {kind: combine(own, boundary, inside=kind)[0, :, 0].tolist() for kind in INSIDE}
    assert labels["sum"] == pytest.approx([1.0, 1.0, 0.3])
    assert labels["max"] == pytest.approx([0.8, 0.9, 0.3])
    assert labels["step"] == pytest.approx([0.8, 0.8, 0.3])
