"""Equations 4-6, 11, 12 and the base loss on hand-computed numbers; and padding changes nothing."""

from __future__ import annotations

import math

import pytest
import torch

from sentiloc.model.fsenet.contrast import (
    ContrastConfig,
    contrast_loss,
    nearest_steps,
    point_distances,
    similarity,
)
from sentiloc.model.fsenet.losses import (
    Labels,
    LossConfig,
    Supervision,
    alignment_loss,
    base_loss,
    focal_loss,
    time_mean,
    top_mean,
    total_loss,
)
from sentiloc.model.fsenet.network import FSENetOutput


def test_time_averages_leave_padding_out() -> None:
    x = torch.tensor([[[0.2], [0.6], [0.9]]])
    valid = torch.tensor([[True, True, False]])
    assert time_mean(x, valid).item() == pytest.approx(0.4)
    assert top_mean(x, valid, k=1).item() == pytest.approx(0.4)
    assert top_mean(x, valid, k=2).item() == pytest.approx(0.6)
    assert top_mean(x, valid, k=8).item() == pytest.approx(0.6)


def test_base_loss_is_target_times_log_of_the_average() -> None:
    predicted, target = torch.tensor([[0.5, 0.25]]), torch.tensor([[1.0, 0.5]])
    assert base_loss(predicted, target).item() == pytest.approx(math.log(2) + 0.5 * math.log(4))
    extra = 0.5 * math.log(4 / 3)
    found = base_loss(predicted, target, "bce").item()
    assert found == pytest.approx(math.log(2) + 0.5 * math.log(4) + extra, abs=1e-5)


def test_focal_loss_is_the_usual_one_on_hard_targets_and_flat_at_a_soft_target() -> None:
    p = torch.tensor([0.3])
    assert focal_loss(p, torch.tensor([1.0]), 2.0).item() == pytest.approx(0.7**2 * -math.log(0.3))
    assert focal_loss(p, torch.tensor([0.0]), 2.0).item() == pytest.approx(0.3**2 * -math.log(0.7))
    assert focal_loss(p, torch.tensor([1.0]), 0.0).item() == pytest.approx(-math.log(0.3))
    soft = torch.tensor([0.3], requires_grad=True)
    torch.autograd.backward(focal_loss(soft, torch.tensor([0.3]), 2.0).sum())
    assert soft.grad is not None
    assert soft.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_equation_11_sums_classes_and_averages_valid_steps() -> None:
    predicted = torch.tensor([[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9]]])
    target = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    valid = torch.tensor([[True, True, False]])
    assert alignment_loss(predicted, target, valid, 2.0).item() == pytest.approx(3 * 0.25 * math.log(2))


def test_the_four_similarities_of_table_10() -> None:
    features = torch.tensor([[[3.0, 4.0], [0.0, 2.0]]])
    points = torch.tensor([[[0.0, 1.0]]])
    assert similarity(features, points, "cosine")[0, :, 0].tolist() == pytest.approx([0.9, 1.0])
    sigmoid = [1 / (1 + math.exp(-dot / math.sqrt(2))) for dot in (4, 2)]
    assert similarity(features, points, "dot")[0, :, 0].tolist() == pytest.approx(sigmoid)
    assert similarity(features, points, "l1")[0, :, 0].tolist() == pytest.approx([1 / 4, 1 / 1.5])
    l2 = [1 / (1 + math.sqrt(18 / 2)), 1 / (1 + math.sqrt(1 / 2))]
    assert similarity(features, points, "l2")[0, :, 0].tolist() == pytest.approx(l2)


def test_equation_4_averages_over_the_points_of_a_class() -> None:
    features = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]]])
    points = torch.zeros(1, 4, 2, dtype=torch.bool)
    points[0, 0, 0] = points[0, 1, 0] = True
    distances = point_distances(features, points)
    diagonal = (1 + math.sqrt(0.5)) / 2
    assert distances[0, :, 0].tolist() == pytest.approx([0.75, 0.75, diagonal, 0.25])
    assert distances[0, :, 1].tolist() == [0, 0, 0, 0]


def test_equation_5_weighs_by_saliency_and_leaves_points_and_padding_out() -> None:
    distances = torch.tensor([[[0.9], [0.8], [0.5], [0.9], [0.9], [1.0]]])
    saliency = torch.tensor([[[1.0], [0.5], [1.0], [0.1], [1.0], [1.0]]])
    points = torch.tensor([[[True], [False], [False], [False], [False], [False]]])
    valid = torch.tensor([[True, True, True, True, False, False]])
    near = nearest_steps(distances, saliency, points, valid, k=2)
    assert near[0, :, 0].tolist() == [False, True, True, False, False, False]
    assert nearest_steps(distances, saliency, points, valid, k=8).sum() == 1
    assert not nearest_steps(distances, saliency, torch.zeros_like(points), valid, k=2).any()


