"""Facial expression nets: a small residual net that ships, and the full ResEmoteNet for users with a GPU.

Both map grey faces `(batch, 1, side, side)` in [0, 1] to an embedding `(batch, 256)` and to what linear heads read
from it: eight emotions (FER+, Barsoum et al. 2016), sentiment, 52 blendshapes (the names of ARKit and MediaPipe), and
whether there is a face at all. Pixel normalisation is part of the nets, so callers pass plain grey values.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sentiloc.model.extractors.face_crop import CROP_MARGIN as CROP_MARGIN
from sentiloc.model.extractors.face_crop import FACE_SIZE as FACE_SIZE

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
SENTIMENTS = ("negative", "positive", "neutral")
BLENDSHAPES = (
    *(
        "neutral",
        "browDownLeft",
        "browDownRight",
        "browInnerUp",
        "browOuterUpLeft",
        "browOuterUpRight",
        "cheekPuff",
    ),
    *(
        "cheekSquintLeft",
        "cheekSquintRight",
        "eyeBlinkLeft",
        "eyeBlinkRight",
        "eyeLookDownLeft",
        "eyeLookDownRight",
    ),
    *(
        "eyeLookInLeft",
        "eyeLookInRight",
        "eyeLookOutLeft",
        "eyeLookOutRight",
        "eyeLookUpLeft",
        "eyeLookUpRight",
    ),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen"),
    *("jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
    *(
        "mouthFunnel",
        "mouthLeft",
        "mouthLowerDownLeft",
        "mouthLowerDownRight",
        "mouthPressLeft",
        "mouthPressRight",
    ),
    *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft"),
    *("mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)
EMBEDDING_DIM = 256
# Any fixed affine map would do, because the first batch norm absorbs it.
PIXEL_MEAN, PIXEL_STD = 0.5, 0.25
NETS = ("small", "resemotenet")


class Readings(NamedTuple):
    """embedding `(batch, 256)` and logits: emotion `(batch, 8)`, sentiment `(batch, 3)`, blendshapes `(batch, 52)`,
    face `(batch,)`.
    """

    embedding: Tensor
    emotion: Tensor
    sentiment: Tensor
    blendshapes: Tensor
    face: Tensor


class _Heads(nn.Module):
    """The heads besides the emotion. Every head is linear, so the embedding contains its information, too."""

    def __init__(self) -> None:
        super().__init__()
        self.sentiment = nn.Linear(EMBEDDING_DIM, len(SENTIMENTS))
        self.blendshapes = nn.Linear(EMBEDDING_DIM, len(BLENDSHAPES))
        self.face = nn.Linear(EMBEDDING_DIM, 1)

    def forward(self, embedding: Tensor, emotion: Tensor) -> Readings:
        return Readings(
            embedding,
            emotion,
            self.sentiment(embedding),
            self.blendshapes(embedding),
            self.face(embedding)[:, 0],
        )


class SqueezeExcite(nn.Module):
    """Channel attention of Hu et al. 2018: pooled channels pass a bottleneck and gate the feature map."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Gate `(batch, channels, height, width)`; the shape stays."""
        pooled = features.mean((2, 3), keepdim=True)
        return features * torch.sigmoid(self.excite(torch.relu(self.squeeze(pooled))))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
    return nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, optional squeeze-excite, a pooled 1×1 shortcut (He et al.)."""

    def __init__(self, inputs: int, outputs: int, stride: int, squeeze_excite: bool = False) -> None:
        super().__init__()
        last_norm = nn.BatchNorm2d(outputs)
        nn.init.zeros_(last_norm.weight)  # zero: the block starts as its shortcut only, which trains faster
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            last_norm,
            SqueezeExcite(outputs) if squeeze_excite else nn.Identity(),
        )
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, inputs, height, width)` to `(batch, outputs, ⌈height/stride⌉, ⌈width/stride⌉)`."""
        return torch.relu(self.body(features) + self.shortcut(features))


