"""Modelled heads as of three-dimensional avatars: solids by distance functions, rendered by sphere tracing.

A head has a skull, a jaw, ears, a nose, eyes, brows, hair, a neck and shoulders. Mouth, irises and eyelids are painted
on the surface. Units: the skull's radius is about 1; x to the right, y up, z towards the camera.

Equations: sphere tracing after Hart (1996), "Sphere tracing"; diffuse light after Lambert, highlights after Blinn
(1977).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.starter.drawn.avatars import DrawnFace

STYLE = "heads"
EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "fear")
_SIDE = 112
# Sphere tracing: most steps of a ray, the distance at which it has missed, and the one at which it has hit. A
# pixel is 0.034 units wide.
_STEPS, _FAR, _NEAR_ENOUGH = 30, 6.0, 4e-3
_VIEW = 1.9
"""Half the width of the view, in units."""

Floats = NDArray[np.float32]
_SKULL, _HAIR, _BROW, _EYE, _CLOTH = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """`curve` > 0: corners of the mouth up; `inner` > 0: inner ends of the brows up. `opened` (the mouth) and `lids`
    (the eyes) are 0 when closed and 1 when open.
    """

    curve: float
    opened: float
    width: float
    teeth: bool
    inner: float
    raised: float
    lids: float
    tears: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Proportions and colours (3,) of a head, drawn at random."""

    skull: Floats
    jaw: Floats
    eye: float
    eye_x: float
    eye_y: float
    nose: float
    brow: float
    hair: float
    fringe: float
    colours: dict[str, Floats]
    gaze: Floats


def draw_head(rng: Generator) -> DrawnFace:
    """A random head with a random emotion, RGB (112, 112, 3), with opacity and the face's box."""
    emotion = str(rng.choice(EMOTIONS))
    build, expression = random_build(rng), random_expression(rng, emotion)
    turn = _rotation(rng.normal(0, 0.22), rng.normal(0, 0.12), rng.normal(0, 0.1))
    picture, opacity = render(build, expression, turn, _light(rng), gloss=float(rng.uniform(0, 0.5)))
    return DrawnFace(picture, opacity, _box(build, turn), emotion, STYLE)


def random_expression(rng: Generator, emotion: str) -> Expression:
    """An unmistakable expression of one of `EMOTIONS`; a neutral mouth may be open as in speech."""
    low, high = {
        "neutral": ((-0.02, 0.0, 0.2, -0.01, -0.02, 0.75), (0.03, 0.3, 0.34, 0.01, 0.03, 1.0)),
        "happiness": ((0.1, 0.0, 0.3, -0.01, 0.0, 0.5), (0.26, 0.7, 0.5, 0.03, 0.08, 1.0)),
        "surprise": ((-0.02, 0.5, 0.12, 0.0, 0.08, 1.0), (0.02, 1.0, 0.24, 0.03, 0.16, 1.2)),
        "sadness": ((-0.22, 0.0, 0.2, 0.07, 0.0, 0.4), (-0.1, 0.45, 0.38, 0.15, 0.06, 0.85)),
        "anger": ((-0.2, 0.0, 0.22, -0.17, -0.06, 0.5), (-0.07, 0.6, 0.42, -0.09, 0.0, 0.95)),
        "fear": ((-0.16, 0.3, 0.22, 0.07, 0.05, 1.05), (-0.05, 0.9, 0.4, 0.14, 0.12, 1.2)),
    }[emotion]
    curve, opened, width, inner, raised, lids = (float(v) for v in rng.uniform(low, high))
    # With a closed mouth, surprise and fear would be ambiguous.
    if rng.random() < 0.4 and emotion not in ("surprise", "fear"):
        opened = 0.0
    # Eyes that laugh are nearly closed.
    if emotion == "happiness" and rng.random() < 0.15:
        lids = 0.12
    tears = emotion == "sadness" and rng.random() < 0.45
    teeth = emotion in ("happiness", "anger", "fear") and rng.random() < 0.75
    return Expression(
        curve=curve,
        opened=opened,
        width=width,
        teeth=teeth,
        inner=inner,
        raised=raised,
        lids=lids,
        tears=tears,
    )


