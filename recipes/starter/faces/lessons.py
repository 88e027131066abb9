"""Training data of the expression network: one set of faces with up to four tasks (lessons), collected once into a
file.

The lessons are the emotion (a distribution over eight classes), the sentiment (a distribution over negative, positive
and neutral), 52 blendshapes from a teacher, and whether there is a face. A lesson without a label for a picture has
weight 0.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recipes.starter.clips import Clip, decode_image
from recipes.starter.faces.faces import FaceSet
from recipes.starter.faces.teacher import BlendshapeTeacher
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.expression import BLENDSHAPES, CROP_MARGIN, EMOTIONS, FACE_SIZE, SENTIMENTS
from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

logger = logging.getLogger(__name__)

Image = NDArray[np.uint8]

NAMES = {
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "surprised": "surprise",
    "calm": "neutral",
}
HELD_OUT_SUBJECTS = frozenset({"03", "08", "13", "18", "23", "28"})
"""Performers of `faces_wild` that are held out from training."""

SMOOTHING = 0.15
# Limits how often the few faces of a rare sentiment in a source are repeated.
HEAVIEST = 5.0
_FEELING = np.zeros((len(EMOTIONS), len(SENTIMENTS)), np.float32)
# FER+'s order: 0 neutral, 1 happiness, 2 surprise (neither), from 3 on negative.
_FEELING[0, NON_SENTIMENT] = _FEELING[1, POSITIVE] = 1
_FEELING[3:, NEGATIVE] = 1
# As in `faces/expressions` (`EXPRESSIONS_BOX`), for pictures in which the teacher finds no face.
_LOOSE_BOX = 0.84
# The teacher takes 15 ms a face, and these are the most.
MASKED_TAUGHT_EVERY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """N pictures (n, 48, 48) with emotion (n, 8), sentiment (n, 3), blendshapes (n, 52), face (n,) and their weights.

    `masked` (n,): cut to the face's outline on black. `shares` (n,): the probability to be used in an epoch.
    """

    images: Image
    emotion: FloatArray
    emotion_weight: FloatArray
    sentiment: FloatArray
    sentiment_weight: FloatArray
    blendshapes: FloatArray
    blendshapes_weight: FloatArray
    face: FloatArray
    masked: BoolArray
    shares: FloatArray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Lessons:
        """The pictures that `chosen` selects."""
        return Lessons(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def save(self, file: Path) -> None:
        """Write an npz file atomically."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".part.npz")
        np.savez(partial, **{f.name: getattr(self, f.name) for f in fields(self)})
        partial.replace(file)

    @classmethod
    def load(cls, file: Path) -> Lessons:
        """Read what `save` wrote."""
        with np.load(file) as held:
            return cls(**{name: held[name] for name in held.files})


def join(parts: Sequence[Lessons]) -> Lessons:
    """All pictures of all parts, in order."""
    return Lessons(
        **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Lessons)}
    )


def face_lessons(faces: FaceSet, shapes: FloatArray | None = None) -> Lessons:
    """Faces with soft emotion labels; `shapes` (n, 52) from the teacher, NaN where it found no face."""
    return make_lessons(faces.images, faces.targets, shapes=shapes, shares=faces.shares)


def make_lessons(
    images: Image,
    emotion: FloatArray,
    *,
    shapes: FloatArray | None = None,
    weight: FloatArray | float = 1.0,
    masked: bool = False,
    shares: FloatArray | float = 1.0,
) -> Lessons:
    """Faces (n, 48, 48) with emotions (n, 8), from which the sentiment follows; surprise has none."""
    count = len(images)
    feeling = emotion @ _FEELING
    known = feeling.sum(1)
    shapes = np.full((count, len(BLENDSHAPES)), np.nan, np.float32) if shapes is None else shapes
    taught = np.isfinite(shapes).all(1)
    weights = np.full(count, 1.0, np.float32) * np.asarray(weight, np.float32)
    return Lessons(
        images=images,
        emotion=emotion.astype(np.float32),
        emotion_weight=weights,
        sentiment=(feeling / np.maximum(known, 1e-6)[:, None]).astype(np.float32),
        sentiment_weight=(weights * known).astype(np.float32),
        blendshapes=np.nan_to_num(shapes).astype(np.float32),
        blendshapes_weight=np.asarray(taught, np.float32),
        face=np.ones(count, np.float32),
        masked=np.full(count, masked),
        shares=np.full(count, 1.0, np.float32) * np.asarray(shares, np.float32),
    )