class ExpressionNet(nn.Module):
    """The net that ships: 2×2 space-to-depth stem, four residual blocks, pooled, batch-normalised embedding.

    Space-to-depth keeps every pixel at a quarter of the stem's cost. The batch norm after the pooling gives the
    embedding zero mean and unit variance per channel, which helps the networks that use it.
    """

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Conv2d(4, 48, 3, 1, 1, bias=False)
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), stem, nn.BatchNorm2d(48), nn.ReLU())
        self.blocks = nn.Sequential(
            ResidualBlock(48, 48, 1),
            ResidualBlock(48, 96, 2, squeeze_excite=True),
            ResidualBlock(96, 192, 2, squeeze_excite=True),
            ResidualBlock(192, 192, 1, squeeze_excite=True),
        )
        head = nn.Conv2d(192, EMBEDDING_DIM, 1, bias=False)
        self.head = nn.Sequential(head, nn.BatchNorm2d(EMBEDDING_DIM), nn.ReLU())
        self.normalise = nn.BatchNorm1d(EMBEDDING_DIM)
        self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(EMBEDDING_DIM, len(EMOTIONS)))
        self.heads = _Heads()

    def forward(self, faces: Tensor) -> Readings:
        """Faces `(batch, 1, even side, side)` in [0, 1] → `Readings`."""
        features = self.stem((faces - PIXEL_MEAN) / PIXEL_STD)
        pooled = self.head(self.blocks(features)).mean((2, 3))
        # Every head, the emotion too, reads the normalised embedding, so it holds all that is served.
        embedding = self.normalise(pooled)
        readings: Readings = self.heads(embedding, self.classifier(embedding))
        return readings


def _stem_stage(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, 1, 1)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2))


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.5))


class ResEmoteNet(nn.Module):
    """ResEmoteNet (Roy et al. 2024), about 80 M parameters, on grey input.

    Convolutional stem 64/128/256, squeeze-excite, three residual blocks to 2048 channels, adaptive average
    pooling, dense layers 1024/512/256. The embedding is the 256-d layer, standardised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_stem_stage(1, 64), _stem_stage(64, 128), _stem_stage(128, 256))
        self.attention = SqueezeExcite(256, reduction=16)
        widths = (256, 512, 1024, 2048)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, 2) for a, b in pairwise(widths)))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dense = nn.Sequential(_dense(2048, 1024), _dense(1024, 512), _dense(512, EMBEDDING_DIM))
        # No scale or shift: the linear heads behind it can express both.
        self.normalise = nn.BatchNorm1d(EMBEDDING_DIM, affine=False)
        self.classifier = nn.Linear(EMBEDDING_DIM, len(EMOTIONS))
        self.heads = _Heads()

    def forward(self, faces: Tensor) -> Readings:
        """Faces `(batch, 1, side ≥ 8, side)` in [0, 1] → `Readings`."""
        features = self.attention(self.stem((faces - PIXEL_MEAN) / PIXEL_STD))
        penultimate = self.dense(self.pool(self.blocks(features)))
        readings: Readings = self.heads(self.normalise(penultimate), self.classifier(penultimate))
        return readings


class ServedExpression(nn.Module):
    """What is exported: the embedding and probabilities.

    With `mirror`, outputs are averaged over each face and its mirror image, because expressions are symmetric.
    """

    def __init__(self, net: nn.Module, mirror: bool) -> None:
        super().__init__()
        self.net = net
        self.mirror = mirror

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        """Faces `(batch, 1, side, side)` in [0, 1] → embedding `(batch, 256)`, emotion `(batch, 8)`, sentiment
        `(batch, 3)`, blendshapes `(batch, 52)`, face `(batch,)`.
        """
        served = _probabilities(self.net(faces))
        if not self.mirror:
            return served
        mirrored = _probabilities(self.net(faces.flip(-1)))
        return tuple((one + other) / 2 for one, other in zip(served, mirrored, strict=True))


def _probabilities(readings: Readings) -> tuple[Tensor, ...]:
    emotion, sentiment = readings.emotion.softmax(-1), readings.sentiment.softmax(-1)
    return readings.embedding, emotion, sentiment, readings.blendshapes.sigmoid(), readings.face.sigmoid()


def build_net(name: str) -> nn.Module:
    """The net called `name`, one of `NETS`; raises ValueError for another name."""
    if name == "small":
        return ExpressionNet()
    if name == "resemotenet":
        return ResEmoteNet()
    raise ValueError(f"unknown net {name!r}, expected one of {NETS}")
