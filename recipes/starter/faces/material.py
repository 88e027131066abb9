"""Collects the training data of the expression network, each source once, in files of a run's folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from recipes.starter.clips import Clip, decode_image, read_clips, teacher_detector
from recipes.starter.faces.faces import FaceSplits, read_expressions, read_ferplus, training_photos
from recipes.starter.faces.lessons import (
    HELD_OUT_SUBJECTS,
    Lessons,
    WildFaces,
    clip_lessons,
    face_lessons,
    faceless_lessons,
    join,
    read_wild,
)
from recipes.starter.faces.teacher import BlendshapeTeacher
from recipes.starter.pictures import Picture, draw, fonts, read_pictures
from recipes.starter.splits import VALIDATION_ACTORS
from sentiloc.model.extractors.expression import CROP_MARGIN, FACE_SIZE
from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face_detection import StarterDetector

logger = logging.getLogger(__name__)

FERPLUS_TAUGHT = 1000
# The teacher takes 15 ms a face.
PHOTOS_TAUGHT_EVERY = 3
NOTHING_DRAWN = 500
# A threshold far below the served one, because false alarms are wanted here.
LIKELY_FACE = 0.1
HELD_OUT_OF_TEN = 1
WILD_SHARES = {"masked_wild": 0.7, "unmasked_wild": 1.0, "performers": 1.0}
"""Label weights: the labels of masked faces are the noisiest."""
SAME_PICTURE = 0.97
_SMALLEST_PATCH = 20
_WILD_COLUMNS = ("labels", "sources", "subjects")
# The shipped one, because its false alarms are those of serving.
DETECTOR = Path(__file__).parents[3] / "exported" / "face-detector"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceMaterial:
    """All sources. `nothing` (n, 48, 48): pictures without a face, most of them false alarms of a detector."""

    ferplus: FaceSplits
    photos: FaceSplits
    ferplus_shapes: FloatArray
    photo_shapes: FloatArray
    wild: WildFaces
    clips: Lessons
    nothing: NDArray[np.uint8]

    def training(self, without: Collection[str] = ()) -> Lessons:
        """All lessons except those of held-out subjects and of the sources of `faces_wild` in `without`."""
        subjects = np.array([subject not in HELD_OUT_SUBJECTS for subject in self.wild.subjects])
        fresh = ~seen_again(self.wild.images, self.ferplus.report.images) & ~kept_for_report(self.wild)
        parts = [
            replace(part, shares=np.full(len(part), share, np.float32))
            for source, share in WILD_SHARES.items()
            if source not in without and len(part := self.wild.lessons(source, subjects & fresh))
        ]
        ferplus, photos = (
            face_lessons(self.ferplus.train, self.ferplus_shapes),
            face_lessons(self.photos.train, self.photo_shapes),
        )
        return join(
            [
                # The shares keep the largest source from outweighing the others.
                replace(ferplus, shares=np.full(len(ferplus), 0.6, np.float32)),
                replace(photos, shares=np.full(len(photos), 0.2, np.float32)),
                *parts,
                replace(self.clips, shares=np.full(len(self.clips), 0.5, np.float32)),
                replace(
                    faceless_lessons(self.nothing[~held_out(self.nothing)]),
                    shares=_share_of_nothing(self.nothing),
                ),
            ]
        )


def kept_for_report(wild: WildFaces) -> NDArray[np.bool_]:
    """One in five of the press and stock faces; most people in them occur only once."""
    press = np.array([source == "unmasked_wild" for source in wild.sources], np.bool_)
    fifth: NDArray[np.bool_] = press & (np.arange(len(wild.images)) % 5 == 0)
    return fifth


def held_out(nothing: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """One in ten of the pictures without a face, in blocks, because adjacent ones come from one picture."""
    return np.arange(len(nothing)) // 50 % 10 < HELD_OUT_OF_TEN


def _share_of_nothing(nothing: NDArray[np.uint8]) -> NDArray[np.float32]:
    # About 3,000 of them in an epoch, whatever their number.
    count = int((~held_out(nothing)).sum())
    return np.full(count, min(1.0, 3000 / max(1, count)), np.float32)


def gather(data: Path, pictures: Path, cache: Path) -> FaceMaterial:
    """Read and label everything in the data folder; results in `cache` are reused."""
    cv2.setNumThreads(1)
    teacher = BlendshapeTeacher(data / "weights")
    ferplus = read_ferplus(data / "faces" / "ferplus_dev.npz")
    photos = read_expressions(data / "faces" / "expressions")
    return FaceMaterial(
        ferplus=ferplus,
        photos=photos,
        clips=_clips(data, cache, teacher),
        wild=_wild(data, cache, teacher),
        photo_shapes=_kept(
            cache / "photo_shapes.npy",
            lambda: teacher.label(training_photos(data / "faces" / "expressions"), PHOTOS_TAUGHT_EVERY),
        ),
        nothing=np.concatenate(
            [
                _kept(cache / "nothing.npy", lambda: patches_of_nothing(pictures, np.random.default_rng(0))),
                _kept(
                    cache / "parts.npy",
                    lambda: parts_of_heads(_clips_of(data, cache), np.random.default_rng(1)),
                ),
            ]
        ),
        ferplus_shapes=_kept(cache / "ferplus_shapes.npy", lambda: _ferplus_shapes(ferplus, teacher)),
    )


def _kept(file: Path, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        logger.info("making %s", file.name)
        partial = file.with_suffix(".part.npy")
        np.save(partial, make())
        partial.replace(file)
    return np.asarray(np.load(file))


def _wild(data: Path, cache: Path, teacher: BlendshapeTeacher) -> WildFaces:
    file = cache / "wild.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        wild = read_wild(data / "faces_wild", teacher)
        arrays: dict[str, Any] = {key: np.array(getattr(wild, key)) for key in _WILD_COLUMNS}
        partial = file.with_suffix(".part.npz")
        np.savez(partial, images=wild.images, shapes=wild.shapes, **arrays)
        partial.replace(file)
    with np.load(file) as held:
        columns: dict[str, Any] = {key: tuple(held[key].tolist()) for key in _WILD_COLUMNS}
        return WildFaces(images=held["images"], shapes=held["shapes"], **columns)


def _clips(data: Path, cache: Path, teacher: BlendshapeTeacher) -> Lessons:
    file = cache / "clips.npz"
    if not file.exists():
        clip_lessons(_clips_of(data, cache), teacher).save(file)
    return Lessons.load(file)


def _clips_of(data: Path, cache: Path) -> list[Clip]:
    """Clips of the training actors."""
    find = teacher_detector(data / "weights" / "yunet_n_dynamic.onnx")
    clips = read_clips(data / "javanese_av", cache / "clips", find)
    return [clip for clip in clips if clip.actor not in VALIDATION_ACTORS]


def _ferplus_shapes(ferplus: FaceSplits, teacher: BlendshapeTeacher) -> FloatArray:
    """Blendshapes of some of the training faces, NaN for the others: the teacher is inaccurate at 48 pixels."""
    count = len(ferplus.train)
    shapes = np.full((count, 52), np.nan, np.float32)
    for index in np.random.default_rng(0).permutation(count)[:FERPLUS_TAUGHT]:
        grey = np.repeat(ferplus.train.images[index][..., None], 3, 2)
        shapes[index] = teacher.label([grey])[0]
    return shapes


def patches_of_nothing(pictures: Path, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Crops (n, 48, 48) without a face: uncertain detections of the shipped detector, and random crops."""
    detector = StarterDetector(DETECTOR)
    detector.threshold = LIKELY_FACE
    typefaces = fonts((Path("/usr/share/fonts"), pictures))
    drawn = [draw(rng, typefaces) for _ in range(NOTHING_DRAWN)]
    patches = [
        patch for picture in (*read_pictures(pictures), *drawn) for patch in _patches(picture, detector, rng)
    ]
    return np.stack(patches)


