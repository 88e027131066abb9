"""The benchmark's metrics: those of the reference program, and hand-computed cases."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sentiloc.model.evaluation.curves import draw_curves
from sentiloc.model.evaluation.diagnosis import KINDS, error_breakdown
from sentiloc.model.evaluation.evaluate import read_ground_truth, read_predictions, to_json
from sentiloc.model.evaluation.metrics import (
    GroundTruth,
    GroundTruthSegment,
    Predictions,
    average_precision,
    evaluate_detections,
    match_video,
    segment_tiou,
)
from sentiloc.model.segments import Proposal
from tests.support.shared_files import data_folder, golden_folder

TRUTH: GroundTruth = {
    "a": [GroundTruthSegment("p", 0.0, 10.0), GroundTruthSegment("p", 20.0, 30.0)],
    "b": [GroundTruthSegment("n", 5.0, 15.0)],
}


@pytest.mark.parametrize("file_name", ["gt.json", "videosenti_gt.json"])
def test_figures_equal_the_reference_program(file_name: str) -> None:
    folder = golden_folder("tsl300_protocol")
    truth = read_ground_truth(data_folder("tsl300") / file_name)
    found = evaluate_detections(truth, read_predictions(folder / "predictions.json"))
    expected = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert list(found.classes) == expected["class_order"]
    report = to_json(found)
    for key in ("mAP", "average_mAP", "precision", "recall", "f2", "ap"):
        np.testing.assert_allclose(report[key], expected[key], rtol=0, atol=1e-6, err_msg=key)


def test_hand_worked_video() -> None:
    predictions = {
        "a": [Proposal("p", 0.9, 0.0, 9.0), Proposal("p", 0.8, 40.0, 50.0), Proposal("p", 0.7, 19.0, 31.0)],
        "b": [Proposal("n", 0.9, 5.0, 7.0)],
    }
    found = evaluate_detections(TRUTH, predictions, tious=(0.1, 0.5))
    assert found.classes == ("p", "n")
    positive_ap = 0.5 * 1 + 0.5 * 2 / 3
    np.testing.assert_allclose(found.ap, [[positive_ap, 1.0], [positive_ap, 0.0]])
    precision_p, recall_p = np.mean([1, 1 / 2, 2 / 3]), np.mean([1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(found.precision, [(precision_p + 1) / 2, precision_p / 2])
    np.testing.assert_allclose(found.recall, [(recall_p + 1) / 2, recall_p / 2])
    p, r = found.precision[0], found.recall[0]
    assert found.f2[0] == pytest.approx(5 * p * r / (4 * p + r))
    assert found.average_map == pytest.approx(np.mean(found.mean_ap))


def test_perfect_predictions_reach_one() -> None:
    predictions = {video: [Proposal(row[0], 1.0, *row[1:]) for row in rows] for video, rows in TRUTH.items()}
    found = evaluate_detections(TRUTH, predictions)
    assert found.mean_ap == (1.0,) * 5
    assert found.precision == (1.0,) * 5


def test_no_predictions_score_zero() -> None:
    found = evaluate_detections(TRUTH, {})
    assert found.average_map == 0
    assert found.f2 == (0.0,) * 5


def test_an_unannotated_video_and_an_unused_label() -> None:
    right = {"a": [Proposal("p", 0.5, 0.0, 10.0)]}
    elsewhere = {**right, "unknown": [Proposal("p", 0.9, 0.0, 10.0)]}
    assert evaluate_detections(TRUTH, right).ap[0][0] == pytest.approx(0.5)
    assert evaluate_detections(TRUTH, elsewhere).ap[0][0] == pytest.approx(0.25)
    stranger = {"a": [*right["a"], Proposal("surprise", 0.9, 0.0, 10.0)]}
    assert evaluate_detections(TRUTH, stranger).ap == evaluate_detections(TRUTH, right).ap


def test_a_taken_segment_goes_to_the_next_best_free_one() -> None:
    truth = np.array([[0.0, 10.0], [4.0, 16.0]])
    found = np.array([[0.9, 0.0, 11.0], [0.8, 0.0, 10.5], [0.7, 0.0, 10.0]])
    assert match_video(found, truth, np.array([0.3, 0.5])).tolist() == [
        [True, True, False],
        [True, False, False],
    ]


def test_order_of_the_file_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    starts = rng.uniform(0, 40, 60)
    rows = [
        Proposal("pn"[int(rng.integers(2))], float(score), float(start), float(start + rng.uniform(1, 20)))
        for score, start in zip(rng.permutation(60) / 60, starts, strict=True)
    ]
    shuffled = [rows[index] for index in rng.permutation(60)]
    assert evaluate_detections(TRUTH, {"a": rows}) == evaluate_detections(TRUTH, {"a": shuffled})


def test_higher_tiou_never_raises_a_figure() -> None:
    rng = np.random.default_rng(4)
    predictions: Predictions = {
        "a": [Proposal("p", float(s), float(t), float(t + d)) for s, t, d in rng.uniform(0, 20, (50, 3))]
    }
    found = evaluate_detections(TRUTH, predictions, tious=(0.1, 0.3, 0.5, 0.7))
    for figures in (found.mean_ap, found.precision, found.recall):
        assert all(low >= high for low, high in pairwise(figures))


def test_tiou_of_pairs() -> None:
    starts, ends = np.array([0.0, 5.0]), np.array([10.0, 5.0])
    expected = [[1.0, 5 / 15, 0.0], [0.0, 0.0, 0.0]]
    others = np.array([0.0, 5.0, 10.0]), np.array([10.0, 15.0, 20.0])
    np.testing.assert_allclose(segment_tiou(starts, ends, *others), expected)


def test_average_precision_uses_the_best_later_precision() -> None:
    hits = np.array([[False, True, True, False]])
    precision = np.array([[0.0, 0.5, 2 / 3, 0.5]])
    assert average_precision(hits, precision, annotated=4)[0] == pytest.approx(2 * (2 / 3) / 4)


def test_each_kind_of_error() -> None:
    truth: GroundTruth = {"a": [GroundTruthSegment("p", 0, 10), GroundTruthSegment("n", 100, 110)]}
    predictions: Predictions = {
        "a": [
            Proposal("p", 0.9, 0, 10),
            Proposal("p", 0.8, 0, 9),
            Proposal("p", 0.7, 100, 110),
            Proposal("p", 0.6, 8, 18),
            Proposal("p", 0.5, 108, 118),
            Proposal("n", 0.4, 50, 60),
        ]
    }
    found = error_breakdown(truth, predictions, tiou=0.5)
    assert list(found.shares) == list(KINDS)
    assert list(found.shares.values()) == pytest.approx([1 / 6] * 6)
    best = error_breakdown(truth, predictions, tiou=0.5, per_segment=1)
    assert best.proposals == 2
    assert best.shares["true_positive"] == pytest.approx(0.5)
    assert error_breakdown(truth, {}).shares["background"] == 0


def test_ground_truth_without_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="no segment"):
        evaluate_detections({"a": []}, {})


def test_the_curve_of_a_single_proposal_is_drawn(tmp_path: Path) -> None:
    pictures = []
    for number, start in enumerate((0.0, 100.0)):
        pictures.append(tmp_path / f"{number}.png")
        draw_curves(TRUTH, {"a": [Proposal("p", 0.9, start, start + 10)], "b": []}, (0.1,), pictures[-1])
    assert pictures[0].read_bytes() != pictures[1].read_bytes()
