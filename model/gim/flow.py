"""Block-wise optical flow of an aligned face, GIM's input. OpenCV and numpy; shared by serving and training.

As in the optical-flow methods that the paper builds on, flow is computed over `skip` frames within the same face box,
the head's motion is subtracted, and each block is reduced to its main direction.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentiloc.model.segments import FloatArray

GreyImage = NDArray[np.uint8]
# Sectors of 45°, as MDMO, which introduced the main direction, uses them.
_DIRECTIONS = 8


def face_flow(before: GreyImage, after: GreyImage) -> FloatArray:
    """Displacement in pixels (height, width, 2: x, y) from one aligned face to another, minus the head's motion.

    The head's motion is the median over the face, because most of a face does not move in an expression.
    """
    empty: Any = None
    flow = np.asarray(
        cv2.calcOpticalFlowFarneback(before, after, empty, 0.5, 3, 15, 2, 5, 1.1, 0), np.float32
    )
    moved: FloatArray = flow - np.median(flow.reshape(-1, 2), axis=0).astype(np.float32)
    return moved


def main_directions(flow: FloatArray, grid: int) -> FloatArray:
    """Main-direction mean of each block (grid * grid * 2,): flow (height, width, 2) is cut into grid x grid blocks;
    of a block's vectors those in its fullest of eight directions are averaged.
    """
    side = min(flow.shape[:2]) // grid
    cells = flow[: side * grid, : side * grid].reshape(grid, side, grid, side, 2)
    vectors = cells.transpose(0, 2, 1, 3, 4).reshape(grid * grid, side * side, 2)
    angle = np.arctan2(vectors[..., 1], vectors[..., 0])
    place = ((angle + np.pi) / (2 * np.pi) * _DIRECTIONS).astype(np.int64) % _DIRECTIONS
    member = place[..., None] == np.arange(_DIRECTIONS)
    fullest = member.sum(axis=1).argmax(axis=1)
    chosen = (place == fullest[:, None]).astype(np.float32)
    total = (vectors * chosen[..., None]).sum(axis=1)
    mean: FloatArray = total / chosen.sum(axis=1)[:, None]
    return mean.reshape(-1).astype(np.float32)


def block_flow(before: GreyImage, after: GreyImage, grid: int) -> FloatArray:
    """One frame's flow features (grid * grid * 2,), from the face `skip` frames before it."""
    return main_directions(face_flow(before, after), grid)


def stack_flows(flow: FloatArray, skip: int, resolutions: int = 1) -> FloatArray:
    """The motion into and out of each frame: flow (T, n) over `skip` frames -> (T, 2 n resolutions).

    At an apex the first half points away from neutral and the second back to it. The last frames have no outgoing
    motion. Resolution k is over k skip frames, which is the sum of the k short flows on the way. Over few frames a slow
    expression is seen where it is fastest, on both sides of its apex; over many, where it is strongest.
    """
    parts, reached = [], np.zeros_like(flow)
    for resolution in range(resolutions):
        reached = reached + _later(flow, resolution * skip)
        leaving = np.zeros_like(flow)
        reach = (resolution + 1) * skip
        leaving[: max(len(flow) - reach, 0)] = reached[reach:]
        parts += [reached, leaving]
    return np.concatenate(parts, axis=1)


def _later(flow: FloatArray, frames: int) -> FloatArray:
    moved = np.zeros_like(flow)
    moved[frames:] = flow[: max(len(flow) - frames, 0)]
    return moved