def parts_of_heads(clips: list[Clip], rng: np.random.Generator, every: int = 6) -> NDArray[np.uint8]:
    """Crops (n, 48, 48) of ears, hair, necks and walls beside real faces; they contain a tenth of a face at most."""
    patches = []
    for clip in clips:
        for jpeg, (x, y, width, height) in list(zip(clip.crops, clip.boxes, strict=True))[::every]:
            if not jpeg:
                continue
            picture = np.ascontiguousarray(decode_image(jpeg)[..., ::-1])
            face = np.array([[x, y, x + width, y + height]], np.float32)
            for _ in range(6):
                side = float(rng.uniform(0.25, 0.8) * max(width, height))
                left, top = (
                    rng.uniform(0, max(1.0, picture.shape[1] - side)),
                    rng.uniform(0, max(1.0, picture.shape[0] - side)),
                )
                box = np.array([[left, top, left + side, top + side]], np.float32)
                shared = np.clip(
                    np.minimum(box[0, 2:], face[0, 2:]) - np.maximum(box[0, :2], face[0, :2]), 0, None
                ).prod()
                if shared < 0.1 * width * height and shared < 0.3 * side * side:
                    corner = (float(left), float(top), float(left + side), float(top + side))
                    patches.append(crop_face(picture, corner, CROP_MARGIN, FACE_SIZE))
    return np.stack(patches)


def _patches(
    picture: Picture, detector: StarterDetector, rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    boxes = [row[1:] for row in detector.detect(picture)[:8]]
    height, width = picture.shape[:2]
    for _ in range(2 if min(height, width) > 2 * _SMALLEST_PATCH else 0):
        side = float(np.exp(rng.uniform(np.log(_SMALLEST_PATCH), np.log(min(height, width)))))
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        boxes.append(np.array([left, top, left + side, top + side], np.float32))
    corners = [
        (float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in boxes if b[2] > b[0] and b[3] > b[1]
    ]
    return [crop_face(picture, corner, CROP_MARGIN, FACE_SIZE) for corner in corners]


def seen_again(images: NDArray[np.uint8], among: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the images (n, 48, 48) repeat another: their middles correlate by more than SAME_PICTURE."""
    mine, others = _middles(images), _middles(among)
    return np.concatenate([(part @ others.T).max(1) > SAME_PICTURE for part in np.array_split(mine, 20)])


def _middles(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    # Without the border, which differs between two crops of one photograph.
    small = np.stack([cv2.resize(i[8:40, 8:40], (16, 16), interpolation=cv2.INTER_AREA) for i in images])
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), np.float32)
