"""Composes training images of the face detector: faces and non-faces are pasted in the same way, with their boxes.

A detector trained on pasted faces would learn to find pasted areas. So frames, photos and distractors are all pasted
with the same placement, masks and lighting, and a body may carry a face or a patch.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.starter.detector.camera import finish
from recipes.starter.detector.data import CROP_SIDE, Boxes, Grey, Material, as_grey
from recipes.starter.detector.masks import blend, head, mask, oval, tilted, warp
from recipes.starter.detector.people import silhouette
from recipes.starter.detector.scenes import NonFaces
from recipes.starter.drawn.build import DrawnFaces
from recipes.starter.drawn.stylise import stylise

# Pixels of the training image. The loss ignores smaller faces.
SMALLEST_FACE = 20.0
# Pasted a little smaller than the smallest face, so that the network sees what lies below the limit.
_SMALLEST_SIDE = 16.0
# Share of a face's box that must lie inside the image; with less, even a person would not be sure.
VISIBLE_SHARE = 0.6
# Standard deviation of grey values 0..255 within the box. Below it, a face is not visible.
LEAST_CONTRAST = 7.0
# The labels of a batch have a fixed shape.
MOST_BOXES = 8
# Share of a face that a later element may hide.
MOST_COVERED = 0.1
# Thresholds of one random number: whole frames, then close-ups, then scattered elements alone.
_FRAME_SHARE, _CLOSE_SHARE = 0.42, 0.62
_CUT_SHARE = 0.4
# Also thresholds: distractors, then photos, then people who are cut out of frames.
_DISTRACTOR_SHARE, _PHOTO_SHARE = 0.42, 0.75
# A frame's face is swapped for another below the first, replaced by something else below the second, and kept
# above. Without erased ones, a body alone would indicate a face.
_SWAP_SHARE, _ERASE_SHARE = 0.5, 0.62
DRAWN_SHARE, STYLISED_SHARE = 0.35, 0.12
"""Shares of pasted faces that are drawn, and of photographs that are made to look drawn, if the material has any."""
# Share of drawn faces that are drawn evenly by style instead of evenly by face.
_BY_STYLE = 0.6


class Scene(NamedTuple):
    """image (height, width); faces and ignored (n, 4) boxes x1, y1, x2, y2 that may reach beyond the image."""

    image: Grey
    faces: Boxes
    ignored: Boxes


class _Element(NamedTuple):
    """A picture to paste, its opacity in 0..255, and the box that sets its scale: a face, or the place of one."""

    picture: Grey
    opacity: Grey
    box: Boxes
    is_face: bool


class Composer:
    """Composes `Scene`s from the material; the same generator state gives the same scene."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._non_faces = NonFaces(material)
        self._silhouettes: dict[int, Grey] = {}

    def twins(self, rng: Generator, height: int, width: int) -> tuple[Scene, Scene]:
        """Two labelled images (height, width): a composition, and its mirror image with different lighting."""
        canvas, boxes = self._compose(rng, height, width)
        turned = [np.array([width - b[2], b[1], width - b[0], b[3]], np.float32) for b in boxes]
        image, content = finish(rng, canvas)
        mirrored, other_content = finish(rng, np.ascontiguousarray(canvas[:, ::-1]))
        return Scene(image, *_sort_out(image, boxes, content)), Scene(
            mirrored, *_sort_out(mirrored, turned, other_content)
        )

    def _compose(self, rng: Generator, height: int, width: int) -> tuple[Grey, list[Boxes]]:
        canvas = self._non_faces.background(rng, height, width).copy()
        placed: list[tuple[Boxes, bool]] = []
        shorter, kind = min(height, width), rng.random()
        if kind < _FRAME_SHARE:
            side = np.exp(rng.uniform(np.log(24), np.log(1.0 * shorter)))
            element, fills = self._frame(rng, cut=False), rng.random() < 0.6
            if rng.random() < _CUT_SHARE:
                element, fills = self._frame(rng, cut=True), False
            canvas = _place(rng, canvas, element, side, placed, fills=fills)
        elif kind < _CLOSE_SHARE:
            side = shorter * rng.uniform(0.35, 1.2)
            canvas = _place(rng, canvas, self._photo(rng, whole=True), side, placed, fills=rng.random() < 0.7)
        for _ in range(rng.integers(0, 5 if kind < _CLOSE_SHARE else 7)):
            element = self._extra(rng)
            # Even in the logarithm: each doubling of the size is equally frequent.
            side = np.exp(rng.uniform(np.log(_SMALLEST_SIDE), np.log(0.7 * shorter)))
            canvas = _place(rng, canvas, element, side, placed)
        return canvas, [box for box, is_face in placed if is_face]

    def _extra(self, rng: Generator) -> _Element:
        chance = rng.random()
        if chance < _DISTRACTOR_SHARE:
            return self._distractor(rng)
        return self._photo(rng) if chance < _PHOTO_SHARE else self._frame(rng, cut=True)

    def _frame(self, rng: Generator, *, cut: bool) -> _Element:
        """A real frame; its face is often swapped, and sometimes replaced by something that is no face."""
        index = int(rng.integers(len(self._material.frames)))
        frame, box = self._material.frames[index], self._material.frame_boxes[index]
        chance = rng.random()
        is_face = not _SWAP_SHARE < chance < _ERASE_SHARE
        if chance < _ERASE_SHARE:
            picture = self._picture(rng) if is_face else self._blank(rng)
            frame, box = _swap(rng, frame, box, *picture)
        opacity = self._silhouette(index) if cut else np.full_like(frame, 255)
        if cut and rng.random() < 0.5:
            # The body is extended below the frame's lower edge, so that it can be pasted higher up.
            longer = int(rng.integers(60, 240))
            frame, opacity = (
                as_grey(cv2.copyMakeBorder(picture, 0, longer, 0, 0, cv2.BORDER_REPLICATE))
                for picture in (frame, opacity)
            )
        return _Element(frame, opacity, box, is_face)

    def _silhouette(self, index: int) -> Grey:
        if index not in self._silhouettes:
            frame, box = self._material.frames[index], self._material.frame_boxes[index]
            self._silhouettes[index] = silhouette(frame, box)
        return self._silhouettes[index]

    def _photo(self, rng: Generator, *, whole: bool = False) -> _Element:
        if self._material.drawn is not None and rng.random() < DRAWN_SHARE:
            return self._drawn(rng, self._material.drawn, whole=whole)
        picture, box = self._picture(rng)
        if self._material.drawn is not None and rng.random() < STYLISED_SHARE:
            picture = stylise(rng, picture, box)
        if not whole and rng.random() < 0.3:
            picture, box = self._with_body(rng, picture, box)
        opacity = np.full_like(picture, 255) if whole else mask(rng, picture.shape, box)
        return _Element(picture, opacity, box, is_face=True)

    def _drawn(self, rng: Generator, drawn: DrawnFaces, *, whole: bool) -> _Element:
        """A drawn face, cut out or on a plain ground."""
        index = int(rng.integers(len(drawn)))
        if rng.random() < _BY_STYLE:
            # Emoji are few, and modelled heads are many.
            of_one = np.flatnonzero(drawn.style == rng.choice(np.unique(drawn.style)))
            index = int(of_one[rng.integers(len(of_one))])
        picture, opacity = drawn.pictures[index], drawn.opacities[index]
        if rng.random() < 0.4:
            picture, opacity = tilted(rng, picture, opacity, drawn.boxes[index])
        if whole or rng.random() < 0.2:
            ground = np.full_like(picture, rng.integers(256))
            picture, opacity = blend(ground, picture, opacity), np.full_like(opacity, 255)
        return _Element(picture, opacity, drawn.boxes[index], is_face=True)

    def _distractor(self, rng: Generator) -> _Element:
        picture, box = self._blank(rng)
        if rng.random() < 0.3:
            picture, box = self._with_body(rng, picture, box)
        return _Element(picture, mask(rng, picture.shape, box), box, is_face=False)

    def _picture(self, rng: Generator) -> tuple[Grey, Boxes]:
        small = rng.random() < 0.3
        faces, boxes = (
            (self._material.small_faces, self._material.small_boxes)
            if small
            else (self._material.photos, self._material.photo_boxes)
        )
        index = rng.integers(len(faces))
        return faces[index], boxes[index]

    def _blank(self, rng: Generator) -> tuple[Grey, Boxes]:
        picture = self._non_faces.distractor(rng, CROP_SIDE)
        return picture, self._material.photo_boxes[rng.integers(len(self._material.photo_boxes))]

    def _with_body(self, rng: Generator, picture: Grey, box: Boxes) -> tuple[Grey, Boxes]:
        """Put the head on a drawn body with hair, neck and shoulders, in a picture of twice the side."""
        side = picture.shape[0]
        body = self._non_faces.background(rng, 2 * side, 2 * side).copy()
        x, y = (box[:2] + box[2:]) / 2 + (side / 2, 0.2 * side)
        w, h = box[2:] - box[:2]
        skin, cloth = (
            int(picture[side // 3 : -side // 3].mean()),
            self._non_faces.surroundings(rng, 2 * side, 2 * side),
        )
        hair = int(rng.integers(256))
        oval(body, (x, y - 0.05 * h), (w * rng.uniform(0.55, 0.85), h * rng.uniform(0.6, 0.8)), hair)
        shoulders = np.zeros_like(body)
        oval(shoulders, (x, y + 1.6 * h), (w * rng.uniform(1.0, 1.7), h * rng.uniform(0.8, 1.0)), 255)
        body = np.where(shoulders > 0, cloth, body)
        oval(body, (x, y + 0.6 * h), (0.35 * w, 0.45 * h), skin)
        shift = np.array([[1, 0, side / 2], [0, 1, 0.2 * side]], np.float32)
        moved = warp(picture, shift, body.shape)
        opacity = warp(head(rng, picture.shape, box), shift, body.shape)
        return blend(body, moved, opacity), box + np.array([side / 2, 0.2 * side] * 2, np.float32)


def _swap(rng: Generator, frame: Grey, box: Boxes, picture: Grey, from_box: Boxes) -> tuple[Grey, Boxes]:
    """Put `picture`'s `from_box` over `frame`'s `box`, feathered and matched in brightness."""
    scale = (box[2:] - box[:2]) / (from_box[2:] - from_box[:2]) * rng.uniform(0.95, 1.1)
    scale = scale * np.array([rng.uniform(1.0, 1.25), 1.0])
    shift = (box[:2] + box[2:]) / 2 - scale * (from_box[:2] + from_box[2:]) / 2
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float32)
    opacity = warp(head(rng, picture.shape, from_box), matrix, frame.shape)
    moved = warp(picture, matrix, frame.shape, cv2.BORDER_REPLICATE)
    here = opacity > 127
    if here.any() and rng.random() < 0.7:
        # The constant keeps a nearly plain face from being amplified to noise.
        gain = (frame[here].std() + 8) / (moved[here].std() + 8)
        moved = as_grey(np.clip((moved - moved[here].mean()) * gain + frame[here].mean(), 0, 255))
    return blend(frame, moved, opacity), np.concatenate(
        [from_box[:2] * scale + shift, from_box[2:] * scale + shift]
    )


def _place(
    rng: Generator,
    canvas: Grey,
    element: _Element,
    side: float,
    placed: list[tuple[Boxes, bool]],
    *,
    fills: bool = False,
) -> Grey:
    """Paste `element` so that its box has about `side` pixels, unless it would cover an existing face.

    With `fills` its border is repeated over the whole canvas. Appends to `placed`.
    """
    height, width = canvas.shape
    matrix, box = _pose(rng, element.box, side, width, height)
    x, y, w, h = (0, 0, width, height) if fills else _extent(matrix, element.picture.shape, canvas.shape)
    matrix[:, 2] -= (x, y)
    picture, opacity, matrix = _shrunk(element.picture, element.opacity, matrix)
    opacity = warp(opacity, matrix, (h, w))
    if any(_covered(opacity, other - (x, y, x, y)) > MOST_COVERED for other, _ in placed):
        return canvas
    over = warp(picture, matrix, (h, w), cv2.BORDER_REPLICATE)
    over = as_grey(cv2.convertScaleAbs(over, alpha=rng.uniform(0.7, 1.3), beta=rng.uniform(-20, 30)))
    placed.append((box, element.is_face))
    under = canvas[y : y + h, x : x + w]
    canvas[y : y + h, x : x + w] = over if fills else blend(under, over, opacity)
    return canvas


def _extent(
    matrix: NDArray[np.float64], shape: tuple[int, ...], canvas: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Left, top, width and height, at least 1, of the part of the canvas that a picture of `shape` covers."""
    h, w = shape
    corners = matrix @ np.array([[0, w, 0, w], [0, 0, h, h], [1, 1, 1, 1]])
    low = np.clip(np.floor(corners.min(1)), 0, [canvas[1] - 1, canvas[0] - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(1)), low + 1, [canvas[1], canvas[0]]).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _shrunk(
    picture: Grey, opacity: Grey, matrix: NDArray[np.float64]
) -> tuple[Grey, Grey, NDArray[np.float64]]:
    """Shrink by area averaging first if `matrix` shrinks much, so that the warp does not alias."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale >= 0.6:
        return picture, opacity, matrix
    small = as_grey(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    ratio = picture.shape[1] / small.shape[1], picture.shape[0] / small.shape[0]
    opacity = as_grey(cv2.resize(opacity, small.shape[::-1], interpolation=cv2.INTER_AREA))
    return small, opacity, matrix @ np.diag([*ratio, 1.0])


def _pose(
    rng: Generator, box: Boxes, side: float, width: int, height: int
) -> tuple[NDArray[np.float64], Boxes]:
    """A random rotation, stretch, mirroring and position: matrix (2, 3) and the resulting box of the face."""
    w, h = box[2:] - box[:2]
    scale = side / np.sqrt(w * h)
    stretch = np.exp(rng.normal(0, 0.1))
    angle = np.deg2rad(rng.normal(0, 9))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([scale * stretch * flip, scale / stretch])
    target = np.array([rng.uniform(0.08, 0.92) * width, rng.uniform(0.1, 0.88) * height])
    # A large face off the middle would lie mostly outside the image.
    if side > 0.5 * min(width, height):
        target = 0.5 * target + 0.5 * np.array([width, height]) / 2
    matrix = np.column_stack([linear, target - linear @ ((box[:2] + box[2:]) / 2)])
    half = np.array([w * scale * stretch, h * scale / stretch]) / 2
    return matrix, np.concatenate([target - half, target + half]).astype(np.float32)


def _covered(opacity: Grey, box: Boxes) -> float:
    """Share of `box` that lies under `opacity`."""
    x1, y1, x2, y2 = np.clip(np.round(box), 0, [*opacity.shape[::-1]] * 2).astype(int)
    area = float(np.prod(box[2:] - box[:2]))
    return float(opacity[y1:y2, x1:x2].sum(dtype=np.float64)) / 255 / area if x2 > x1 and y2 > y1 else 0.0


def _sort_out(image: Grey, boxes: list[Boxes], content: Boxes) -> tuple[Boxes, Boxes]:
    """Faces (n, 4) that the detector must find, and those (m, 4) that are ignored as too small, too dim or cut off."""
    faces: list[Boxes] = []
    ignored: list[Boxes] = []
    for box in boxes[:MOST_BOXES]:
        (faces if _is_clear(image, box, content) else ignored).append(box)
    return np.array(faces, np.float32).reshape(-1, 4), np.array(ignored, np.float32).reshape(-1, 4)


def _is_clear(image: Grey, box: Boxes, content: Boxes) -> bool:
    low, high = np.maximum(box[:2], content[:2]), np.minimum(box[2:], content[2:])
    area = float(np.prod(box[2:] - box[:2]))
    if np.prod(np.maximum(high - low, 0)) < VISIBLE_SHARE * area or area < SMALLEST_FACE**2:
        return False
    (x1, y1), (x2, y2) = low.astype(int), high.astype(int)
    return bool(image[y1:y2, x1:x2].std() >= LEAST_CONTRAST)
