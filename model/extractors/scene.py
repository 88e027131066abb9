"""FSENet's view of I3D's features: the probabilities of groups of actions by I3D's classifier, and a few principal
axes.

With few training videos, a network would overfit to 1024 features. The pre-trained classifier has seen 300,000 videos:
crying or laughing is evidence of sentiment, and an instrument or an animal is evidence of another source of the sound.
Only the axes are fitted, on training pictures; the rest is fixed by the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "crying": ("crying",),
        "laughing": ("laughing",),
        "joy": ("celebrating", "hugging", "kissing", "tickling"),
        "applause": ("applauding", "clapping", "cheerleading", "giving or receiving award"),
        "fight": ("headbutting", "slapping", "punching person (boxing)", "wrestling", "sword fighting"),
        "fire": ("extinguishing fire", "juggling fire"),
        "baby": ("baby waking up", "carrying baby", "crawling baby"),
        "talk": (
            "answering questions",
            "news anchoring",
            "presenting weather forecast",
            "sign language interpreting",
            "testifying",
        ),
        "music": (
            "singing",
            "strumming guitar",
            "playing guitar",
            "playing piano",
            "playing drums",
            "playing violin",
            "playing cello",
            "playing saxophone",
            "playing trumpet",
            "playing harp",
        ),
        "face": (
            "sneezing",
            "yawning",
            "shaking head",
            "sticking tongue out",
            "smoking",
            "blowing nose",
            "gargling",
        ),
    }
)
"""The groups of Kinetics-400 classes. Each value is the logarithm of the sum of the group's probabilities."""
LEAST = 1e-3
"""Added to a group's probability, because differences below it are meaningless."""
FURTHEST = 4.0
"""Coordinates are clipped at this many standard deviations of the training pictures."""


class SceneReader(nn.Module):
    """I3D features (batch, time, 1024) -> readings (batch, time, `outputs`): groups first, then the axes' coordinates.

    `weight` (400, 1024) and `bias` (400,) are I3D's classifier, `members` (groups, 400) says which classes a group has,
    `axes` (n, 1024) with `mean` (1024,) give coordinates of unit deviation on training pictures.
    """

    weight: Tensor
    bias: Tensor
    members: Tensor
    axes: Tensor
    mean: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, members: Tensor, axes: Tensor, mean: Tensor) -> None:
        super().__init__()
        for name, value in {
            "weight": weight,
            "bias": bias,
            "members": members.to(weight.dtype),
            "axes": axes,
            "mean": mean,
        }.items():
            self.register_buffer(name, value)
        self.outputs = len(members) + len(axes)

    def forward(self, features: Tensor) -> Tensor:
        """features (batch, time, 1024), not negative -> (batch, time, outputs)."""
        # The features are already averaged over the clip; a linear classifier gives the same as averaging
        # its logits.
        shares = torch.softmax(features @ self.weight.T + self.bias, dim=-1)
        groups = torch.log(shares @ self.members.T + LEAST)
        coordinates = ((features - self.mean) @ self.axes.T).clamp(-FURTHEST, FURTHEST)
        return torch.cat([groups, coordinates], dim=-1)


def group_members(class_names: Sequence[str]) -> Tensor:
    """Which classes each of `GROUPS` has, (groups, classes); raises ValueError for an unknown class."""
    places = {name: place for place, name in enumerate(class_names)}
    missing = [name for names in GROUPS.values() for name in names if name not in places]
    if missing:
        raise ValueError(f"no such classes: {', '.join(missing)}")
    members = torch.zeros(len(GROUPS), len(class_names))
    for row, names in zip(members, GROUPS.values(), strict=True):
        row[[places[name] for name in names]] = 1.0
    return members