def test_a_video_of_annotated_steps_alone_has_no_neighbours() -> None:
    points = torch.tensor([[[True, False], [False, True]]])
    near = nearest_steps(torch.ones(1, 2, 2), torch.ones(1, 2, 1), points, torch.ones(1, 2).bool(), k=1)
    assert not near.any()
    assert contrast_loss(torch.randn(1, 2, 3), points, near).item() == 0


ContrastCase = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture
def contrast_case() -> ContrastCase:
    """Points at steps 0 (class 0, along x) and 1 (class 1, along y); one neighbour each at steps 2 and 3."""
    features = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.6, 0.8], [0.0, 5.0]]])
    points = torch.zeros(1, 4, 2, dtype=torch.bool)
    points[0, 0, 0] = points[0, 1, 1] = True
    near = torch.zeros(1, 4, 2, dtype=torch.bool)
    near[0, 2, 0] = near[0, 3, 1] = True
    return features, points, near


def test_equation_6_on_two_classes(contrast_case: ContrastCase) -> None:
    exp = math.exp
    first = -math.log(exp(0.6) / (exp(0.6) + exp(0.0)))
    second = -math.log(exp(1.0) / (exp(1.0) + exp(0.8)))
    assert contrast_loss(*contrast_case).item() == pytest.approx(first + second)
    own = -math.log(exp(0.6) / (exp(0.6) + exp(1.0))) - math.log(exp(1.0) / (exp(1.0) + exp(0.6)))
    assert contrast_loss(*contrast_case, ContrastConfig(contrast="own")).item() == pytest.approx(own)


def test_a_class_without_points_contributes_nothing(contrast_case: ContrastCase) -> None:
    features, points, near = contrast_case
    points[..., 1] = near[..., 1] = False
    assert contrast_loss(features, points, near).item() == pytest.approx(0.0, abs=1e-6)


def one_class_case() -> ContrastCase:
    """Two videos whose points name class 0 and class 1 only; the last steps of each are unannotated and not near."""
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(2, 6, 4, generator=generator)
    points, near = torch.zeros(2, 6, 2, dtype=torch.bool), torch.zeros(2, 6, 2, dtype=torch.bool)
    for video in range(2):
        points[video, 0, video] = near[video, 1, video] = True
    return features, points, near


@pytest.mark.parametrize(
    ("config", "learns"),
    [
        (ContrastConfig(), False),
        (ContrastConfig(prototypes="batch"), True),
        (ContrastConfig(negatives="rest"), True),
        (ContrastConfig(prototypes="batch", negatives="rest", temperature=0.2), True),
    ],
    ids=["printed", "batch", "rest", "both"],
)
def test_videos_whose_points_name_one_class_teach_by_the_batch_or_by_the_rest(
    config: ContrastConfig, learns: bool
) -> None:
    features, points, near = one_class_case()
    features.requires_grad_()
    loss = contrast_loss(features, points, near, config)
    torch.autograd.backward(loss)
    assert features.grad is not None
    assert (loss.item() > 0.1) == learns
    assert bool((features.grad[:, 1].abs().sum(-1) > 1e-3).all()) == learns


def test_a_batch_of_one_class_falls_back_on_the_rest_of_its_videos() -> None:
    features, points, near = (x[:1] for x in one_class_case())
    batch, rest = (
        contrast_loss(features, points, near, config).item()
        for config in (ContrastConfig(prototypes="batch"), ContrastConfig(negatives="rest"))
    )
    assert batch == pytest.approx(rest) and batch > 0.1


def test_negatives_of_the_batch_are_the_other_classes_neighbours_in_all_videos() -> None:
    features, points, near = one_class_case()
    units = torch.nn.functional.normalize(features, dim=-1)
    positive = [float(units[v, 1] @ units[v, 0]) for v in range(2)]
    negative = [float(units[1 - v, 1] @ units[v, 0]) for v in range(2)]
    share = [
        -math.log(math.exp(p) / (math.exp(p) + math.exp(n))) for p, n in zip(positive, negative, strict=True)
    ]
    found = contrast_loss(features, points, near, ContrastConfig(prototypes="batch")).item()
    assert found == pytest.approx(sum(share) / 2)


def test_padding_and_points_are_no_negatives_of_the_rest() -> None:
    features, points, near = one_class_case()
    config = ContrastConfig(negatives="rest")
    valid = torch.ones(2, 6, dtype=torch.bool)
    expected = contrast_loss(features, points, near, config, valid)
    padded = [
        torch.cat([x, torch.full_like(x[:, :2], value)], 1)
        for x, value in ((features, 9), (points, 0), (near, 0))
    ]
    longer = torch.arange(8).expand(2, -1) < 6
    assert torch.allclose(contrast_loss(padded[0], padded[1], padded[2], config, longer), expected)
    moved = features.clone()
    moved[:, 0] *= 3
    assert torch.allclose(contrast_loss(moved, points, near, config, valid), expected)


