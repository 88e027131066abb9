"""CTEN's equations on hand-computed numbers."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from sentiloc.model.cten.erasing import banded, banded_attention, erasing_mask, normalise, temporal_attention
from sentiloc.model.cten.losses import class_probabilities, cross_entropy, total_loss
from sentiloc.model.cten.network import CTEN, CTENConfig, attend
from sentiloc.model.cten.relation import add_residual, correlation, gather, inter_modal, intra_modal, project

EYE = torch.eye(2)
FEATURES = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
LN3 = math.log(3.0)


def test_equation_1_projects_by_three_matrices() -> None:
    parts = project(FEATURES, 2 * EYE, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[1.0, 1.0]] * 2))
    assert parts.query.tolist() == [[[2, 0], [0, 4]]]
    assert parts.key.tolist() == [[[0, 1], [2, 0]]]
    assert parts.value.tolist() == [[[1, 1], [2, 2]]]


def test_equation_2_is_a_softmax_over_each_row() -> None:
    query = torch.tensor([[[math.sqrt(2) * LN3, 0.0], [0.0, 0.0]]])
    rows = correlation(query, EYE[None])
    assert torch.allclose(rows, torch.tensor([[[0.75, 0.25], [0.5, 0.5]]]))


def test_equation_2_ignores_absent_values() -> None:
    rows = correlation(torch.zeros(1, 2, 2), EYE[None], torch.tensor([[True, False]]))
    assert rows.tolist() == [[[1, 0], [1, 0]]]


def test_equations_3_and_4_add_the_weighted_values() -> None:
    gathered = gather(torch.tensor([[[0.75, 0.25], [0.5, 0.5]]]), torch.tensor([[[4.0, 0.0], [0.0, 4.0]]]))
    assert gathered.tolist() == [[[3, 1], [2, 2]]]
    assert add_residual(FEATURES, gathered, 0.5 * EYE).tolist() == [[[2.5, 0.5], [1.0, 3.0]]]


def test_intra_modal_relation_is_equations_2_to_4() -> None:
    parts = project(FEATURES, 0 * EYE, EYE, EYE)
    assert intra_modal(FEATURES, parts, EYE).tolist() == [[[1.5, 1.0], [0.5, 3.0]]]


def test_equations_5_and_6_take_keys_and_values_of_the_other_modality() -> None:
    audio = torch.tensor([[[4.0, 8.0], [8.0, 4.0]]])
    own, other = project(FEATURES, 0 * EYE, EYE, EYE), project(audio, EYE, EYE, EYE)
    assert inter_modal(FEATURES, own, other, EYE).tolist() == [[[7, 6], [6, 8]]]


def test_equation_7_with_a_full_and_with_a_banded_matrix() -> None:
    w2 = torch.tensor([[1.0, -1.0]])
    w1 = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    assert temporal_attention(FEATURES, torch.tensor([[3.0, 1.0], [0.0, 1.0]]), w2).tolist() == [[1.0, 0.0]]
    assert temporal_attention(FEATURES, w1, w2).tolist() == [[0.0, 0.0]]
    kernel, features = torch.tensor([0.5, 1.0, -0.25]), torch.randn(2, 6, 2)
    expected = temporal_attention(features, banded(kernel, 6), w2)
    assert torch.allclose(banded_attention(features, kernel, w2), expected, atol=1e-6)
    assert banded(kernel, 3).tolist() == [[1.0, -0.25, 0.0], [0.5, 1.0, -0.25], [0.0, 0.5, 1.0]]


def test_equation_8_spans_zero_to_one() -> None:
    assert normalise(torch.tensor([[2.0, 4.0, 6.0], [3.0, 3.0, 3.0]])).tolist() == [[0, 0.5, 1], [0, 0, 0]]
    valid = torch.tensor([[True, True, False]])
    assert normalise(torch.tensor([[2.0, 4.0, 9.0]]), valid).tolist() == [[0, 1, 0]]


def test_equation_9_erases_frames_that_both_modalities_attend_to() -> None:
    mask = erasing_mask(torch.tensor([[0.7, 0.9, 0.2]]), torch.tensor([[0.8, 0.6, 0.9]]), 0.7)
    assert mask.tolist() == [[True, False, False]]


def test_equations_10_and_11_are_the_mean_negative_log_of_a_softmax() -> None:
    activations = torch.tensor([[LN3, 0.0], [0.0, 0.0]])
    assert torch.allclose(class_probabilities(activations), torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    loss = cross_entropy(activations, torch.tensor([0, 1]))
    assert float(loss) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    without = cross_entropy(activations, torch.tensor([0, 1]), torch.tensor([True, False]))
    assert float(without) == pytest.approx(math.log(4 / 3) / 2)


def test_equation_12_adds_three_losses() -> None:
    assert float(total_loss([torch.tensor(1.0), torch.tensor(0.5), torch.tensor(0.25)])) == 1.75


def test_pooling_weighs_by_attention_and_survives_none() -> None:
    pooled = attend(FEATURES.repeat(2, 1, 1), torch.tensor([[3.0, 1.0], [0.0, 0.0]]))
    assert torch.allclose(pooled, torch.tensor([[0.75, 0.5], [0.5, 1.0]]), atol=1e-5)


def test_without_norm_and_dropout_the_network_is_the_printed_equations() -> None:
    config = CTENConfig(visual_dim=6, audio_dim=6, classes=3, width=6, norm=False, dropout=0)
    torch.manual_seed(0)
    network = CTEN(config).train()
    for part in (network.visual, network.audio):
        assert part is not None
        torch.nn.init.normal_(part.w_intra)
        torch.nn.init.normal_(part.w_inter)
    features = [torch.randn(1, 5, 6), torch.randn(1, 5, 6)]
    output = network(*features)
    pooled = []
    for index, part in enumerate((network.visual, network.audio)):
        assert part is not None
        own, other = (network.visual, network.audio)[:: 1 - 2 * index]
        assert own is not None and other is not None
        x, y = features[index], features[1 - index]
        query, value = x @ own.theta.mT, x @ own.g.mT
        key, other_key, other_value = x @ own.phi.mT, y @ other.phi.mT, y @ other.g.mT
        within = torch.softmax(query @ key.mT / math.sqrt(6), -1) @ value
        across = torch.softmax(query @ other_key.mT / math.sqrt(6), -1) @ other_value
        both = (x + within @ own.w_intra.mT) + (x + across @ own.w_inter.mT)
        assert own.kernel is not None
        attention = temporal_attention(both, banded(own.kernel, 5), own.w2)
        assert torch.allclose(output.attention[..., index], normalise(attention), atol=1e-5)
        pooled.append(attend(both, attention))
    wanted = torch.cat(pooled, -1) @ network.classifier.weight.mT + network.classifier.bias
    assert torch.allclose(output.activations, wanted, atol=1e-4)


def test_equation_7_with_ten_segments_has_a_weight_for_each_pair() -> None:
    """As printed, with a W1 of (T, T); an erased segment keeps its place in it."""
    torch.manual_seed(0)
    banded_network = CTEN(CTENConfig(visual_dim=6, audio_dim=6, classes=3, width=6)).eval()
    network = CTEN(CTENConfig(visual_dim=6, audio_dim=6, classes=3, width=6, segments=10)).eval()
    network.load_state_dict(banded_network.state_dict(), strict=False)
    features, valid = [torch.randn(2, 10, 6), torch.randn(2, 10, 6)], torch.rand(2, 10) < 0.7
    for given in (None, valid):
        for found, wanted in zip(network(*features, given), banded_network(*features, given), strict=True):
            assert torch.allclose(found, wanted, atol=1e-6), "it starts as the banded form"
    assert network.visual is not None
    torch.nn.init.normal_(network.visual.w1)
    assert network.visual.w1.shape == (10, 10)
    both = 2 * network.visual.embed(features[0])
    printed = torch.relu(network.visual.w1 @ (network.visual.w2 @ both.mT).mT).squeeze(-1)
    assert torch.allclose(network(*features).attention[..., 0], normalise(printed), atol=1e-5)
    with pytest.raises(ValueError, match="not a CTEN"):
        CTENConfig(visual_dim=6, audio_dim=6, classes=3, segments=1)


@pytest.mark.parametrize(("intra", "inter"), [(True, True), (True, False), (False, False)])
def test_padding_changes_nothing_and_every_weight_learns(intra: bool, inter: bool) -> None:
    torch.manual_seed(0)
    config = CTENConfig(visual_dim=5, audio_dim=4, classes=3, width=8, intra=intra, inter=inter)
    network = CTEN(config).eval()
    for part in (network.visual, network.audio):
        assert part is not None
        torch.nn.init.normal_(part.w_intra)
        torch.nn.init.normal_(part.w_inter)
    visual, audio = torch.randn(1, 6, 5), torch.randn(1, 6, 4)
    padded = [torch.cat([x, 9 * torch.ones(1, 3, x.shape[-1])], dim=1) for x in (visual, audio)]
    valid = torch.arange(9)[None] < 6
    whole, cut = network(visual, audio), network(*padded, valid)
    assert torch.allclose(whole.activations, cut.activations, atol=1e-5)
    assert torch.allclose(whole.attention, cut.attention[:, :6], atol=1e-5)
    assert torch.allclose(whole.segments, cut.segments[:, :6], atol=1e-5)
    torch.autograd.backward(cross_entropy(whole.activations, torch.tensor([1])))
    unused = {name.split(".")[1] for name, weight in network.named_parameters() if weight.grad is None}
    neither = {"theta", "phi", "g"} if not (intra or inter) else set()
    assert unused == neither | ({"w_intra"} if not intra else set()) | ({"w_inter"} if not inter else set())


@pytest.mark.parametrize(("shown", "own"), [("A", 1), ("V", 0)])
def test_one_modality_alone_ignores_the_other_and_still_erases(shown: Literal["A", "V"], own: int) -> None:
    """The upper rows of Table 2."""
    torch.manual_seed(0)
    config = CTENConfig(visual_dim=5, audio_dim=4, classes=3, width=8, modalities=shown)
    network = CTEN(config).eval()
    inputs = [torch.randn(2, 7, 5), torch.randn(2, 7, 4)]
    output = network(*inputs)
    inputs[1 - own] = torch.full_like(inputs[1 - own], 100.0)
    assert all(torch.equal(one, two) for one, two in zip(output, network(*inputs), strict=True))
    inputs[own] = torch.randn_like(inputs[own])
    assert not torch.equal(output.activations, network(*inputs).activations)
    assert torch.equal(output.attention[..., 0], output.attention[..., 1])
    assert bool(erasing_mask(output.attention[..., 0], output.attention[..., 1], 0.7).any())
    assert not any(name.startswith(("visual", "audio")[1 - own]) for name, _ in network.named_parameters())
