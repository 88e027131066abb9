"""The benchmark on real clips: exact boundaries, noisy points, and what replacing attention by its mean does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.face_world import NETWORK, make_videos
from experiments.mean_attention import STAGES, face_matters, without_attention
from experiments.real_ablations import interval, splits, stages_of, worth_of
from experiments.real_sequences import Clip, band_statistics, make_sequences
from sentiloc.model.fsenet.batching import collate
from sentiloc.model.fsenet.network import FSENet


def clips() -> list[Clip]:
    """Four clips of three snippets an actor; the face's first value says the label, the visual one who it is."""
    found = []
    for actor in range(3):
        for label in (None, None, 0, 1):
            face = np.full((3, 2), -1.0 if label is None else label, np.float32)
            visual = np.full((3, 1), actor, np.float32)
            present = np.ones((3, 3), bool)
            found.append(
                Clip(actor=f"a{actor}", label=label, visual=visual, audio=face, face=face, present=present)
            )
    return found


def test_segments_hold_the_clips_of_their_class_and_nothing_else_does() -> None:
    for item in make_sequences(clips(), 20, seed=1):
        assert item.features.face is not None and item.features.visual is not None
        shown = item.features.face[:, 0]
        frames = item.segment_array()
        assert np.array_equal(frames[:, 0] == 1, shown == 0)
        assert np.array_equal(frames[:, 1] == 1, shown == 1)
        assert len(np.unique(item.features.visual)) <= 2


def test_sequences_are_a_function_of_their_seed_and_points_are_as_noisy_as_tsl300s() -> None:
    items, again = make_sequences(clips(), 200, seed=1), make_sequences(clips(), 200, seed=1)
    assert [item.points for item in items] == [item.points for item in again]
    inside = [
        any(
            s.start <= (p.snippet + 0.5) * 0.64 < s.end and s.class_index == p.class_index
            for s in item.segments
        )
        for item in items
        for p in item.points
    ]
    assert 0.5 < np.mean(inside) < 0.65


def test_band_statistics_are_mean_deviation_and_change() -> None:
    patch = np.array([[[0.0, 1.0], [2.0, 1.0], [0.0, 1.0]]], np.float32)
    assert band_statistics(patch)[0].tolist() == pytest.approx([2 / 3, 1, 0.942809, 0, 2, 0], abs=1e-5)


def test_without_attention_all_steps_are_equal_and_the_network_is_restored() -> None:
    torch.manual_seed(0)
    network, item = FSENet(NETWORK).eval(), make_videos(1, seed=0)[0]
    inputs = collate([item], NETWORK, "full").inputs()
    before = network(**inputs).scores
    seen: list[torch.Tensor] = []
    with without_attention(network, STAGES["stage1"]):
        attention = network.attention["face_audio"]
        handle = attention.register_forward_hook(lambda _m, _i, output: seen.append(output))
        changed = network(**inputs).scores
        handle.remove()
    assert torch.equal(seen[0], seen[0][:, :1].expand_as(seen[0]))
    assert not torch.allclose(before, changed)
    assert torch.equal(before, network(**inputs).scores)
    assert face_matters(network, [item]) > 0.01
    assert not any(module._forward_hooks for module in network.attention.values())


@pytest.mark.parametrize("validation", [False, True])
def test_the_left_out_actor_is_scored_or_with_validation_not_used_at_all(validation: bool) -> None:
    scored, used = [], []
    for test, trained in splits(clips(), validation=validation):
        actors = {clip.actor for clip in trained}
        scored += [*{clip.actor for clip in test}]
        used.append(actors | {scored[-1]})
        assert scored[-1] not in actors
    assert sorted(scored) == ["a0", "a1", "a2"]
    assert all(
        (actor in actors) is not validation for actor, actors in zip(("a0", "a1", "a2"), used, strict=True)
    )


def test_only_the_stages_of_a_network_are_replaced() -> None:
    assert stages_of(FSENet(replace(NETWORK, stage2=False))) == {"stage1": STAGES["stage1"]}
    assert stages_of(FSENet(replace(NETWORK, stage1=False, stage2=True))) == {"stage2": STAGES["stage2"]}
    runs = {"lean/0/a": {"mAP": 0.5, "mean_stage1": 0.3}, "lean/1/a": {"mAP": 0.5}, "full/0/a": {"mAP": 0.1}}
    assert worth_of({"runs": runs}, "lean", "stage1").tolist() == pytest.approx([20])


def test_the_interval_is_students() -> None:
    assert interval(np.array([1.0, 2.0, 3.0])) == "+2.0 [-0.5, +4.5]"
    assert interval(np.array([1.0])) == "-"
