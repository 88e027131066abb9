"""Renders avatars with chosen expressions; the face's box is where the picture changes without eyes and mouth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import resvg_py
from dicebear import Avatar, Style
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.starter.drawn.looks import AvatarStyle

SIDE = 128
# Grey levels. Smaller differences are rounding of the rasterizer.
_CHANGED = 12
# Per cent of avatars with glasses, beards and the like, which hide the features.
_SELDOM = 15
# Of its width. Some styles have eyes and mouth close together, but detectors expect upright boxes.
_LEAST_HEIGHT = 0.95


class DrawnFace(NamedTuple):
    """An RGB picture (h, w, 3), its opacity (h, w), the face's box (4,) in pixels, and its emotion, "" if unclear."""

    picture: NDArray[np.uint8]
    opacity: NDArray[np.uint8]
    box: NDArray[np.float32]
    emotion: str
    style: str


class Definition(NamedTuple):
    """A style's definition, and its variants by component."""

    style: Style
    variants: Mapping[str, tuple[str, ...]]


@cache
def read_definition(file: Path) -> Definition:
    """Read a style's definition."""
    content = json.loads(file.read_text("utf-8"))
    variants = {name: tuple(part["variants"]) for name, part in content["components"].items()}
    return Definition(Style(content), variants)


def draw_avatar(rng: Generator, kind: AvatarStyle, folder: Path) -> DrawnFace | None:
    """A random avatar with one of the emotions that the style can show; None if its face has no clear place."""
    definition = read_definition(folder / f"{kind.name}.json")
    emotion = str(rng.choice(sorted(kind.looks)))
    looks = kind.looks[emotion]
    options: dict[str, Any] = {"seed": str(rng.integers(1 << 40)), "size": SIDE}
    for component, names in looks[int(rng.integers(len(looks)))].items():
        options[f"{component}Variant"] = str(rng.choice(names.split()))
        options[f"{component}Probability"] = 100
    options |= {f"{name}Probability": 0 for name in kind.never if name in definition.variants}
    options |= {f"{name}Probability": _SELDOM for name in kind.seldom if name in definition.variants}
    if "animation" in definition.variants:
        options["animationVariant"] = "none"
    picture, opacity = rasterize(Avatar(definition.style, options).to_string())
    # The same seed without the features: everything else stays where it is.
    hidden = options | {f"{name}Probability": 0 for name in kind.features if name in definition.variants}
    without, _ = rasterize(Avatar(definition.style, hidden).to_string())
    box = face_box(picture, without, kind.extent)
    return None if box is None else DrawnFace(picture, opacity, box, emotion, kind.name)


def rasterize(svg: str, side: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An SVG as RGB (side, side, 3) and opacity (side, side)."""
    coded: NDArray[np.uint8] = np.frombuffer(bytes(resvg_py.svg_to_bytes(svg_string=svg)), np.uint8)
    return split_opacity(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), side)


def split_opacity(image: Any, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A BGRA or BGR picture of any size as RGB (side, side, 3) and opacity (side, side)."""
    if image.shape[2] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(image[..., 2::-1], np.uint8), np.asarray(image[..., 3], np.uint8)


def face_box(
    picture: NDArray[np.uint8], without: NDArray[np.uint8], extent: tuple[float, float, float]
) -> NDArray[np.float32] | None:
    """The face's box from the pixels that change when eyes and mouth are left out; None if too few do."""
    changed = np.abs(picture.astype(np.int16) - without).max(2) > _CHANGED
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if len(rows) < 6 or len(columns) < 6:
        return None
    beside, above, below = extent
    width, height = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    x1, x2 = columns[0] - beside * width, columns[-1] + 1 + beside * width
    y1, y2 = rows[0] - above * height, rows[-1] + 1 + below * height
    lacking = max(0.0, _LEAST_HEIGHT * (x2 - x1) - (y2 - y1))
    box = np.array((x1, y1 - lacking / 2, x2, y2 + lacking / 2), np.float32)
    return np.clip(box, 0, SIDE)
