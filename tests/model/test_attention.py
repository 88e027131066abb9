"""Attention: its initial state, its change by training, and the effect of the paper's optimiser."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sentiloc.model.data.items import Item, SegmentLabel
from sentiloc.model.fsenet.attention import CrossAttention, fused_preparation, prepared, standard_size
from sentiloc.model.fsenet.diagnostics import attention_entropy, relative_entropy
from sentiloc.model.fsenet.losses import LossConfig
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.fsenet.recipes import TrainConfig, build_optimizer
from sentiloc.model.fsenet.train import train
from sentiloc.model.segments import SnippetFeatures

CODES, BLOCK, SNIPPETS = 4, 4, 28
NETWORK = FSENetConfig(
    visual_dim=CODES + 3,
    audio_shape=None,
    face_dim=CODES,
    width=32,
    heads=2,
    dropout=0.0,
    projection_kernel=1,
    saliency_width=8,
    class_width=16,
    stage2=False,
)
ASKING = TrainConfig(
    network=NETWORK,
    loss=LossConfig(supervision="full", sc=False),
    learning_rate=3e-3,
    batch_size=16,
    epochs=45,
    schedule="cosine",
    clip=1.0,
    precision="fp32",
)


def asking_items(count: int, seed: int) -> list[Item]:
    """Videos whose first four snippets define what each of four signs means; later the face shows signs.

    The label of a later snippet follows from a comparison: the face (query) matches the visual step (key) that defines
    the sign. Without attention only the average is known.
    """
    rng = np.random.default_rng(seed)
    return [_asking_item(f"{seed}-{index}", rng) for index in range(count)]


def _asking_item(name: str, rng: np.random.Generator) -> Item:
    visual, face = (0.1 * rng.normal(size=(SNIPPETS, n)).astype(np.float32) for n in (CODES + 3, CODES))
    meanings = rng.permutation([0, 1, 2, 2])
    for step, code in enumerate(rng.permutation(CODES)):
        visual[step, code] += 3
        visual[step, CODES + meanings[code]] += 3
    segments = []
    for start in range(BLOCK, SNIPPETS, BLOCK):
        code = int(rng.integers(CODES))
        face[start : start + BLOCK, code] += 3
        if meanings[code] < 2:
            segments.append(SegmentLabel(start * 0.64, (start + BLOCK) * 0.64, int(meanings[code])))
    here = np.ones(SNIPPETS, bool)
    features = SnippetFeatures(
        visual=visual, audio=None, face=face, visual_present=here, audio_present=~here, face_present=here
    )
    return Item(name=name, features=features, fps=25.0, segments=tuple(segments))


def entropies(run: Path) -> list[float]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["entropy_face_visual"] for line in lines]


def test_attention_entropy_falls_but_not_with_coupled_decay(tmp_path: Path) -> None:
    items = asking_items(64, seed=1)
    plain = replace(ASKING, network=replace(NETWORK, attention="plain", position="none"))
    runs = {
        "ours": ASKING,
        "plain": plain,
        "coupled": replace(plain, optimizer="adam", weight_decay=5e-3),
    }
    losses = {
        name: train(config, items, [], run_dir=tmp_path / name).losses["frame"]
        for name, config in runs.items()
    }
    ours, decoupled, coupled = (entropies(tmp_path / name) for name in runs)
    assert ours[-1] < min(0.65, ours[0] - 0.1)
    assert decoupled[-1] < 0.65
    assert coupled[-1] > 0.99, "decay alone is left of the gradients of queries and keys"
    assert losses["ours"] < 0.4 * losses["coupled"]


@pytest.mark.parametrize(("width", "heads"), [(512, 8), (128, 4), (16, 2)])
def test_logits_start_with_a_deviation_of_about_one(width: int, heads: int) -> None:
    torch.manual_seed(0)
    # As the output of a projection: rectified, with a large part that is common to all steps.
    x, y = (torch.relu(torch.randn(3, 60, width) + 2 * torch.randn(width)) for _ in range(2))
    deviations = {}
    for kind in ("plain", "normalized"):
        q, k = CrossAttention(width, heads, kind=kind).compared(x, y, None)
        deviations[kind] = float((q @ k.mT / q.shape[-1] ** 0.5).std(-1).mean().detach())
    assert deviations["plain"] < 0.6
    assert 0.7 < deviations["normalized"] < 1.3


def test_the_size_of_the_weights_does_not_matter_to_normalized_attention() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(32, 2, rotary=True, kind="normalized").eval()
    x, y = torch.randn(1, 9, 32), torch.randn(1, 9, 32)
    before = attention(x, y, y)
    with torch.no_grad():
        attention.query.weight *= 7
        attention.key.weight *= 7
    assert torch.allclose(before, attention(x, y, y), atol=0.02)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("kind", ["plain", "normalized"])
def test_the_weights_shown_are_those_that_attend(kind: str, window: int | None) -> None:
    torch.manual_seed(0)
    attention = CrossAttention(16, 2, rotary=True, window=window, kind=kind).eval()  # type: ignore[arg-type]
    x, y = torch.randn(2, 11, 16), torch.randn(2, 11, 16)
    valid = torch.arange(11) < torch.tensor([[11], [8]])
    weights, seen = attention.weights(x, y, valid)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 11))
    assert not weights.masked_select(~seen[:, None].expand_as(weights)).any()
    value = torch.unflatten(attention.value(y), -1, (2, -1)).transpose(1, 2)
    expected = attention.output((weights @ value).transpose(1, 2).flatten(2))
    keep = valid[..., None]
    assert torch.allclose(
        torch.where(keep, attention(x, y, y, valid), 0.0), torch.where(keep, expected, 0.0), atol=1e-5
    )
    rows, _ = attention.weights(x, y, valid, slice(3, 7))
    assert torch.allclose(rows, weights[:, :, 3:7])


def test_relative_entropy_is_one_for_a_mean_and_zero_for_one_step() -> None:
    attention = CrossAttention(16, 2).eval()
    x = torch.randn(2, 300, 16)
    with torch.no_grad():
        attention.query.weight.zero_()
        attention.query.bias.zero_()
    valid = torch.arange(300) < torch.tensor([[300], [120]])
    assert torch.allclose(relative_entropy(attention, x, x, valid), torch.ones(2, 2), atol=1e-5)
    with torch.no_grad():
        attention.query.weight.copy_(100 * torch.eye(16))
        attention.key.weight.copy_(torch.eye(16))
    unit = torch.nn.functional.normalize(torch.randn(1, 50, 16), dim=-1)
    assert float(relative_entropy(attention, unit, unit).mean()) < 0.4
    assert torch.equal(relative_entropy(attention, unit[:, :1], unit[:, :1]), torch.ones(1, 2))


def test_local_heads_start_near_and_the_first_head_anywhere() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(64, 4, rotary=True, kind="normalized").eval()
    same = torch.ones(1, 40, 64)
    weights = attention.weights(same, same)[0][0, :, 20]
    assert torch.allclose(weights[0], torch.full((40,), 1 / 40), atol=1e-4)
    assert weights[3].argmax() == 20 and weights[3, 20] > 3 * weights[3, 0]


@pytest.mark.parametrize("steps", [1, 5])
def test_a_stream_that_never_changes_is_not_blown_up(steps: int) -> None:
    x = torch.rand(1, 2, 1, 8).expand(-1, -1, steps, -1) * 3
    assert standard_size(x, None).abs().max() < 1e-3


@pytest.mark.parametrize("rotary", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_training_prepares_queries_as_export_does(
    rotary: bool, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients of the fused operation are those of the plain ones, which export traces."""
    torch.manual_seed(0)
    x = torch.randn(2, 9, 3, 16).transpose(1, 2).requires_grad_()
    valid = torch.arange(9)[None] < torch.tensor([[9], [6]]) if padded else None
    size, offset = torch.rand(3, 1, 1).add(0.5).requires_grad_(), torch.randn(3, 16, requires_grad=True)
    towards = torch.randn(2, 3, 9, 16)
    fused = prepared(x, valid, size, offset, rotary=rotary)
    gradients = torch.autograd.grad((fused * towards).sum(), (x, size, offset))
    assert "Preparation" in type(fused.grad_fn).__name__
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    plain = prepared(x, valid, size, offset, rotary=rotary)
    assert torch.allclose(fused, plain, atol=1e-6)
    expected = torch.autograd.grad((plain * towards).sum(), (x, size, offset))
    for found, wanted in zip(gradients, expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_keys_have_no_size_and_half_precision_stays_it() -> None:
    x = torch.randn(1, 2, 5, 8, dtype=torch.bfloat16, requires_grad=True)
    offset = torch.zeros(2, 8)
    fused = fused_preparation(x, None, None, offset, 4)
    assert torch.allclose(fused, prepared(x.detach(), None, None, offset, rotary=True), atol=1e-5)
    (gradient,) = torch.autograd.grad(fused.sum(), x)
    assert gradient.dtype == torch.bfloat16


def test_entropy_is_reported_by_stage_and_leaves_the_network_as_it_was() -> None:
    network = FSENet(replace(NETWORK, stage2=True)).train()
    found = attention_entropy(network, asking_items(2, seed=0))
    assert set(found) == {"face_visual", "face_audio", "audio_visual", "visual_audio"}
    assert all(0 < value <= 1 for value in found.values())
    assert network.training
    assert not any(module._forward_hooks for module in network.attention.values())


def test_weight_decay_excludes_queries_keys_and_vectors() -> None:
    network = FSENet(NETWORK)
    decayed, spared = build_optimizer(network, ASKING).param_groups
    names = {id(x): name for name, x in network.named_parameters()}
    kept = {names[id(x)] for x in spared["params"]}
    assert {"attention.face_visual.query.weight", "attention.face_visual.key_offset", "visual.absent"} <= kept
    assert "attention.face_visual.value.weight" in {names[id(x)] for x in decayed["params"]}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    printed = build_optimizer(network, replace(ASKING, optimizer="adam")).param_groups
    assert len(printed) == 1 and len(printed[0]["params"]) == len(names)