def test_disjoint_sets_leave_a_step_to_the_class_that_it_is_nearest_to() -> None:
    distances = torch.tensor([[[0.0, 0.0], [0.9, 0.8], [0.2, 0.7], [0.0, 0.0]]])
    points = torch.zeros(1, 4, 2, dtype=torch.bool)
    points[0, 0, 0] = points[0, 3, 1] = True
    case = (distances, torch.ones(1, 4, 1), points, torch.ones(1, 4, dtype=torch.bool))
    assert nearest_steps(*case, k=2)[0].tolist() == [
        [False, False],
        [True, True],
        [True, True],
        [False, False],
    ]
    found = nearest_steps(*case, k=2, disjoint=True)[0].tolist()
    assert found == [[False, False], [True, False], [False, True], [False, False]]


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0])
def test_a_label_that_equals_its_prediction_has_a_gradient_of_zero(gamma: float) -> None:
    soft = torch.tensor([0.3, 0.6], requires_grad=True)
    torch.autograd.backward(focal_loss(soft, soft.detach(), gamma).sum())
    assert soft.grad is not None
    assert soft.grad.abs().max() < 1e-3


def test_a_root_as_a_focal_weight_is_that_of_the_equation_elsewhere() -> None:
    p = torch.tensor([0.3], requires_grad=True)
    loss = focal_loss(p, torch.tensor([1.0]), 0.5)
    assert loss.item() == pytest.approx(0.7**0.5 * -math.log(0.3))
    torch.autograd.backward(loss)
    assert p.grad is not None
    assert p.grad.item() == pytest.approx(-(0.7**0.5) / 0.3 + math.log(0.3) / (2 * 0.7**0.5), rel=1e-5)


def test_usual_focal_weights_push_a_label_that_equals_its_prediction() -> None:
    soft = torch.tensor([0.3], requires_grad=True)
    torch.autograd.backward(focal_loss(soft, torch.tensor([0.3]), 2.0, "usual").sum())
    assert soft.grad is not None and soft.grad.abs().item() > 0.1
    for target in (0.0, 1.0):
        case = torch.tensor([0.3]), torch.tensor([target]), 2.0
        assert torch.allclose(focal_loss(*case), focal_loss(*case, "usual"))


def test_contrast_survives_features_of_any_size(contrast_case: ContrastCase) -> None:
    features, points, near = contrast_case
    large = (1e4 * features).requires_grad_()
    loss = contrast_loss(large, points, near)
    torch.autograd.backward(loss)
    assert large.grad is not None
    assert torch.isfinite(large.grad).all()


def batch(time: int, padding: int) -> tuple[FSENetOutput, Labels, torch.Tensor]:
    """Two videos of `time` steps with random outputs, also in the padding."""
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(2, time, 3, generator=generator)
    saliency = torch.rand(2, time, 1, generator=generator)
    fused = torch.randn(2, time, 8, generator=generator)
    points = torch.zeros(2, time, 2, dtype=torch.bool)
    points[0, 3, 1] = points[1, 1, 0] = points[1, 9, 1] = True

    def pad(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, torch.rand(2, padding, x.shape[2])], dim=1).to(x.dtype)

    overall = torch.cat([saliency * scores[..., :2], (1 - saliency) * scores[..., 2:]], dim=-1)
    output = FSENetOutput(pad(scores), pad(overall), pad(saliency), pad(fused))
    valid = torch.arange(time + padding) < time
    padded = torch.cat([points, torch.zeros(2, padding, 2, dtype=torch.bool)], dim=1)
    return output, Labels(points=padded, video_classes=points.any(1)), valid.expand(2, -1)


def test_padding_changes_no_loss() -> None:
    supervisions: tuple[Supervision, ...] = ("point", "video")
    for supervision in supervisions:
        config = LossConfig(supervision=supervision)
        short, padded = total_loss(*batch(20, 0), config), total_loss(*batch(20, 9), config)
        assert short.items() == pytest.approx(padded.items())


def test_equation_12_weighs_the_terms_and_switches_drop_them() -> None:
    case = batch(20, 0)
    terms = total_loss(*case, LossConfig(lambda1=2.0, lambda2=0.5)).items()
    expected = terms["base"] + 2.0 * (terms["frame"] + terms["frame_glo"]) + 0.5 * terms["sc"]
    assert terms["total"] == pytest.approx(expected)
    assert min(terms.values()) > 0
    for name in ("frame", "frame_glo", "sc"):
        assert total_loss(*case, LossConfig(**{name: False})).items()[name] == 0  # type: ignore[arg-type]


def test_video_supervision_has_no_frame_loss_and_full_supervision_takes_given_labels() -> None:
    output, labels, valid = batch(20, 0)
    terms = total_loss(output, labels, valid, LossConfig(supervision="video")).items()
    assert terms["frame"] == terms["frame_glo"] == 0
    frames = (torch.rand(2, 20, 3) > 0.5).float()
    full = Labels(points=labels.points, video_classes=labels.video_classes, frames=frames)
    found = total_loss(output, full, valid, LossConfig(supervision="full")).items()
    assert found["frame"] == pytest.approx(alignment_loss(output.scores, frames, valid, 2.0).item())
