"""Things that are not faces: backgrounds and distractors for the face detector's composed training images."""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from recipes.starter.detector.data import Grey, Material, as_grey

SMALLEST_CUT = 10
PICTURE_SHARE, PATCH_SHARE = 0.5, 0.35
"""Shares of backgrounds and of distractors that are cut from pictures without people, if the material has any."""
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)


class NonFaces:
    """Makes images without a face: cut from the surroundings of faces, or drawn."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._views = _views()

    def background(self, rng: Generator, height: int, width: int) -> Grey:
        """One image (height, width); sometimes a blend of two."""
        image = self._one(rng, height, width)
        if rng.random() < 0.3:
            weight = rng.uniform(0.2, 0.8)
            image = as_grey(cv2.addWeighted(image, weight, self._one(rng, height, width), 1 - weight, 0))
        return image

    def distractor(self, rng: Generator, side: int) -> Grey:
        """One patch (side, side), which is pasted exactly as faces are, so that a seam does not indicate a face."""
        if self._material.pictures and rng.random() < PATCH_SHARE:
            return self.picture(rng, side, side)
        draw: tuple[Callable[[Generator, int], Grey], ...] = (
            self._scrambled,
            self._smeared,
            self._detail,
            _fingers,
            lambda r, s: self.surroundings(r, s, s),
            lambda r, s: self.background(r, s, s),
        )
        return draw[rng.choice(len(draw), p=(0.25, 0.1, 0.2, 0.15, 0.2, 0.1))](rng, side)

    def surroundings(self, rng: Generator, height: int, width: int) -> Grey:
        """A part of a real picture beside or below its face: wall, hair, ear, cloth."""
        source = rng.random()
        if source < 0.3:
            image = self._views[rng.integers(len(self._views))]
            return _fit(_turned(rng, _cut(rng, image, 0, image.shape[1], 0, image.shape[0])), height, width)
        if source < 0.7:
            index = rng.integers(len(self._material.frames))
            image, box = self._material.frames[index], self._material.frame_boxes[index]
        else:
            index = rng.integers(len(self._material.photos))
            image, box = self._material.photos[index], self._material.photo_boxes[index]
        return _fit(_turned(rng, _outside(rng, image, box)), height, width)

    def picture(self, rng: Generator, height: int, width: int) -> Grey:
        """A part of a picture without people, in most cases the whole picture."""
        image = self._material.pictures[rng.integers(len(self._material.pictures))]
        if rng.random() < 0.4:
            image = _cut(rng, image, 0, image.shape[1], 0, image.shape[0])
        return _fit(_turned(rng, image) if rng.random() < 0.3 else image, height, width)

    def _one(self, rng: Generator, height: int, width: int) -> Grey:
        if self._material.pictures and rng.random() < PICTURE_SHARE:
            return self.picture(rng, height, width)
        draw = (self.surroundings, self._collage, _noise, _shapes, _stripes, _text)
        return draw[rng.choice(len(draw), p=(0.2, 0.35, 0.15, 0.18, 0.06, 0.06))](rng, height, width)

    def _collage(self, rng: Generator, height: int, width: int) -> Grey:
        """Many cuttings over one another, with edges and junctions as in a cluttered room."""
        image = self.surroundings(rng, height, width).copy()
        for _ in range(rng.integers(3, 14)):
            h, w = (int(rng.uniform(0.08, 0.6) * n) for n in (height, width))
            y, x = rng.integers(height - h), rng.integers(width - w)
            image[y : y + h, x : x + w] = (
                self.surroundings(rng, h, w) if rng.random() < 0.7 else rng.integers(256)
            )
        return _shapes(rng, height, width, image) if rng.random() < 0.4 else image

    def _scrambled(self, rng: Generator, side: int) -> Grey:
        """A face cut into a grid of shuffled blocks: all parts of a face in the wrong order."""
        cells = int(rng.integers(3, 6))
        photo = as_grey(cv2.resize(self._photo(rng), (cells * 24, cells * 24)))
        blocks = photo.reshape(cells, 24, cells, 24).swapaxes(1, 2).reshape(cells * cells, 24, 24)
        shuffled = blocks[rng.permutation(len(blocks))].reshape(cells, cells, 24, 24).swapaxes(1, 2)
        return _fit(shuffled.reshape(photo.shape), side, side)

    def _smeared(self, rng: Generator, side: int) -> Grey:
        """A face blurred until only its brightness is left."""
        cells = int(rng.integers(3, 7))
        dots = as_grey(cv2.resize(self._photo(rng), (cells, cells), interpolation=cv2.INTER_AREA))
        return _fit(dots, side, side)

    def _detail(self, rng: Generator, side: int) -> Grey:
        """An eye, a cheek, a mouth: less than half of a face, enlarged."""
        photo = self._photo(rng)
        cut = int(rng.integers(20, 40))
        y, x = rng.integers(photo.shape[0] - cut, size=2)
        return _fit(photo[y : y + cut, x : x + cut], side, side)

    def _photo(self, rng: Generator) -> Grey:
        return as_grey(self._material.photos[rng.integers(len(self._material.photos))])


def _outside(rng: Generator, image: Grey, box: NDArray[np.float32]) -> Grey:
    """A random rectangle of `image` (height, width) left of, right of or below the face `box`."""
    height, width = image.shape
    margin = 0.1 * (box[2] - box[0])
    left, right = int(box[0] - margin), int(box[2] + margin)
    bottom = int(box[3] + margin)
    sides = ((0, left, 0, height), (right, width, 0, height), (0, width, bottom, height))
    fitting = [s for s in sides if s[1] - s[0] > SMALLEST_CUT and s[3] - s[2] > SMALLEST_CUT]
    x1, x2, y1, y2 = fitting[rng.integers(len(fitting))] if fitting else (0, SMALLEST_CUT, 0, height)
    return _cut(rng, image, x1, x2, y1, y2)


def _cut(rng: Generator, image: Grey, x1: int, x2: int, y1: int, y2: int) -> Grey:
    """A random rectangle within the given one."""
    w, h = rng.integers(SMALLEST_CUT, x2 - x1 + 1), rng.integers(SMALLEST_CUT, y2 - y1 + 1)
    x, y = rng.integers(x1, x2 - w + 1), rng.integers(y1, y2 - h + 1)
    return image[y : y + h, x : x + w]


def _turned(rng: Generator, image: Grey) -> Grey:
    return np.rot90(image, int(rng.integers(4))) if rng.random() < 0.5 else image


def _views() -> list[Grey]:
    """The two photos without people that scikit-learn contains."""
    return [
        as_grey(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY))
        for image in load_sample_images().images
    ]


def _fit(image: Grey, height: int, width: int) -> Grey:
    shrinks = image.shape[0] > height and image.shape[1] > width
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return as_grey(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=way))


def _noise(rng: Generator, height: int, width: int) -> Grey:
    """Octaves of noise with a falling spectrum, as in textures."""
    total = np.full((height, width), rng.uniform(20, 230), np.float32)
    cells, strength = int(rng.integers(1, 4)), rng.uniform(10, 70)
    while cells < max(height, width):
        octave = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
        total += np.float32(strength) * cv2.resize(octave, (width, height), interpolation=cv2.INTER_LINEAR)
        cells, strength = cells * 2, strength * rng.uniform(0.3, 0.95)
    return np.clip(total, 0, 255).astype(np.uint8)


def _shapes(rng: Generator, height: int, width: int, image: Grey | None = None) -> Grey:
    """Ellipses, rectangles, polygons and lines on a gradient or on `image`."""
    if image is None:
        corners = rng.integers(0, 256, (2, 2)).astype(np.float32)
        image = cv2.resize(corners, (width, height)).astype(np.uint8)
    longest = max(height, width)
    for _ in range(rng.integers(4, 30)):
        grey, kind = int(rng.integers(256)), rng.integers(4)
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        size = (longest * rng.uniform(0.02, 0.4, 2)).astype(int) + 1
        thick = -1 if rng.random() < 0.6 else int(rng.integers(1, 6))
        if kind == 0:
            cv2.ellipse(image, centre, size.tolist(), rng.uniform(0, 180), 0, 360, grey, thick, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(image, centre, (np.array(centre) + size).tolist(), grey, thick)
        elif kind == 2:
            points = np.array(centre) + rng.integers(-size.max(), size.max() + 1, (rng.integers(3, 7), 2))
            cv2.fillPoly(image, [points.astype(np.int32)], grey, cv2.LINE_AA)
        else:
            end = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.line(image, centre, end, grey, int(rng.integers(1, 8)), cv2.LINE_AA)
    return image


def _stripes(rng: Generator, height: int, width: int) -> Grey:
    """Waves, bars or a checkerboard."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 60)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
    if rng.random() < 0.5:
        wave *= np.sin((y * np.cos(angle) - x * np.sin(angle)) * (2 * np.pi / rng.uniform(4, 60)))
    wave = np.sign(wave) if rng.random() < 0.5 else wave
    return as_grey(np.clip(rng.uniform(60, 190) + rng.uniform(20, 120) * wave, 0, 255))


