"""The reader of I3D features: groups of the classifier's actions, and coordinates; equal in every batch."""

from __future__ import annotations

import pytest
import torch

from sentiloc.model.extractors.i3d_kinetics import class_names
from sentiloc.model.extractors.scene import FURTHEST, GROUPS, LEAST, SceneReader, group_members


def make_reader(dim: int = 12, axes: int = 3) -> SceneReader:
    torch.manual_seed(0)
    names = class_names()
    weight, bias = torch.randn(len(names), dim), torch.randn(len(names))
    return SceneReader(weight, bias, group_members(names), torch.randn(axes, dim), torch.rand(dim)).eval()


def test_a_group_is_the_sum_of_its_actions() -> None:
    reader, features = make_reader(), torch.rand(2, 5, 12)
    shares = torch.softmax(features @ reader.weight.T + reader.bias, -1)
    read, names = reader(features), list(class_names())
    for column, members in enumerate(GROUPS.values()):
        expected = torch.stack([shares[..., names.index(name)] for name in members]).sum(0)
        torch.testing.assert_close(read[..., column], torch.log(expected + LEAST))
    assert read.shape == (2, 5, len(GROUPS) + 3) and reader.outputs == read.shape[-1]


def test_coordinates_are_clipped_to_the_range_of_training() -> None:
    reader = make_reader()
    coordinates = reader(100 * torch.rand(1, 4, 12))[..., len(GROUPS) :]
    assert coordinates.abs().max() == FURTHEST
    near = reader(reader.mean.expand(1, 1, -1))[..., len(GROUPS) :]
    torch.testing.assert_close(near, torch.zeros_like(near))


def test_every_action_is_a_kinetics_class_and_in_one_group() -> None:
    members = group_members(class_names())
    assert members.sum() == sum(len(names) for names in GROUPS.values())
    assert members.sum(0).max() == 1
    with pytest.raises(ValueError, match="crying"):
        group_members([name for name in class_names() if name != "crying"])
