"""GIM's equations on hand-computed numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from sentiloc.model.gim.contrast import contrast_loss, neutral_count, pair_weights, pseudo_neutral
from sentiloc.model.gim.gaussian import (
    frames_within,
    gaussian_labels,
    proposal_frames,
    pseudo_apex,
    rough_duration,
    soft_labels,
    spread,
)
from sentiloc.model.gim.labels import (
    MACRO,
    MICRO,
    LabelConfig,
    Point,
    Strategy,
    mean_features,
    pseudo_labels,
)
from sentiloc.model.gim.losses import (
    CAS_ME_2,
    LossWeights,
    action_loss,
    intensity_loss,
    norm_loss,
    refined_scores,
    smooth_loss,
    total_loss,
)
from sentiloc.model.gim.network import GIMOutput
from sentiloc.model.proposals.spans import Runs, outer_inner_contrast, threshold_runs

INTENSITY = torch.tensor([0.1, 0.2, 0.6, 0.9, 0.7, 0.3, 0.95, 0.1])


def test_a_range_is_inclusive_and_stays_in_the_video() -> None:
    assert frames_within(4, 2, 10) == (2, 6)
    assert frames_within(4, 1.5, 10) == (3, 5)
    assert frames_within(0, 3, 10) == (0, 3)
    assert frames_within(9, 0.4, 10) == (9, 9)


def test_equation_1_looks_a_quarter_of_the_duration_to_either_side() -> None:
    assert pseudo_apex(INTENSITY, 4, 8) == 6
    assert pseudo_apex(INTENSITY, 4, 4) == 3
    assert pseudo_apex(INTENSITY, 4, 3) == 4


def test_equation_1_separates_strong_frames_beyond_float32() -> None:
    logits = torch.tensor([[17.0, 18.0, 20.0, 19.0]])
    nothing = torch.zeros(0)
    output = GIMOutput(torch.sigmoid(logits), nothing, nothing, nothing, logits)
    assert output.intensity.tolist() == [[1.0] * 4]
    assert pseudo_apex(output.fine_intensity[0], 1, 8) == 2


def test_equation_3_counts_values_above_the_threshold() -> None:
    assert rough_duration(INTENSITY, 3, 4, 0.5) == 3
    assert rough_duration(INTENSITY, 3, 8, 0.5) == 4
    assert rough_duration(INTENSITY, 0, 2, 0.5) == 1
    assert proposal_frames(3, 3, 1.2, 8) == (2, 4)


def test_equations_2_4_and_5_are_a_gaussian_over_feature_distance() -> None:
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 5.0], [0.0, 0.0]])
    sigma = spread(features, features[0], (0, 2), 2.0)
    assert float(sigma) == pytest.approx(5.0)
    labels = soft_labels(features, features[0], sigma, (0, 2))
    assert labels.tolist() == pytest.approx([1.0, math.exp(-0.5), math.exp(-0.5)])
    assert gaussian_labels(features, 0, (0, 2), 2.0).tolist() == labels.tolist()
    assert gaussian_labels(features, 0, (3, 3), 1.0).tolist() == [1.0]


def test_equation_6_and_the_choice_of_neutral_frames() -> None:
    assert (neutral_count(3, 10), neutral_count(8, 10)) == (3, 2)
    labelled = torch.tensor([False, False, True, True, True, False, False, False])
    assert pseudo_neutral(INTENSITY, labelled).nonzero().flatten().tolist() == [0, 1, 7]


def test_equation_8_weighs_pairs_by_their_intensities() -> None:
    weights = pair_weights(torch.tensor([0.9, 0.6, 0.0]), torch.tensor([0, 0, 2]))
    assert torch.allclose(weights, torch.tensor([[1.0, 0.7, 0.9], [0.7, 1.0, 0.6], [0.9, 0.6, 1.0]]))


def test_equation_7_on_three_frames() -> None:
    features = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    labels, classes = torch.tensor([0.9, 0.6, 0.0]), torch.tensor([0, 0, 2])
    e = math.e
    first = -math.log(0.7 * e / (0.7 * e + 0.9))
    second = -math.log(0.7 * e / (0.7 * e + 0.6))
    assert float(contrast_loss(features, labels, classes, 1.0)) == pytest.approx(first + second, rel=1e-5)


def test_equation_9_squares_and_averages_the_classes_of_a_frame() -> None:
    intensity = torch.tensor([0.5, 0.2, 0.9])
    labels = torch.tensor([[1.0, 0.7], [0.0, 0.0], [0.4, 0.0]])
    counted = torch.tensor([[True, True], [True, False], [False, False]])
    expected = ((0.25 + 0.04) / 2 + 0.04) / 2
    assert float(intensity_loss(intensity, labels, counted)) == pytest.approx(expected)
    single = torch.tensor([[True], [False], [False]])
    bce = intensity_loss(intensity, torch.tensor([[1.0], [0.0], [0.0]]), single, "bce")
    assert float(bce) == pytest.approx(math.log(2))


def test_equations_10_and_11() -> None:
    intensity = torch.tensor([0.1, 0.4, 0.2])
    assert float(norm_loss(intensity, "sum")) == pytest.approx(0.7)
    assert float(norm_loss(intensity)) == pytest.approx(0.7 / 3)
    assert float(smooth_loss(intensity)) == pytest.approx(0.25)
    assert float(smooth_loss(intensity[:1])) == 0.0


def test_equations_12_and_13() -> None:
    refined = refined_scores(torch.tensor([[0.8, 0.4], [0.5, 0.25]]), torch.tensor([0.5, 0.4]))
    assert torch.allclose(refined, torch.tensor([[0.4, 0.2], [0.2, 0.1]]))
    loss = action_loss(
        refined,
        torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
        torch.tensor([True, False]),
        torch.tensor([False, True]),
    )
    assert float(loss) == pytest.approx(-math.log(0.4) - (math.log(0.8) + math.log(0.9)) / 2)


def test_equation_14_and_the_papers_weights() -> None:
    one = torch.ones(())
    assert float(total_loss(one, one, one, one, one, LossWeights())) == pytest.approx(2.40002)
    assert (CAS_ME_2.smooth, CAS_ME_2.norm, CAS_ME_2.contrast) == (0.1, 2.5, 1.4e-4)


def test_equations_15_and_16_on_a_step() -> None:
    curve = np.array([0.2, 0.2, 0.8, 1.0, 0.6, 0.8, 0.4, 0.0])
    runs = threshold_runs(curve, (0.5,))
    assert (runs.start.tolist(), runs.stop.tolist()) == ([2], [6])
    assert outer_inner_contrast(curve, runs).tolist() == pytest.approx([0.8 - (0.2 + 0.4) / 2])
    short = Runs(np.array([3]), np.array([4]))
    assert outer_inner_contrast(curve, short).tolist() == pytest.approx([1.0])
    assert outer_inner_contrast(curve, short, least_margin=1).tolist() == pytest.approx([0.3])
    edge = Runs(np.array([0]), np.array([8]))
    assert outer_inner_contrast(curve, edge).tolist() == pytest.approx([0.5])


def test_equal_runs_of_two_thresholds_are_one() -> None:
    runs = threshold_runs(np.array([0.0, 0.9, 0.7, 0.0, 0.4]), (0.3, 0.5, 0.8, 0.95))
    assert sorted(zip(runs.start.tolist(), runs.stop.tolist(), strict=True)) == [(1, 2), (1, 3), (4, 5)]


def test_the_three_stages_and_the_falling_threshold() -> None:
    config = LabelConfig()
    assert [config.stage(epoch) for epoch in (0, 1, 4, 5, 99)] == [1, 2, 2, 3, 3]
    assert config.epochs == 100
    assert [config.theta(e) for e in (0, 5, 20, 35, 99)] == pytest.approx([0.8, 0.8, 0.65, 0.5, 0.5])


def test_stage_one_labels_neighbours_hard_and_stage_two_softly() -> None:
    features = torch.arange(40.0)[:, None]
    points = [Point(10, MICRO), Point(30, MACRO)]
    first = pseudo_labels(torch.zeros(40), features, points, 0, LabelConfig())
    assert first.expression[:, MICRO].nonzero().flatten().tolist() == list(range(7, 14))
    assert first.expression[:, MACRO].nonzero().flatten().tolist() == list(range(25, 36))
    assert set(first.labels[first.expression].tolist()) == {1.0}
    assert int(first.neutral.sum()) == 18
    second = pseudo_labels(torch.zeros(40), features, points, 2, LabelConfig())
    sigma = math.sqrt((4 + 1 + 0 + 1 + 4) / 5)
    expected = [math.exp(-(n**2) / (2 * sigma**2)) for n in (-2, -1, 0, 1, 2)]
    assert second.labels[8:13, MICRO].tolist() == pytest.approx(expected)


def test_stage_three_moves_to_the_apex_and_keeps_one_of_two_claims() -> None:
    intensity = torch.exp(-((torch.arange(60.0) - 22) ** 2) / 50)
    features = intensity[:, None]
    found = pseudo_labels(intensity, features, [Point(19, MICRO)], 50, LabelConfig())
    assert found.apexes == [22]
    assert float(found.labels[22, MICRO]) == 1.0
    assert found.labels[22:26, MICRO].diff().max() < 0
    hard = pseudo_labels(intensity, features, [Point(19, MICRO)], 50, LabelConfig(strategy="hard"))
    assert set(hard.labels[hard.expression].tolist()) == {1.0}
    claimed = [Point(19, MICRO), Point(24, MICRO)]
    both = pseudo_labels(intensity, features, claimed, 2, LabelConfig(soft_reach=(4, 4)))
    assert bool(both.expression[20:24, MICRO].all())


def test_table_3_s_class_wise_mean_is_of_the_class_s_points_in_all_videos() -> None:
    """Section 4.3.2: the class-wise average feature of the point labels, the whole class, is mu of equation 5."""
    intensity = torch.exp(-((torch.arange(60.0) - 22) ** 2) / 50)
    features, other = intensity[:, None], torch.full((30, 1), 0.4)
    points = [Point(19, MICRO)]
    means = mean_features([(features, points), (other, [Point(3, MICRO), Point(9, MACRO)])])
    assert float(means[MICRO]) == pytest.approx((float(features[19]) + 0.4) / 2)
    assert float(means[MACRO]) == pytest.approx(0.4)

    def labels(strategy: Strategy, class_means: dict[int, torch.Tensor] | None) -> Any:
        config = LabelConfig(strategy=strategy)
        return pseudo_labels(intensity, features, points, 50, config, class_means=class_means)

    found = labels("class-wise", means)
    inside = found.expression[:, MICRO]
    distances = (features[inside, 0] - means[MICRO]).square()
    sigma = (distances.sum() / (1.2 * rough_duration(intensity, 22, 16, 0.5))).sqrt()
    assert found.labels[inside, MICRO].tolist() == pytest.approx((-distances / (2 * sigma**2)).exp().tolist())
    assert found.apexes == [22], "the range is around the pseudo-apex"
    own = labels("video-wise", means)
    assert torch.equal(own.labels, labels("class-wise", {MICRO: features[19]}).labels)
    with pytest.raises(ValueError, match="mean feature of the class"):
        labels("class-wise", None)


def test_table_4_says_which_of_two_labels_a_frame_keeps() -> None:
    """Two macro points 6 frames apart: each frame between them has two labels."""
    features = torch.linspace(0, 1, 60)[:, None]
    points = [Point(20, MACRO), Point(26, MACRO)]
    intensity = torch.full((60,), 0.5)

    def labels(*, points: list[Point], **changes: Any) -> torch.Tensor:
        config = LabelConfig(soft_reach=(5, 5), **changes)
        return pseudo_labels(intensity, features, points, 2, config).labels[:, MACRO]

    alone = torch.stack([labels(points=[point]) for point in points])
    claimed = (alone > 0).all(0)
    assert int(claimed.sum()) == 5
    assert torch.equal(labels(points=points, overlap="higher")[claimed], alone.max(0).values[claimed])
    assert torch.equal(labels(points=points, overlap="lower")[claimed], alone.min(0).values[claimed])
    assert torch.equal(labels(points=points, overlap="lower")[~claimed], alone.max(0).values[~claimed])
    drawn = torch.stack([labels(points=points)[claimed] for _ in range(64)])
    assert torch.equal(drawn.max(0).values, alone.max(0).values[claimed])
    assert torch.equal(drawn.min(0).values, alone.min(0).values[claimed])
