"""Padding changes nothing: pseudo-labels of a video do not depend on its batch."""

from __future__ import annotations

import torch

from sentiloc.model.fsenet.batching import collate
from sentiloc.model.fsenet.losses import LossConfig, total_loss
from sentiloc.model.fsenet.network import FSENet, FSENetConfig, FSENetOutput
from sentiloc.model.fsenet.pseudo_labels import gaussian_scores
from tests.model.tiny_items import TINY_TRAINING, tiny_items

STEPS, PADDING = 30, 25


def output_of(network: FSENet, padding: int) -> tuple[FSENetOutput, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"visual": (16,), "audio": (32, 60), "face": (8,)}
    streams = {name: torch.randn(1, STEPS, *shape, generator=generator) for name, shape in shapes.items()}
    streams = {name: torch.cat([x, torch.zeros(1, padding, *x.shape[2:])], 1) for name, x in streams.items()}
    valid = torch.tensor([[True] * STEPS + [False] * padding])
    with torch.no_grad():
        output = network(**streams, **{f"{name}_present": valid for name in streams}, valid=valid)
    return output, valid


def test_gaussian_labels_end_with_their_video() -> None:
    for seed in range(8):
        torch.manual_seed(seed)
        network = FSENet(FSENetConfig(visual_dim=16, face_dim=8, width=32, heads=2)).eval()
        labels = []
        for padding in (0, PADDING):
            output, valid = output_of(network, padding)
            points = torch.zeros(1, STEPS + padding, 2, dtype=torch.bool)
            points[0, STEPS - 2, 1] = True
            labels.append(gaussian_scores(output.scores, output.fused, points, 7, valid)[:, :STEPS])
        assert torch.allclose(labels[0], labels[1], atol=1e-3), seed


def test_video_labels_train_the_saliency() -> None:
    config = LossConfig(supervision="video")
    for wanted, trained in ((config, True), (LossConfig(supervision="video", saliency_base=False), False)):
        torch.manual_seed(0)
        network = FSENet(TINY_TRAINING.network)
        batch = collate(tiny_items(2, seed=0), network.config, "video")
        output = network(**batch.inputs())
        torch.autograd.backward(total_loss(output, batch.labels, batch.valid, wanted).total)
        moved = [x.grad for name, x in network.named_parameters() if name.startswith("regression")]
        assert any(grad is not None and bool(grad.abs().sum() > 0) for grad in moved) is trained