def _fingers(rng: Generator, side: int) -> Grey:
    """Rounded bars side by side, lit from one side, similar to fingers and folds."""
    ground, skin = (int(v) for v in rng.integers(20, 236, 2))
    image = np.full((side, side), ground, np.uint8)
    width = rng.uniform(0.06, 0.2) * side
    angle, bend = rng.uniform(0, np.pi), rng.normal(0, 0.15)
    for number in range(rng.integers(3, 7)):
        turn = angle + number * bend
        along = np.array([np.cos(turn), np.sin(turn)]) * side * rng.uniform(0.2, 0.4)
        across = np.array([-np.sin(angle), np.cos(angle)]) * width * (number - 2) * rng.uniform(0.8, 1.1)
        start, end = (tuple((side / 2 + across + s * along).astype(int).tolist()) for s in (-1, 1))
        for share, light in ((1.0, -40), (0.75, 0), (0.35, 25)):
            cv2.line(
                image, start, end, int(np.clip(skin + light, 0, 255)), max(1, int(width * share)), cv2.LINE_AA
            )
    return as_grey(cv2.blur(image, (max(1, side // 40),) * 2))


def _text(rng: Generator, height: int, width: int) -> Grey:
    paper = int(rng.integers(256))
    image = np.full((height, width), paper, np.uint8)
    write(rng, image, lines=int(rng.integers(2, 14)), ink=(paper + int(rng.integers(80, 176))) % 256)
    return image


def write(rng: Generator, image: Grey, *, lines: int, ink: int) -> None:
    """Write random words into `image`, in place."""
    letters = np.array(list(string.ascii_letters + string.digits + "   .,"))
    font, scale = _FONTS[rng.integers(len(_FONTS))], np.exp(rng.uniform(np.log(0.3), np.log(3.5)))
    thick = max(1, round(scale * rng.uniform(0.7, 5.0)))
    for _ in range(lines):
        words = "".join(rng.choice(letters, rng.integers(3, 30)))
        at = (int(rng.integers(-20, image.shape[1])), int(rng.integers(image.shape[0] + 10)))
        if rng.random() < 0.3:
            cv2.putText(image, words, at, font, scale, (ink + 110) % 256, 2 * thick + 1, cv2.LINE_AA)
        cv2.putText(image, words, at, font, scale, ink, thick, cv2.LINE_AA)