def faceless_lessons(images: Image) -> Lessons:
    """Pictures (n, 48, 48) without a face, which have no other lesson."""
    count, zero = len(images), np.zeros(len(images), np.float32)
    return Lessons(
        images=images,
        emotion=np.full((count, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32),
        emotion_weight=zero,
        sentiment=np.full((count, len(SENTIMENTS)), 1 / len(SENTIMENTS), np.float32),
        sentiment_weight=zero,
        blendshapes=np.zeros((count, len(BLENDSHAPES)), np.float32),
        blendshapes_weight=zero,
        face=zero,
        masked=np.zeros(count, np.bool_),
        shares=np.ones(count, np.float32),
    )


def smoothed(labels: Sequence[str], smoothing: float = SMOOTHING) -> FloatArray:
    """Soft labels (n, 8) of emotion names by one annotator."""
    classes = [EMOTIONS.index(NAMES.get(label, label)) for label in labels]
    soft = np.eye(len(EMOTIONS))[classes] * (1 - smoothing) + smoothing / len(EMOTIONS)
    return soft.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class WildFaces:
    """`faces_wild` as crops: images (n, 48, 48), shapes (n, 52), and per face its label, source and subject."""

    images: Image
    shapes: FloatArray
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    subjects: tuple[str, ...]

    def lessons(self, source: str, chosen: NDArray[np.bool_]) -> Lessons:
        """The lessons of the chosen faces of one source."""
        here = chosen & (np.array(self.sources) == source)
        labels = [self.labels[i] for i in np.flatnonzero(here)]
        return make_lessons(
            self.images[here],
            smoothed(labels),
            shapes=self.shapes[here],
            weight=balanced(labels),
            masked=source == "masked_wild",
        )


def balanced(labels: Sequence[str]) -> FloatArray:
    """Weights (n,) that give negative, positive and neutral faces of a source the same total weight; surprise keeps 1.

    Otherwise the network would call everything negative that looks like a source with mostly negative faces.
    """
    feelings = np.array([_FEELING[EMOTIONS.index(NAMES.get(label, label))] for label in labels], np.float32)
    counts = feelings.sum(0)
    wanted = counts.sum() / max(1, int((counts > 0).sum())) / np.maximum(counts, 1)
    weights = feelings @ np.minimum(wanted, HEAVIEST)
    return np.where(feelings.sum(1) > 0, weights, 1.0).astype(np.float32)


def read_wild_pictures(folder: Path) -> tuple[list[dict[str, str]], list[Image]]:
    """Rows (label, source, subject, kind) and unchanged RGB pictures of `faces_wild`.

    Raises SentilocError `invalid_data` if it cannot be read.
    """
    try:
        with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with np.load(folder / "faces_wild.npz") as held:
            stream, offsets = held["jpeg"], held["offsets"]
    except (OSError, KeyError, ValueError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"cannot read {folder.name}: {error}") from error
    return rows, [_rgb(stream[a:b]) for a, b in pairwise(offsets)]


def read_wild(folder: Path, teacher: BlendshapeTeacher) -> WildFaces:
    """Crop and label `faces_wild`; raises SentilocError `invalid_data` if it cannot be read."""
    rows, pictures = read_wild_pictures(folder)
    images, shapes = _crops(pictures, [row["source"] == "masked_wild" for row in rows], teacher)
    labels, sources, subjects = (tuple(row[key] for row in rows) for key in ("label", "source", "subject"))
    return WildFaces(images=images, shapes=shapes, labels=labels, sources=sources, subjects=subjects)


def _crops(
    pictures: Sequence[Image], whole: Sequence[bool], teacher: BlendshapeTeacher
) -> tuple[Image, FloatArray]:
    """Grey crops (n, 48, 48) and blendshapes (n, 52); a `whole` picture is already a face crop."""
    images, shapes = [], np.full((len(pictures), len(BLENDSHAPES)), np.nan, np.float32)
    for index, (picture, as_it_is) in enumerate(zip(pictures, whole, strict=True)):
        asked = not as_it_is or index % MASKED_TAUGHT_EVERY == 0
        face = teacher.find(picture) if asked else None
        found = None if face is None else teacher.read(picture, face)
        if found is not None:
            shapes[index] = found
        images.append(crop_wild(picture, face, whole=as_it_is))
        if index % 1000 == 999:
            logger.info("%d of %d faces cropped", index + 1, len(pictures))
    return np.stack(images), shapes


def crop_wild(picture: Image, face: FloatArray | None, *, whole: bool) -> Image:
    """The grey crop (48, 48) of a picture: the whole picture, the area around the teacher's `face`, or the middle."""
    return crop_face(picture, *_crop_rule(picture, face, whole), FACE_SIZE)


def _crop_rule(
    picture: Image, face: FloatArray | None, whole: bool
) -> tuple[tuple[float, float, float, float], float]:
    """Box and margin."""
    height, width = picture.shape[:2]
    if whole:
        return (0.0, 0.0, float(width), float(height)), 1.0
    if face is None:
        edge = (1 - _LOOSE_BOX) / 2
        return (edge * width, edge * height, (1 - edge) * width, (1 - edge) * height), CROP_MARGIN
    left, top, right, bottom = (float(v) for v in face[:4])
    return (left, top, right, bottom), CROP_MARGIN


def clip_lessons(clips: Sequence[Clip], teacher: BlendshapeTeacher, every: int = 2) -> Lessons:
    """Frames of acted clips: neutral ones count fully; others have a third of the weight, as not every frame shows the
    emotion.
    """
    images, shapes, labels = [], [], []
    for clip in clips:
        for jpeg, box in list(zip(clip.crops, clip.boxes, strict=True))[::every]:
            if not jpeg:
                continue
            picture = np.ascontiguousarray(decode_image(jpeg)[..., ::-1])
            x, y, width, height = (float(v) for v in box)
            # No border: the stored crops are twice as wide as the face.
            face = teacher.find(picture, pad=0.0)
            found = None if face is None else teacher.read(picture, face)
            images.append(crop_face(picture, (x, y, x + width, y + height), CROP_MARGIN, FACE_SIZE))
            shapes.append(np.full(len(BLENDSHAPES), np.nan, np.float32) if found is None else found)
            labels.append(clip.emotion)
    weight = np.where(np.array(labels) == "neutral", 1.0, 0.33).astype(np.float32)
    return make_lessons(np.stack(images), smoothed(labels), shapes=np.stack(shapes), weight=weight)


def outlines_of(masked: Image) -> BoolArray:
    """The pixels where masked faces (n, 48, 48) show skin: those that are not black, without holes."""
    brush = np.ones((3, 3), np.uint8)
    # Not 0, because JPEG leaves black areas a little above it.
    shown = (masked > 8).astype(np.uint8)
    return np.stack([cv2.morphologyEx(face, cv2.MORPH_CLOSE, brush, iterations=2) > 0 for face in shown])


def _rgb(jpeg: NDArray[np.uint8]) -> Image:
    image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise SentilocError(ErrorCode.INVALID_DATA, "a picture of faces_wild is not an image")
    return np.asarray(image, np.uint8)
