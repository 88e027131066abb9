"""A small anchor-free face detector, trained by this project: the network, its targets, its loss, its export.

One luminance channel goes in: faces are found by structure, so grey and oddly coloured video cost nothing. Each cell of
three grids (strides 8, 16 and 32) predicts a score and the distances to the four sides of a box. The score is trained
towards the overlap of the predicted with the true box (quality focal loss, arXiv:2006.04388), the box with generalized
IoU (arXiv:1902.09630); cells near the centre of a face are positive, as in FCOS (arXiv:1904.01355).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)
LEVEL_SIDES = ((0.0, 40.0), (40.0, 96.0), (96.0, float("inf")))
LEVEL_OVERLAP = 1.25
CENTRE_CELLS = 1.0
CENTRE_SHARE = 0.16
BOX_LOSS_WEIGHT = 2.0
OPSET = 17


class Targets(NamedTuple):
    """The training targets of A cells: boxes (batch, A, 4) in pixels, and positive and counted masks (batch, A)."""

    boxes: Tensor
    positive: Tensor
    counted: Tensor


def _conv(inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """Depthwise 5x5 and two pointwise convolutions; a residual where the shape allows it."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inputs, 5, stride, 2, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            _conv(inputs, outputs, kernel=1),
            nn.Conv2d(outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return F.relu(x + y if self.residual else y)


class FaceDetector(nn.Module):
    """Luminance (batch, 1, height, width) in [-1, 1], sides multiples of 32 -> logits (batch, A), boxes (batch, A, 4).

    A = sum over strides of (height / stride) * (width / stride); boxes are x1, y1, x2, y2 in input pixels. `width` is
    the number of channels at stride 8, `stem` that at strides 2 and 4.
    """

    def __init__(self, width: int = 48, stem: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        w, (half, quarter) = width, stem
        self.stem = nn.Sequential(_conv(1, half, stride=2), _conv(half, quarter, stride=2))
        self.stage8 = nn.Sequential(_conv(quarter, w, stride=2), _Block(w, w), _Block(w, w))
        self.stage16 = nn.Sequential(_Block(w, 2 * w, 2), _Block(2 * w, 2 * w), _Block(2 * w, 2 * w))
        self.stage32 = nn.Sequential(_Block(2 * w, 2 * w, 2), *[_Block(2 * w, 2 * w) for _ in range(3)])
        self.lateral = nn.ModuleList(nn.Conv2d(c, w, 1) for c in (w, 2 * w, 2 * w))
        self.smooth = nn.ModuleList(_Block(w, w) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(w, 5, 1) for _ in STRIDES)
        for head in self.heads:
            assert isinstance(head, nn.Conv2d) and head.bias is not None  # noqa: S101  (narrows the type)
            nn.init.normal_(head.weight, std=0.01)
            # First boxes reach exp(0.5) = 1.6 strides to each side.
            nn.init.constant_(head.bias, 0.5)
            # A first score of 0.01, as in focal loss: the many empty cells would otherwise dominate the
            # first steps.
            nn.init.constant_(head.bias[:1], -4.6)

    def forward(self, luminance: Tensor) -> tuple[Tensor, Tensor]:
        """See the class: logits (batch, A) and boxes (batch, A, 4)."""
        levels = [self._grid(head, feature, s) for head, feature, s in self._levels(luminance)]
        return torch.cat([logits for logits, _ in levels], 1), torch.cat([boxes for _, boxes in levels], 1)

    def _levels(self, luminance: Tensor) -> list[tuple[nn.Module, Tensor, int]]:
        f8 = self.stage8(self.stem(luminance))
        f16 = self.stage16(f8)
        f32 = self.stage32(f16)
        p32 = self.lateral[2](f32)
        p16 = self.lateral[1](f16) + F.interpolate(p32, scale_factor=2.0, mode="nearest")
        p8 = self.lateral[0](f8) + F.interpolate(p16, scale_factor=2.0, mode="nearest")
        smoothed = [smooth(F.relu(p)) for smooth, p in zip(self.smooth, (p8, p16, p32), strict=True)]
        return list(zip(self.heads, smoothed, STRIDES, strict=True))

    @staticmethod
    def _grid(head: nn.Module, feature: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        out = head(feature)
        # exp(4) is 55 strides, beyond any face of the level; the clamp keeps early steps finite.
        logits, sides = out[:, 0], out[:, 1:].clamp(max=4.0).exp() * float(stride)
        # A cumulative sum instead of arange, so that the exported graph keeps height and width free.
        x = (torch.ones_like(logits).cumsum(2) - 0.5) * float(stride)
        y = (torch.ones_like(logits).cumsum(1) - 0.5) * float(stride)
        boxes = torch.stack((x - sides[:, 0], y - sides[:, 1], x + sides[:, 2], y + sides[:, 3]), -1)
        return logits.flatten(1), boxes.flatten(1, 2)


def cell_centres(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Centres (A, 2) in pixels and strides (A,) of all cells of an input of that size, in the network's order."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack((x, y), -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((len(centres[-1]),), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def assign(faces: Tensor, ignored: Tensor, height: int, width: int) -> Targets:
    """Assign faces to cells. `faces` and `ignored` are (batch, G, 4) boxes, padded with zeros.

    A face belongs to the level of its size; there, the cells around its centre are positive. Cells inside an ignored
    box (a face too small or too cropped to be labelled) are not counted.
    """
    centres, strides = cell_centres(height, width)
    # Strides 8, 16 and 32 become levels 0, 1 and 2.
    low = torch.tensor([lo / LEVEL_OVERLAP for lo, _ in LEVEL_SIDES])[(strides.log2() - 3).long()]
    high = torch.tensor([hi * LEVEL_OVERLAP for _, hi in LEVEL_SIDES])[(strides.log2() - 3).long()]
    size = faces[..., 2:] - faces[..., :2]
    side = size.prod(-1).sqrt()[..., None]
    middle = (faces[..., :2] + faces[..., 2:]) / 2
    reach = torch.maximum(CENTRE_CELLS * strides[:, None], CENTRE_SHARE * size[:, :, None])
    near = ((centres - middle[:, :, None]).abs() < reach).all(-1)
    eligible = near & (side > low) & (side < high) & (side > 0)
    # Where faces overlap, a cell takes the smallest: the larger one has other cells.
    smallest = torch.where(eligible, side, torch.inf).min(1)
    boxes = faces.gather(1, smallest.indices[..., None].expand(-1, -1, 4))
    inside = ((centres > ignored[:, :, None, :2]) & (centres < ignored[:, :, None, 2:])).all(-1).any(1)
    positive = eligible.any(1)
    return Targets(boxes, positive, positive | ~inside)


def generalized_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalized IoU of paired boxes (..., 4)."""
    overlap = (
        (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    )
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    iou = overlap / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def detection_loss(logits: Tensor, boxes: Tensor, targets: Targets) -> Tensor:
    """Quality focal loss over the counted cells plus weighted GIoU loss over the positive ones, per positive cell."""
    positive = targets.positive
    iou, giou = generalized_iou(boxes[positive], targets.boxes[positive])
    quality = torch.zeros_like(logits)
    # Detached: the score learns to state the overlap; it must not pull the box.
    quality[positive] = iou.detach().clamp(0, 1).to(quality.dtype)
    cross = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    focal = (logits.sigmoid() - quality).square() * cross * targets.counted
    # A batch without faces still trains the scores.
    count = positive.sum().clamp(min=1)
    return (focal.sum() + BOX_LOSS_WEIGHT * (1 - giou).sum()) / count


class _Serving(nn.Module):
    """Luminance uint8 (batch, height, width) -> detections (batch, A, 5): score in [0, 1], x1, y1, x2, y2."""

    def __init__(self, detector: FaceDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> Tensor:
        logits, boxes = self.detector(image[:, None].float() / 127.5 - 1.0)
        return torch.cat((logits.sigmoid()[..., None], boxes), -1)


def export_onnx(detector: FaceDetector, path: Path) -> None:
    """Write `path`: input `image`, output `detections`, batch and both sides free (sides multiples of 32)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        _Serving(detector).eval(),
        (torch.zeros(1, 320, 320, dtype=torch.uint8),),
        path,
        input_names=["image"],
        output_names=["detections"],
        dynamic_axes={"image": {0: "batch", 1: "height", 2: "width"}, "detections": {0: "batch", 1: "cells"}},
        opset_version=OPSET,
        dynamo=False,
    )
