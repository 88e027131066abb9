"""Synthetic flow of faces with planted expressions. All values are random numbers.

A face is a grid of blocks. An expression displaces some of them, growing from its onset to its apex and fading to
its offset; what is seen is the flow over `skip` frames, with noise. Subjects have individual patterns and strengths in
addition to common ones. Blinks and small jerks of the head move blocks without being expressions. The point of an
expression is drawn around its apex, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.gim.flow import stack_flows
from sentiloc.model.gim.items import Expression, ExpressionItem
from sentiloc.model.gim.labels import MACRO, MICRO, Point

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedExpressions:
    """The parameters of the synthetic data; frames at 30 per second, displacements in pixels of the aligned face."""

    grid: int = 6
    skip: int = 6
    resolutions: int = 3
    frames: tuple[int, int] = (300, 420)
    macro_count: tuple[int, int] = (2, 4)
    micro_count: tuple[int, int] = (1, 2)
    macro_frames: tuple[int, int] = (18, 48)
    micro_frames: tuple[int, int] = (9, 15)
    macro_strength: tuple[float, float] = (0.8, 2.4)
    micro_strength: tuple[float, float] = (0.5, 1.0)
    kinds: int = 3
    blinks: float = 3.0
    blink_strength: float = 1.2
    jerks: float = 1.0
    jerk_strength: float = 0.8
    noise: float = 0.12
    point_deviation: float = 0.12
    seed: int = 2021


def planted_expressions(world: PlantedExpressions, subjects: int, videos: int) -> list[ExpressionItem]:
    """`videos` of each of `subjects`, the same for the same parameters and index."""
    kinds = _patterns(world, np.random.default_rng((world.seed, 0)))
    return [
        _video(world, f"s{s:02d}", v, kinds, np.random.default_rng((world.seed, s + 1, v)))
        for s in range(subjects)
        for v in range(videos)
    ]


def _patterns(world: PlantedExpressions, rng: Rng) -> Floats:
    """The motion of each kind of expression, (kinds, grid * grid * 2): a fifth of the blocks, one direction each."""
    cells = world.grid**2
    moved = rng.random((world.kinds, cells, 1)) < 0.2
    angle = rng.uniform(0, 2 * np.pi, (world.kinds, cells, 1))
    pattern = moved * np.concatenate([np.cos(angle), np.sin(angle)], axis=2)
    flat: Floats = pattern.reshape(world.kinds, -1)
    return flat


def _profile(onset: int, apex: int, offset: int, total: int) -> Floats:
    """Displacement over time (T,): half a cosine up to 1 at the apex, half a cosine down."""
    time = np.arange(total, dtype=np.float64)
    rise = np.clip((time - onset) / max(apex - onset, 1), 0, 1)
    fall = np.clip((offset - time) / max(offset - apex, 1), 0, 1)
    profile: Floats = (1 - np.cos(np.pi * np.minimum(rise, fall))) / 2
    return profile


def _video(world: PlantedExpressions, subject: str, number: int, kinds: Floats, rng: Rng) -> ExpressionItem:
    total = int(rng.integers(world.frames[0], world.frames[1] + 1))
    habit = np.random.default_rng((world.seed, sum(subject.encode()))).uniform(0.8, 1.2)
    displacement = np.zeros((total, kinds.shape[1]))
    expressions, points = [], []
    for onset, length, index in _schedule(world, total, rng):
        apex = onset + round(length * rng.uniform(0.35, 0.55))
        offset = onset + length - 1
        strength = rng.uniform(*(world.macro_strength if index == MACRO else world.micro_strength))
        kind = kinds[int(rng.integers(world.kinds))]
        displacement += habit * strength * _profile(onset, apex, offset, total)[:, None] * kind
        expressions.append(Expression(onset, apex, offset, index))
        drawn = round(rng.normal(apex, world.point_deviation * length))
        points.append(Point(int(np.clip(drawn, onset, offset)), index))
    displacement += _distractions(world, total, rng)
    flow = np.zeros_like(displacement)
    flow[world.skip :] = displacement[world.skip :] - displacement[: -world.skip]
    flow += world.noise * rng.normal(size=flow.shape)
    return ExpressionItem(
        name=f"{subject}-{number}",
        subject=subject,
        flow=stack_flows(flow.astype(np.float32), world.skip, world.resolutions),
        points=tuple(points),
        expressions=tuple(expressions),
    )


def _schedule(world: PlantedExpressions, total: int, rng: Rng) -> list[tuple[int, int, int]]:
    """(onset, frames, class) of the video's expressions, in order, apart by at least eight frames."""
    macros = int(rng.integers(world.macro_count[0], world.macro_count[1] + 1))
    micros = int(rng.integers(world.micro_count[0], world.micro_count[1] + 1))
    classes = rng.permutation([MACRO] * macros + [MICRO] * micros).tolist()
    room = total // len(classes)
    planned = []
    for slot, index in enumerate(classes):
        low, high = world.macro_frames if index == MACRO else world.micro_frames
        length = min(int(rng.integers(low, high + 1)), room - 10)
        planned.append((slot * room + int(rng.integers(0, room - length - 8)), length, index))
    return planned


def _distractions(world: PlantedExpressions, total: int, rng: Rng) -> Floats:
    """Blinks (two blocks, down and up within eight frames) and jerks (all blocks, for good)."""
    shape = (total, world.grid**2, 2)
    moved = np.zeros(shape)
    eyes = [world.grid + 1, 2 * world.grid - 2]
    for _ in range(int(rng.poisson(world.blinks))):
        at = int(rng.integers(0, total - 10))
        moved[:, eyes, 1] += world.blink_strength * _profile(at, at + 3, at + 8, total)[:, None]
    for _ in range(int(rng.poisson(world.jerks))):
        at, direction = int(rng.integers(total)), rng.normal(size=2)
        moved += (
            world.jerk_strength
            * (np.arange(total) >= at)[:, None, None]
            * direction
            / np.linalg.norm(direction)
        )
    return moved.reshape(total, -1)
