"""CTEN: computes class activations and temporal attention from two modalities of a video's segments.

Shapes: batch B, segments T, M classes, width C for both modalities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sentiloc.model.cten.erasing import banded, banded_attention, normalise, temporal_attention
from sentiloc.model.cten.relation import inter_modal, intra_modal, project

# Avoids a division by zero for a video without attention.
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class CTENConfig:
    """Sizes and switches; features of width C need no projection in the paper (2048 for both modalities).

    Not in the paper, chosen here:

    - width: if the features' widths differ or are not C, a linear layer projects both to C.
    - segments None: videos of any length, and a banded W1 (`sentiloc.model.cten.erasing.banded`). The paper has 10:
    every video has this number of segments, and W1 (T, T) has a weight for each pair. It is initialized as the banded
    one.
    - mix 3: extent of the banded W1.
    - norm True: a layer norm on the projected features, because features of other extractors differ in scale.
    - dropout 0.1 on the projected features.
    - intra, inter: the rows of Table 2; without inter F'' is F, without intra F' is F.
    - modalities: "A" or "V" alone are the upper rows of Table 2: the other modality has no weights and no part in
      equation 9, F'' is F, and the classifier reads one vector.
    """

    visual_dim: int
    audio_dim: int
    classes: int
    width: int = 2048
    mix: int = 3
    norm: bool = True
    dropout: float = 0.1
    intra: bool = True
    inter: bool = True
    modalities: Literal["AV", "A", "V"] = "AV"
    segments: int | None = None

    def __post_init__(self) -> None:
        sizes_fit = self.mix % 2 == 1 and min(self.visual_dim, self.audio_dim, self.width) >= 1
        sizes_fit = sizes_fit and (self.segments is None or self.segments >= 2)
        if not sizes_fit or self.classes < 2 or self.modalities not in ("AV", "A", "V"):
            raise ValueError(f"not a CTEN configuration: {self}")


class CTENOutput(NamedTuple):
    """activations (B, M) of the video, segments (B, T, M) of each segment, attention (B, T, 2): eq. 8 of the
    visual and of the audio modality, in [0, 1]; with one modality alone both columns are its own.
    """

    activations: Tensor
    segments: Tensor
    attention: Tensor


class Modality(nn.Module):
    """The learnable parts of one modality: theta, phi, g (eq. 1), W_z (4), W (6), W1 and W2 (7)."""

    def __init__(self, inputs: int, config: CTENConfig) -> None:
        super().__init__()
        width = config.width
        self.adapt = nn.Identity() if inputs == width else nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width) if config.norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.theta, self.phi, self.g = (
            nn.Parameter(torch.randn(width, width) / width**0.5) for _ in range(3)
        )
        # Zero, as in non-local networks: at the start the residual blocks change nothing.
        self.w_intra = nn.Parameter(torch.zeros(width, width))
        self.w_inter = nn.Parameter(torch.zeros(width, width))
        self.w2 = nn.Parameter(torch.randn(1, width) / width**0.5)
        # Close to the identity: a segment counts twice as much as its neighbours together.
        kernel = torch.full((config.mix,), 0.5 / max(config.mix - 1, 1))
        kernel[config.mix // 2] = 1.0
        # W1 has one of two forms.
        self.kernel = nn.Parameter(kernel) if config.segments is None else None
        if config.segments is not None:
            self.w1 = nn.Parameter(banded(kernel, config.segments))

    def embed(self, x: Tensor) -> Tensor:
        """Features (B, T, inputs) to F (B, T, C)."""
        embedded: Tensor = self.dropout(self.norm(self.adapt(x)))
        return embedded

    def attention(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Equation 7 of F' + F'' (B, T, C): (B, T)."""
        if self.kernel is not None:
            return banded_attention(features, self.kernel, self.w2, valid)
        return temporal_attention(features, self.w1, self.w2, valid)


class CTEN(nn.Module):
    """Cross-modal temporal erasing network; erasing itself belongs to training (`model/cten/training.py`)."""

    def __init__(self, config: CTENConfig) -> None:
        super().__init__()
        self.config = config
        shown = config.modalities
        self.visual = Modality(config.visual_dim, config) if "V" in shown else None
        self.audio = Modality(config.audio_dim, config) if "A" in shown else None
        self.classifier = nn.Linear(len(shown) * config.width, config.classes)

    def forward(self, visual: Tensor, audio: Tensor, valid: Tensor | None = None) -> CTENOutput:
        """visual (B, T, visual_dim), audio (B, T, audio_dim), valid bool (B, T): segments that are there.

        Features of a modality that the network does not have are ignored.
        """
        given = ((self.visual, visual), (self.audio, audio))
        parts = [(part, features) for part, features in given if part is not None]
        enhanced = self._enhance(parts, valid)
        raw = [part.attention(features, valid) for features, (part, _) in zip(enhanced, parts, strict=True)]
        pooled = [attend(features, weight, valid) for features, weight in zip(enhanced, raw, strict=True)]
        activations = self.classifier(torch.cat(pooled, dim=-1))
        segments = self.classifier(torch.cat(enhanced, dim=-1))
        attention = torch.stack([normalise(weight, valid) for weight in (raw[0], raw[-1])], dim=-1)
        return CTENOutput(activations, segments, attention)

    def _enhance(self, parts: list[tuple[Modality, Tensor]], valid: Tensor | None) -> list[Tensor]:
        """Equation 6's sum F' + F'' of each modality."""
        features = [part.embed(x) for part, x in parts]
        projected = [
            project(x, part.theta, part.phi, part.g) for x, (part, _) in zip(features, parts, strict=True)
        ]
        enhanced = []
        for (part, _), x, own, other in zip(parts, features, projected, projected[::-1], strict=True):
            intra = intra_modal(x, own, part.w_intra, valid) if self.config.intra else x
            is_paired = self.config.inter and len(parts) > 1
            enhanced.append(intra + (inter_modal(x, own, other, part.w_inter, valid) if is_paired else x))
        return enhanced


def attend(features: Tensor, attention: Tensor, valid: Tensor | None = None) -> Tensor:
    """One vector (B, C) per video: the mean of features (B, T, C) weighted by attention (B, T).

    The paper does not define the pooling but follows VAANet; weights that sum to one make it independent of T. A video
    whose attention is zero everywhere gets the plain mean.
    """
    weight = attention + _EPSILON
    if valid is not None:
        weight = weight * valid
    weight = weight / weight.sum(1, keepdim=True).clamp(min=_EPSILON)
    return (weight.unsqueeze(1) @ features).squeeze(1)