def random_build(rng: Generator) -> Build:
    """Proportions from childlike to adult; skin, hair, iris, lips and clothes in natural and in painted colours."""
    skin = np.array(_SKINS[int(rng.integers(len(_SKINS)))]) * rng.uniform(0.85, 1.1)
    if rng.random() < 0.12:
        skin = rng.uniform(0.2, 1.0, 3)
    hair = np.array(_HAIRS[int(rng.integers(len(_HAIRS)))]) * rng.uniform(0.8, 1.2)
    colours = {
        "skin": skin,
        "hair": hair,
        "brow": hair * rng.uniform(0.4, 0.9),
        "iris": rng.uniform(0.05, 0.6, 3),
        "lips": skin * np.array([0.85, 0.55, 0.55]),
        "cloth": rng.uniform(0, 1, 3),
    }
    return Build(
        skull=np.array([rng.uniform(0.8, 1.0), 1.0, 0.92], np.float32),
        jaw=np.array([rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.7), 0.7], np.float32),
        eye=float(rng.uniform(0.17, 0.3)),
        eye_x=float(rng.uniform(0.3, 0.38)),
        eye_y=float(rng.uniform(-0.02, 0.12)),
        nose=float(rng.uniform(0.08, 0.17)),
        brow=float(rng.uniform(0.035, 0.075)),
        hair=float(rng.uniform(0.0, 0.14)) if rng.random() < 0.85 else -1.0,
        fringe=float(rng.uniform(0.42, 0.75)),
        colours={name: np.clip(value, 0, 1).astype(np.float32) for name, value in colours.items()},
        gaze=np.clip(rng.normal(0, 0.12, 2), -0.3, 0.3).astype(np.float32),
    )


_SKINS = (
    (0.96, 0.8, 0.69),
    (0.9, 0.7, 0.55),
    (0.78, 0.57, 0.42),
    (0.55, 0.38, 0.27),
    (0.36, 0.24, 0.18),
    (1, 0.82, 0.3),
)
_HAIRS = (
    (0.1, 0.08, 0.07),
    (0.3, 0.18, 0.1),
    (0.5, 0.3, 0.15),
    (0.85, 0.7, 0.4),
    (0.6, 0.6, 0.62),
    (0.7, 0.25, 0.1),
)


