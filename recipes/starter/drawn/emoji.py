"""Emoji: faces with an unmistakable expression, faces without a label, and things without a face."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recipes.starter.drawn.avatars import SIDE, DrawnFace, rasterize, split_opacity
from recipes.starter.drawn.packages import home

SETS = ("fluent", "noto", "twemoji", "openmoji")
HELD_OUT_SETS = ("openmoji",)
FACES = {
    "happiness": "1f600 1f601 1f602 1f603 1f604 1f606 1f60a 1f60d 1f60b 1f61b 1f61c 1f61d 1f642 1f923 1f929 1f970 263a",
    "neutral": "1f610 1f611 1f636",
    "sadness": "1f61e 1f61f 1f622 1f625 1f629 1f62b 1f62d 1f614 1f641 2639 1f616 1f623 1f97a",
    "anger": "1f620 1f621 1f92c 1f624",
    "fear": "1f627 1f628 1f630 1f631",
    "disgust": "1f922 1f92e",
}
"""Code points by emotion. Left out: those that people read in different ways, such as winks and smirks."""
PEOPLE = "1f466 1f467 1f468 1f469 1f474 1f475 1f9d1 1f9d2 1f9d3 1f9d4 1f471 1f473 1f478 1f934 1f9d5 1f472 1f46e 1f477"
"""Heads of people. Whether they smile depends on the set, so they have no label."""
_THINGS = (
    (0x1F32D, 0x1F380),
    (0x1F3A4, 0x1F3BF),
    (0x1F3D0, 0x1F3F0),
    (0x1F4A1, 0x1F4FD),
    (0x1F500, 0x1F53D),
    (0x1F550, 0x1F567),
    (0x1F680, 0x1F6A2),
    (0x1F6A4, 0x1F6B2),
    (0x1F950, 0x1F96F),
    (0x1F9E0, 0x1F9FF),
)
# Such as moons, a teddy bear, a person in bed, an amulet and a statue.
_WITH_FACES = {0x1F31A, 0x1F31B, 0x1F31C, 0x1F31D, 0x1F31E, 0x1F9F8, 0x1F6CC, 0x1F9FF, 0x1F5FF, 0x1F4BD}
# Noto's emoji are bitmaps of 136 x 128 pixels, which exist at this size only.
_SIZE = 109
_INSET = 0.05


def emoji_faces(folder: Path, source: str) -> Iterator[DrawnFace]:
    """Every labelled face of an emoji set, and the heads of people without a label."""
    for emotion, points in (*FACES.items(), ("", PEOPLE)):
        for point in points.split():
            found = read_emoji(folder, source, int(point, 16))
            if found is not None:
                picture, opacity = found
                yield DrawnFace(picture, opacity, _disc(opacity, emotion), emotion, source)


def emoji_things(folder: Path, source: str) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Pictures and opacities of things: food, tools, clocks, cars, buildings."""
    for first, last in _THINGS:
        for point in range(first, last + 1):
            found = None if point in _WITH_FACES else read_emoji(folder, source, point)
            if found is not None:
                yield found


def read_emoji(folder: Path, source: str, point: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """One emoji as RGB (128, 128, 3) and opacity (128, 128); None if the set has none of this code point."""
    if source == "noto":
        return _from_font(next(home(source, folder).glob("*.ttf")), point)
    name, ending = (f"{point:x}", ".webp") if source == "fluent" else (f"{point:x}", ".svg")
    place = home(source, folder)
    # The sets differ in case, and in whether they name the variation selector.
    variants = (name, f"{name}-fe0f", name.upper(), f"{name.upper()}-FE0F")
    file = next((p for v in variants if (p := place / f"{v}{ending}").is_file()), None)
    if file is None:
        return None
    if ending == ".webp":
        coded: NDArray[np.uint8] = np.frombuffer(file.read_bytes(), np.uint8)
        return split_opacity(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), SIDE)
    return rasterize(_enlarged(file.read_text("utf-8")))


def _enlarged(svg: str) -> str:
    """The SVG with the size of a picture; the sets state 36 or 72 pixels."""
    head, mark, rest = svg.partition(">") if svg.startswith("<svg") else ("", "", svg)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} width="{SIDE}" height="{SIDE}"{mark}{rest}' if mark else svg


def _from_font(file: Path, point: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    font = ImageFont.truetype(str(file), _SIZE)
    image = Image.new("RGBA", (136, 128), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((0, 0), chr(point), font=font, embedded_color=True)
    pixels = np.asarray(image, np.uint8)
    shown = np.argwhere(pixels[..., 3] > 0)
    # A missing glyph is empty, or a thin box.
    if len(shown) < 500:
        return None
    return split_opacity(cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA), SIDE)


def _disc(opacity: NDArray[np.uint8], emotion: str) -> NDArray[np.float32]:
    """The box of a round face, or of the middle of a person's head."""
    rows, columns = np.flatnonzero((opacity > 127).any(1)), np.flatnonzero((opacity > 127).any(0))
    x1, y1, x2, y2 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    width, height = x2 - x1, y2 - y1
    # A head has hair above and ears beside the face.
    share = (_INSET, _INSET, _INSET, _INSET) if emotion else (0.2, 0.28, 0.2, 0.1)
    box = (x1 + share[0] * width, y1 + share[1] * height, x2 - share[2] * width, y2 - share[3] * height)
    return np.array(box, np.float32)
