"""Augmentation of face batches: the effects of another camera, detector, lamp or codec.

Tensors are `(batch, 1, side, side)` in [0, 1]. Every function draws from torch's global generator.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

MAX_TURN = math.radians(20)
# Of half the side, in the coordinates of `affine_grid`.
MAX_SHIFT = 0.16
MASKED_SHARE = 0.2
"""Share of faces of other sources that are also cut to an outline, so that a black border carries no information."""
BLACK_SHARE = 0.4
"""Share of cut-out faces that stay on black; the others get grey, a gradient or a part of another picture as
background.
"""


def augment(faces: Tensor, side: int) -> Tensor:
    """Geometry, sharpness, light, noise and occlusion, resampled to `(batch, 1, side, side)`."""
    faces = move(faces, side)
    faces = _on_some(faces, 0.25, lower_resolution)
    faces = _on_some(faces, 0.1, blur)
    faces = relight(faces)
    faces = _on_some(faces, 0.2, compress)
    faces = _on_some(faces, 0.15, add_noise)
    return _on_some(faces.clamp(0, 1), 0.2, occlude)


def remask(faces: Tensor, masked: Tensor, outlines: Tensor) -> Tensor:
    """Give cut-out faces other surroundings, and cut out some other faces, so that the cut does not reveal the source.

    `faces` are `(batch, 1, side, side)`, `masked` `(batch,)` marks those that are cut out on black, and the outlines
    are `(m, side, side)`.
    """
    count, side = len(faces), faces.shape[-1]
    cut = ~masked & (torch.rand(count) < MASKED_SHARE)
    borrowed = outlines[torch.randint(len(outlines), (count,))][:, None]
    skin = torch.where(masked[:, None, None, None], own_outline(faces), borrowed)
    coarse = functional.interpolate(
        torch.rand(count, 1, 2, 2), size=(side, side), mode="bilinear", align_corners=True
    )
    other = faces[torch.randperm(count)].flip(2)
    kind = torch.rand(count, 1, 1, 1)
    around = torch.where(kind < 0.5, coarse, torch.where(kind < 0.7, torch.rand(count, 1, 1, 1), other))
    around = torch.where(torch.rand(count, 1, 1, 1) < BLACK_SHARE, torch.zeros(()), around)
    return torch.where((masked | cut)[:, None, None, None] & ~skin, around, faces)


def own_outline(faces: Tensor) -> Tensor:
    """The pixels where faces `(batch, 1, side, side)` on black show skin: those that are not black, with small holes
    closed.
    """
    # Not 0, because JPEG leaves black areas a little above it.
    shown = functional.max_pool2d((faces > 0.03).float(), 5, 1, 2)
    return (-functional.max_pool2d(-shown, 5, 1, 2)) > 0.5


def _uniform(count: int, low: float, high: float) -> Tensor:
    return torch.empty(count).uniform_(low, high)


def _on_some(faces: Tensor, share: float, change: object) -> Tensor:
    chosen = torch.rand(len(faces)) < share
    if chosen.any() and callable(change):
        faces = faces.clone()
        faces[chosen] = change(faces[chosen])
    return faces


def move(faces: Tensor, side: int) -> Tensor:
    """Flip, scale, stretch, turn and shift; beyond the image the border repeats, as in `crop_face`."""
    count = len(faces)
    # The mean of two: strong tilts are rarer than slight ones.
    turn = (_uniform(count, -1, 1) + _uniform(count, -1, 1)) / 2 * MAX_TURN
    scale = torch.exp((torch.randn(count) * 0.1).clamp(-0.25, 0.25))
    stretch = torch.exp(_uniform(count, -0.08, 0.08))
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = torch.randn(count, 2).mul(MAX_SHIFT / 2).clamp(-MAX_SHIFT, MAX_SHIFT)
    cos, sin = torch.cos(turn), torch.sin(turn)
    rows = [mirror * scale * stretch * cos, -scale * sin, shift[:, 0]]
    rows += [mirror * scale * sin, scale / stretch * cos, shift[:, 1]]
    matrix = torch.stack(rows, 1).view(count, 2, 3)
    grid = functional.affine_grid(matrix, [count, 1, side, side], align_corners=False)
    return functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def lower_resolution(faces: Tensor) -> Tensor:
    """Simulate a distant face: shrink to between a third and four fifths of the side, then enlarge."""
    side = faces.shape[-1]
    small = int(torch.randint(side // 3, side * 4 // 5, ()))
    shrunk = functional.interpolate(faces, size=(small, small), mode="area")
    return functional.interpolate(shrunk, size=(side, side), mode="bilinear", align_corners=False)


def blur(faces: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of 0.4 to 1.3 pixels at the current side."""
    offsets = torch.arange(-3, 4).float()
    kernel = torch.exp(-0.5 * (offsets / float(_uniform(1, 0.4, 1.3))) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, 7)
    padded = functional.pad(faces, (3, 3, 3, 3), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel), kernel.transpose(2, 3))


def relight(faces: Tensor) -> Tensor:
    """Change gamma, contrast and brightness, and add a lamp from one side, for each face separately."""
    count, side = len(faces), faces.shape[-1]
    # Log-normal factors: darker and brighter, flat and hard are equally frequent.
    gamma = torch.exp((torch.randn(count) * 0.2).clamp(-0.6, 0.6)).view(-1, 1, 1, 1)
    contrast = torch.exp((torch.randn(count) * 0.15).clamp(-0.5, 0.5)).view(-1, 1, 1, 1)
    brightness = (torch.randn(count) * 0.08).view(-1, 1, 1, 1)
    axis = torch.linspace(-1, 1, side)
    angle = _uniform(count, -math.pi, math.pi)
    slope = _uniform(count, 0, 0.5) * (torch.rand(count) < 0.4)
    across = (slope * torch.cos(angle)).view(-1, 1, 1, 1) * axis
    down = (slope * torch.sin(angle)).view(-1, 1, 1, 1) * axis.view(-1, 1)
    faces = faces.clamp(1e-3, 1) ** gamma * (1 + across + down)
    mean = faces.mean((2, 3), keepdim=True)
    return ((faces - mean) * contrast + mean + brightness).clamp(0, 1)


def compress(faces: Tensor) -> Tensor:
    """JPEG at quality 15 to 75, with a real encoder."""
    pixels = (faces[:, 0].clamp(0, 1) * 255).round().byte().numpy()
    qualities = torch.randint(15, 76, (len(faces),)).tolist()
    coded = [
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        for image, quality in zip(pixels, qualities, strict=True)
    ]
    decoded = np.stack([np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)) for code in coded])
    return torch.from_numpy(decoded).unsqueeze(1).to(faces.dtype) / 255


def add_noise(faces: Tensor) -> Tensor:
    """Gaussian sensor noise, standard deviation up to 0.04."""
    return faces + torch.randn_like(faces) * _uniform(len(faces), 0, 0.04).view(-1, 1, 1, 1)


def occlude(faces: Tensor) -> Tensor:
    """A grey rectangle of 10 to 45 % of the side, anywhere: a hand, a microphone, a subtitle."""
    count, side = len(faces), faces.shape[-1]
    axis = torch.linspace(0, 1, side)
    centres, halves = torch.rand(count, 2, 1), torch.empty(count, 2, 1).uniform_(0.05, 0.225)
    inside = (axis - centres).abs() < halves
    mask = (inside[:, 0, :, None] & inside[:, 1, None, :]).unsqueeze(1)
    return torch.where(mask, torch.rand(count, 1, 1, 1), faces)