def render(
    build: Build, expression: Expression, turn: Floats, light: Floats, *, gloss: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Trace one ray a pixel; returns RGB (112, 112, 3) and opacity (112, 112)."""
    axis = (np.arange(_SIDE, dtype=np.float32) + 0.5) / _SIDE * 2 - 1
    # Below the skull's middle, because a neck follows; `_box` has the same shift.
    x, y = np.meshgrid(axis * _VIEW, -axis * _VIEW - 0.15)
    # Parallel rays, because perspective would not change the expression.
    starts = np.stack([x.ravel(), y.ravel(), np.full(x.size, 3.0, np.float32)], 1).astype(np.float32)
    # The camera is turned instead of the head, so that the solids keep their simple axes.
    origin, ray = starts @ turn, np.array([0, 0, -1], np.float32) @ turn
    solids = _Solids(build, expression)
    travelled = np.zeros(len(origin), np.float32)
    moving = np.arange(len(origin))
    for _ in range(_STEPS):
        gap = solids.distances(origin[moving] + travelled[moving, None] * ray).min(1)
        travelled[moving] += gap
        moving = moving[(gap > _NEAR_ENOUGH) & (travelled[moving] < _FAR)]
        if not len(moving):
            break
    hit = np.flatnonzero(travelled < _FAR)
    points = origin[hit] + travelled[hit, None] * ray
    pixels = np.zeros((len(origin), 3), np.float32)
    pixels[hit] = _shaded(solids, points, -ray, light @ turn, gloss)
    opacity = np.where(travelled < _FAR, 255, 0).astype(np.uint8).reshape(_SIDE, _SIDE)
    return (pixels.reshape(_SIDE, _SIDE, 3) * 255).astype(np.uint8), opacity


class _Solids:
    """The head's solids; each column of `distances` belongs to one kind of surface."""

    def __init__(self, build: Build, expression: Expression) -> None:
        self.build, self.expression = build, expression
        self.eyes = np.array(
            [[side * build.eye_x, build.eye_y, 0.93 - 0.55 * build.eye] for side in (-1, 1)], np.float32
        )

    def distances(self, points: Floats) -> Floats:
        """Points (n, 3) -> distances (n, 5) to skin, hair, brows, eyes and clothes."""
        build = self.build
        skull = _ellipsoid(points, (0, 0.1, 0), build.skull)
        jaw = _ellipsoid(points, (0, -0.42, 0.16), build.jaw)
        skin = _merged(skull, jaw, 0.25)
        skin = _merged(skin, _sphere(points, (0, -0.14, 0.95), build.nose), 0.08)
        for side in (-1, 1):
            skin = np.minimum(skin, _ellipsoid(points, (side * build.skull[0], 0, 0), (0.12, 0.24, 0.16)))
        skin = np.minimum(skin, _capsule(points, (0, -0.8, -0.1), (0, -1.5, -0.2), 0.34))
        hair = np.full(len(points), _FAR, np.float32)
        if build.hair >= 0:
            hair = _ellipsoid(points, (0, 0.16, -0.1), build.skull + 0.07 + build.hair)
            hair = np.maximum(hair, build.fringe - points[:, 1] - 0.7 * (0.45 - points[:, 2]))
        brows = np.minimum(*(self._brow(points, side) for side in (-1, 1)))
        eyes = np.minimum(*(_sphere(points, centre, build.eye) for centre in self.eyes))
        cloth = _ellipsoid(points, (0, -2.0, -0.2), (1.25, 0.7, 0.7))
        return np.asarray(np.stack([skin, hair, brows, eyes, cloth], 1), np.float32)

    def _brow(self, points: Floats, side: int) -> Floats:
        build, expression = self.build, self.expression
        height = build.eye_y + build.eye + 0.12 + expression.raised
        inner = (side * 0.14, height + expression.inner, 0.94)
        outer = (side * (build.eye_x + 0.24), height - 0.5 * expression.inner, 0.76)
        return _capsule(points, inner, outer, build.brow)


def _shaded(solids: _Solids, points: Floats, to_eye: Floats, light: Floats, gloss: float) -> Floats:
    distances = solids.distances(points)
    colour = _painted(solids, points, distances.argmin(1))
    # Forward differences: the gradient of a distance is normal to the surface.
    normals = np.stack(
        [solids.distances(points + step).min(1) for step in 0.01 * np.eye(3, dtype=np.float32)], 1
    )
    normals -= distances.min(1)[:, None]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    half = (light + to_eye) / np.linalg.norm(light + to_eye)
    diffuse = np.clip(normals @ light, 0, 1)[:, None]
    # Blinn's exponent: skin of plastic, as rendered heads usually have.
    shine = gloss * (np.clip(normals @ half, 0, 1) ** 40)[:, None]
    # Ambient light keeps the side away from the lamp from being black.
    return np.asarray(np.clip(colour * (0.45 + 0.65 * diffuse) + shine, 0, 1), np.float32)


def _painted(solids: _Solids, points: Floats, kind: NDArray[Any]) -> Floats:
    """The colour of each point (n, 3): paint of mouth, eyes and tears over that of the solid."""
    build, colours = solids.build, solids.build.colours
    palette = np.stack([colours[name] for name in ("skin", "hair", "brow", "skin", "cloth")])
    colour = palette[kind].copy()
    front = (kind == _SKULL) & (points[:, 2] > 0.2)
    _paint_mouth(colour, points, front, solids.expression, colours["lips"])
    for side, centre in zip((-1, 1), solids.eyes, strict=True):
        at = (points - centre) / build.eye
        open_part = (
            (kind == _EYE) & (points[:, 0] * side > 0) & (at[:, 1] < solids.expression.lids * 1.1 - 0.4)
        )
        open_part &= at[:, 1] > -0.35 - 0.35 * solids.expression.lids
        colour[open_part] = 0.97
        away = np.hypot(at[:, 0] - build.gaze[0], at[:, 1] - build.gaze[1])
        colour[open_part & (away < 0.5)] = colours["iris"]
        colour[open_part & (away < 0.24)] = 0.03
        colour[open_part & (np.hypot(at[:, 0] - 0.2, at[:, 1] - 0.25) < 0.12)] = 1.0
        if solids.expression.tears:
            under = np.hypot(
                (points[:, 0] - centre[0]) / 0.07, (points[:, 1] - centre[1] + 1.7 * build.eye) / 0.2
            )
            colour[front & (under < 1)] = (0.5, 0.75, 1.0)
    return np.asarray(colour, np.float32)


def _paint_mouth(
    colour: Floats, points: Floats, front: NDArray[Any], expression: Expression, lips: Floats
) -> None:
    """Paint lips, mouth, teeth and tongue, in place; the mouth is bounded by two arcs over its width."""
    across = points[:, 0] / expression.width
    arch = np.sqrt(np.clip(1 - across**2, 0, 1))
    middle = -0.5 + expression.curve * (across**2 - 0.4)
    above = (0.12 if expression.curve > 0.05 else 0.35) * expression.opened * arch
    below = 0.55 * expression.opened * arch
    rise = points[:, 1] - middle
    near = front & (np.abs(across) < 1)
    colour[near & (rise < above + 0.045 * arch + 0.012) & (rise > -below - 0.05 * arch - 0.012)] = lips
    inside = near & (rise < above) & (rise > -below)
    line = near & (np.abs(rise) < 0.022)
    colour[inside | line] = (0.22, 0.05, 0.06)
    if expression.opened > 0.05:
        tongue = inside & (rise < -0.6 * below) & (np.abs(across) < 0.6)
        colour[tongue] = (0.8, 0.35, 0.35)
        if expression.teeth:
            colour[inside & (rise > above - 0.35 * (above + below))] = 0.96


def _ellipsoid(points: Floats, centre: Any, radii: Any) -> Floats:
    """Approximate distance, after Quilez: k (k - 1) / |grad k|."""
    at = points - np.asarray(centre, np.float32)
    radii = np.asarray(radii, np.float32)
    first = np.linalg.norm(at / radii, axis=1)
    second = np.linalg.norm(at / radii**2, axis=1)
    return np.asarray(first * (first - 1) / np.maximum(second, 1e-6), np.float32)


def _sphere(points: Floats, centre: Any, radius: float) -> Floats:
    return np.asarray(np.linalg.norm(points - np.asarray(centre, np.float32), axis=1) - radius, np.float32)


def _capsule(points: Floats, start: Any, end: Any, radius: float) -> Floats:
    first, along = np.asarray(start, np.float32), np.subtract(end, start).astype(np.float32)
    share = np.clip((points - first) @ along / (along @ along), 0, 1)
    return np.asarray(np.linalg.norm(points - first - share[:, None] * along, axis=1) - radius, np.float32)


def _merged(one: Floats, other: Floats, width: float) -> Floats:
    """A smooth minimum: the union with a fillet of `width`."""
    overlap = np.clip(width - np.abs(one - other), 0, None) / width
    return np.asarray(np.minimum(one, other) - overlap**2 * width / 4, np.float32)


def _rotation(yaw: float, pitch: float, roll: float) -> Floats:
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y, np.float32)


def _light(rng: Generator) -> Floats:
    direction = np.array([rng.uniform(-1, 1), rng.uniform(0, 1), rng.uniform(0.5, 1.5)])
    return np.asarray(direction / np.linalg.norm(direction), np.float32)


def _box(build: Build, turn: Floats) -> Floats:
    """The box of brows, cheeks and chin in pixels of the picture."""
    top = build.eye_y + build.eye + 0.3
    corners = np.array([[x, y, 0.6] for x in (-0.68, 0.68) for y in (top, -0.92)], np.float32)
    seen = corners @ turn.T
    x, y = (seen[:, 0] / _VIEW + 1) / 2 * _SIDE, (1 - (seen[:, 1] + 0.15) / _VIEW) / 2 * _SIDE
    return np.array([x.min(), y.min(), x.max(), y.max()], np.float32)
