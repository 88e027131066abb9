"""Ideas of the other two systems in FSENet's training: Gaussian pseudo-labels, temporal erasing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sentiloc.model.fsenet.batching import collate
from sentiloc.model.fsenet.losses import LossConfig, total_loss
from sentiloc.model.fsenet.network import FSENet, FSENetOutput
from sentiloc.model.fsenet.pseudo_labels import gaussian_scores, pseudo_labels
from sentiloc.model.fsenet.step import erased_steps, erasing_loss
from tests.model.tiny_items import TINY_TRAINING, tiny_items

CONFIG = TINY_TRAINING.network


def test_gaussian_labels_follow_features_around_the_apex() -> None:
    scores = torch.zeros(1, 9, 3)
    scores[0, :, 1] = torch.tensor([0.0, 0.0, 0.1, 0.6, 0.9, 0.8, 0.2, 0.0, 0.0])
    features = torch.zeros(1, 9, 2)
    features[0, 3, 0], features[0, 5, 1] = 1.0, 2.0
    points = torch.zeros(1, 9, 2, dtype=torch.bool)
    points[0, 3, 1] = True
    labels = gaussian_scores(scores, features, points, w=4)
    sigma_squared = (1.0 + 4.0) / (1.2 * 3)
    expected = [0, 0, 0, 1.0, 1.0, math.exp(-4 / (2 * sigma_squared)), 0, 0, 0]
    assert labels[0, :, 1].tolist() == pytest.approx(expected)
    assert not labels[0, :, 0].any()
    whole = pseudo_labels(scores, points, points.any(1), kind="gaussian", features=features, w=4)
    assert float(whole[0, 4, 1]) == 1.0
    with pytest.raises(ValueError, match="features"):
        pseudo_labels(scores, points, points.any(1), kind="gaussian")


def test_keyframes_are_where_saliency_and_a_class_are_strong() -> None:
    scores = torch.zeros(1, 4, 3)
    scores[0, :, 0] = torch.tensor([0.1, 0.9, 0.5, 0.9])
    saliency = torch.tensor([0.2, 0.8, 0.7, 0.3])[None, :, None]
    output = FSENetOutput(scores, scores, saliency, scores)
    valid = torch.ones(1, 4, dtype=torch.bool)
    assert erased_steps(output, valid, 0.7).tolist() == [[False, True, False, False]]


def test_erasing_adds_a_loss_that_teaches() -> None:
    torch.manual_seed(0)
    items = tiny_items(4, seed=0)
    network = FSENet(CONFIG)
    batch = collate(items, CONFIG, "video")
    config = LossConfig(supervision="video", erasing=0.5)
    output = network(**batch.inputs())
    loss = erasing_loss(network, batch, output, config)
    assert float(loss) > 0
    torch.autograd.backward(loss)
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())
    assert float(erasing_loss(network, batch, output, replace(config, erasing=None))) == 0.0


def test_gaussian_labels_train_a_batch() -> None:
    torch.manual_seed(0)
    network = FSENet(CONFIG)
    batch = collate(tiny_items(4, seed=0), CONFIG, "point")
    terms = total_loss(
        network(**batch.inputs()), batch.labels, batch.valid, LossConfig(pseudo_label="gaussian")
    )
    assert math.isfinite(float(terms.total))
