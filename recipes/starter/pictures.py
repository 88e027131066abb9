"""Pictures without people, in which a face detector and an expression network must find no face.

Photographs, clip art and game art come from Debian packages (`picture_packages.py`); word cards, screens, test
patterns and charts are drawn here. Everything is RGB; the longer side is at most `LONG_SIDE`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

LONG_SIDE = 640
# Pixels. Smaller pictures are icons, which are useless when enlarged.
_SMALLEST = 64
_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
# Words in the paths of the packages' files that may show people, statues or animals with faces.
_WITH_FACES = (
    "people",
    "faces",
    "monuments",
    "santa",
    "skull",
    "toy",
    "coins",
    "face",
    "/char/",
    "players",
    "apes",
)
# Zip files of the game Warzone 2100.
_ARCHIVES = {".wz"}
_WORDS = tuple(
    word
    for line in (
        "THE END breaking news subscribe chapter one tonight love hope never again welcome to our story part two happy",
        "sad angry music by directed produced season finale trailer coming 2026 sale 50% off live now thanks for",
        "watching Überraschung café naïve façade Ελλάδα Москва любовь надежда",
    )
    for word in line.split()
)


def read_pictures(folder: Path) -> list[Picture]:
    """Read every picture below `folder`, where the packages are unpacked, except those that may show a face."""
    # Links are left out, because they would repeat a picture.
    files = sorted(
        p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and "/doc/" not in str(p)
    )
    return [
        shrunk
        for file in files
        for data in _pictures_in(file, folder)
        if (shrunk := _decode(data)) is not None
    ]


def _pictures_in(file: Path, folder: Path) -> Iterator[bytes]:
    if file.suffix.lower() in _ENDINGS and not _may_show_a_face(f"/{file.relative_to(folder)}"):
        yield file.read_bytes()
    elif file.suffix.lower() in _ARCHIVES:
        with zipfile.ZipFile(file) as archive:
            for name in sorted(archive.namelist()):
                wanted = (
                    name.startswith(("texpages/", "images/frontend"))
                    and Path(name).suffix.lower() in _ENDINGS
                )
                # Masks of team colours are not pictures.
                if wanted and "tcmask" not in name:
                    yield archive.read(name)


def _may_show_a_face(path: str) -> bool:
    return any(word in path.lower() for word in _WITH_FACES)


def _decode(data: bytes) -> Picture | None:
    """Decode and shrink to RGB; transparent areas become grey. None if the picture is too small."""
    coded: Picture = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    if image is None or min(image.shape[:2]) < _SMALLEST or image.dtype != np.uint8:
        return None
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGRA)
    elif image.shape[2] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    scale = min(1.0, LONG_SIDE / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    opacity = image[..., 3:].astype(np.float32) / 255
    return np.asarray(image[..., 2::-1] * opacity + 128 * (1 - opacity), np.uint8)


def fonts(folders: tuple[Path, ...] = (Path("/usr/share/fonts"),)) -> list[Path]:
    """TrueType and OpenType files below the folders."""
    return sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in {".ttf", ".otf"})


def draw(rng: Generator, typefaces: list[Path], height: int = 360, width: int = 640) -> Picture:
    """A word card, a page, a test pattern, a chart or plain shapes (height, width, 3)."""
    kind = rng.random()
    if kind < 0.35:
        return _card(rng, typefaces, height, width)
    if kind < 0.55:
        return _page(rng, typefaces, height, width)
    if kind < 0.75:
        return _pattern(rng, height, width)
    return _chart(rng, height, width) if kind < 0.88 else _shapes(rng, height, width)


def _ground(rng: Generator, height: int, width: int) -> Picture:
    """A plain colour or a gradient."""
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
    if rng.random() < 0.6:
        corners[:] = corners[0, 0] if rng.random() < 0.6 else rng.choice((0.0, 255.0))
    return np.asarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _card(rng: Generator, typefaces: list[Path], height: int, width: int) -> Picture:
    image = Image.fromarray(_ground(rng, height, width))
    canvas = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 6))):
        size = int(np.exp(rng.uniform(np.log(16), np.log(0.6 * height))))
        words = " ".join(str(w) for w in rng.choice(_WORDS, int(rng.integers(1, 5))))
        if rng.random() < 0.3:
            words = words[: int(rng.integers(1, 4))]
        words = words.upper() if rng.random() < 0.4 else words
        place = float(rng.uniform(-0.1, 0.7) * width), float(rng.uniform(-0.1, 0.9) * height)
        ink = tuple(int(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.6 else (255, 255, 255)
        font = ImageFont.truetype(str(typefaces[int(rng.integers(len(typefaces)))]), size)
        canvas.text(
            place, words, fill=ink, font=font, stroke_width=int(rng.integers(0, 4)), stroke_fill=(0, 0, 0)
        )
    return np.asarray(image, np.uint8)


def _page(rng: Generator, typefaces: list[Path], height: int, width: int) -> Picture:
    """A screen: lines of small text, boxes, buttons and tiny pictures on a plain ground, or a large clock."""
    dark = rng.random() < 0.3
    image = Image.fromarray(
        np.full((height, width, 3), int(rng.integers(0, 50) if dark else rng.integers(225, 256)), np.uint8)
    )
    canvas = ImageDraw.Draw(image)
    ink = (230, 230, 230) if dark else (30, 30, 30)
    face = str(typefaces[int(rng.integers(len(typefaces)))])
    if rng.random() < 0.25:
        clock = ":".join(f"{int(v):02d}" for v in rng.integers(0, 60, int(rng.integers(2, 5))))
        canvas.text(
            (0.05 * width, 0.3 * height),
            clock,
            fill=ink,
            font=ImageFont.truetype(face, int(rng.uniform(0.1, 0.4) * height)),
        )
    font = ImageFont.truetype(face, int(rng.integers(8, 20)))
    for top in range(int(rng.integers(0, 60)), height, int(rng.integers(14, 60))):
        left = float(rng.uniform(0, 0.6) * width)
        if rng.random() < 0.6:
            canvas.text(
                (left, top),
                " ".join(str(w) for w in rng.choice(_WORDS, int(rng.integers(1, 14)))),
                fill=ink,
                font=font,
            )
        else:
            colour = tuple(int(v) for v in rng.integers(0, 256, 3))
            corner = left + float(rng.uniform(8, 200)), top + float(rng.uniform(6, 60))
            canvas.rounded_rectangle(
                (left, top, *corner), radius=int(rng.integers(0, 8)), fill=colour, outline=ink
            )
    pixels = np.array(image, np.uint8)
    for _ in range(int(rng.integers(0, 6))):
        side = int(rng.integers(12, 60))
        top, left = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
        coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        pixels[top : top + side, left : left + side] = cv2.resize(
            coarse, (side, side), interpolation=cv2.INTER_CUBIC
        )
    return pixels


def _pattern(rng: Generator, height: int, width: int) -> Picture:
    """Bars, checks, rings or noise, as in test signals and broken sources."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    kind, period = int(rng.integers(4)), float(rng.uniform(8, 120))
    if kind == 0:
        colours = rng.integers(0, 256, (12, 3)).astype(np.uint8)
        image = colours[(x // period).astype(int) % 12]
        image[int(rng.uniform(0.5, 1) * height) :] = colours[0]
    elif kind == 1:
        image = np.repeat(((x // period + y // period) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    elif kind == 2:
        far = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height))
        image = np.repeat((127 + 127 * np.cos(far / period * 6)).astype(np.uint8)[..., None], 3, 2)
    else:
        coarse = rng.integers(0, 256, (max(2, int(height / period)), max(2, int(width / period)), 3)).astype(
            np.uint8
        )
        image = np.asarray(cv2.resize(coarse, (width, height), interpolation=int(rng.integers(2))), np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        cv2.circle(
            image,
            centre,
            int(rng.uniform(10, 150)),
            rng.integers(0, 256, 3).tolist(),
            int(rng.integers(1, 6)),
        )
    return np.ascontiguousarray(image)


def _chart(rng: Generator, height: int, width: int) -> Picture:
    image = _ground(rng, height, width)
    count = int(rng.integers(3, 14))
    if rng.random() < 0.5:
        for index, share in enumerate(rng.uniform(0.1, 0.9, count)):
            left, right = int((index + 0.15) / count * width), int((index + 0.85) / count * width)
            cv2.rectangle(
                image,
                (left, int((1 - share) * height)),
                (right, height),
                rng.integers(0, 256, 3).tolist(),
                -1,
            )
    else:
        steps = np.cumsum(rng.normal(0, 0.06, 60))
        points = np.stack([np.linspace(0, width, 60), (0.5 + steps) * height], 1).astype(np.int32)
        cv2.polylines(
            image, [points], False, rng.integers(0, 256, 3).tolist(), int(rng.integers(1, 5)), cv2.LINE_AA
        )
        for level in range(0, height, max(20, height // count)):
            cv2.line(image, (0, level), (width, level), (128, 128, 128), 1)
    return image


def _shapes(rng: Generator, height: int, width: int) -> Picture:
    """Ovals with dark spots, wheels, windows and boxes, which resemble heads."""
    image = _ground(rng, height, width)
    for _ in range(int(rng.integers(2, 12))):
        centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        axes = int(rng.uniform(8, 120)), int(rng.uniform(8, 120))
        colour = rng.integers(0, 256, 3).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(
                image,
                centre,
                axes,
                float(rng.uniform(0, 180)),
                0,
                360,
                colour,
                int(rng.choice((-1, 2, 5))),
                cv2.LINE_AA,
            )
        else:
            corner = centre[0] + axes[0], centre[1] + axes[1]
            cv2.rectangle(image, centre, corner, colour, int(rng.choice((-1, 2, 5))))
    return image
