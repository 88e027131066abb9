"""GIM's two branches over flow features: the intensity of an expression, and its class.

Shapes: batch B, frames T, input width `inputs`, feature width D, C expression classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class GIMConfig:
    """Sizes of the network. The paper uses features of SpotFormer, a separate network trained on the same data set. It
    is replaced by dilated convolutions over time, with a receptive field of 31 frames (about a second).

    - width 64: there are only a few hundred expressions to learn from.
    - dilations: each doubles the receptive field, so that at the apex of a slow macro-expression it includes the onset.
    - actions are a softmax: equation 13 has no term that lowers the other class on an expression's frames, so that
      independent sigmoids end with every expression in both classes.
    - prior 0.1: the initial intensity, because most frames are neutral.
    """

    inputs: int
    width: int = 64
    classes: int = 2
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    dropout: float = 0.1
    prior: float = 0.1


class GIMOutput(NamedTuple):
    """intensity a (B, T) and actions S (B, T, C) in [0, 1]; features X and embedded F, both (B, T, D); logits
    (B, T), whose sigmoid a is.
    """

    intensity: Tensor
    actions: Tensor
    features: Tensor
    embedded: Tensor
    logits: Tensor

    @property
    def fine_intensity(self) -> Tensor:
        """a (B, T) in float64. In float32, strong expressions reach 1 over many frames, and equation 1 would take the
        first of them as the apex. In float64 the highest frame stays distinct.
        """
        return torch.sigmoid(self.logits.double())


class GIM(nn.Module):
    """The expression intensity branch and the action classification branch of section 3.2, on embedded flow.

    Intermediate features X of equations 2 to 5 are those of the intensity branch; F of equation 7 is what both branches
    read.
    """

    def __init__(self, config: GIMConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.inputs] + [config.width] * len(config.dilations)
        self.embed = nn.ModuleList(
            nn.Conv1d(source, config.width, 3, padding=dilation, dilation=dilation)
            for source, dilation in zip(widths, config.dilations, strict=False)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.intensity_hidden = nn.Conv1d(config.width, config.width, 3, padding=1)
        self.intensity_score = nn.Conv1d(config.width, 1, 1)
        self.action_hidden = nn.Conv1d(config.width, config.width, 3, padding=1)
        self.action_score = nn.Conv1d(config.width, config.classes, 1)
        with torch.no_grad():
            nn.init.constant_(self.intensity_score.bias, float(torch.logit(torch.tensor(config.prior))))  # type: ignore[arg-type]

    def forward(self, flow: Tensor) -> GIMOutput:
        """flow (B, T, inputs) -> intensity a (B, T), actions S (B, T, C), features X and embedded F (B, T, D)."""
        hidden = flow.transpose(1, 2)
        for index, layer in enumerate(self.embed):
            added = functional.relu(layer(hidden))
            hidden = added if index == 0 else hidden + added
        embedded = self.dropout(hidden)
        features = functional.relu(self.intensity_hidden(embedded))
        actions = functional.relu(self.action_hidden(embedded))
        logits = self.intensity_score(features).squeeze(1)
        return GIMOutput(
            torch.sigmoid(logits),
            torch.softmax(self.action_score(actions), dim=1).mT,
            features.mT,
            embedded.mT,
            logits,
        )
