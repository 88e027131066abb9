"""Readers for the two face collections behind the starter's expression net.

All faces become 48×48 grey. FER+ images are used whole: the longer side of the YuNet box is 0.98 of the image (median
of 500), so a whole image is similar to a crop with `CROP_MARGIN`. In `faces/expressions` that side is 0.84 of the
picture (median of 300), so those are cropped to the same margin.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.expression import CROP_MARGIN, EMOTIONS, FACE_SIZE
from sentiloc.model.extractors.face_crop import crop_face

EXPRESSIONS_BOX = 0.84
# Of FER+'s ten annotators.
MIN_VALID_VOTES = 5
SELECTION_SHARE = 0.05
PERSON_REPORT_SHARE = 0.12
HARD_LABEL_SMOOTHING = 0.1
# The collections name emotions by adjectives, FER+ by nouns.
NAMES = {"happy": "happiness", "sad": "sadness", "angry": "anger"}


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Faces with soft labels: `images` uint8 `(n, 48, 48)`, `targets` float32 `(n, 8)` that sum to 1.

    `clear` `(n,)`: more than half of the annotators agree. `shares` `(n,)`: the probability to be used in an epoch.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    clear: NDArray[np.bool_]
    shares: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The majority class of each face, `(n,)`."""
        return np.asarray(self.targets.argmax(1), np.int64)

    def take(self, chosen: NDArray[np.bool_]) -> FaceSet:
        """The faces where `chosen` `(n,)` is true."""
        return FaceSet(self.images[chosen], self.targets[chosen], self.clear[chosen], self.shares[chosen])

    def join(self, other: FaceSet) -> FaceSet:
        """These faces followed by the other ones."""
        return FaceSet(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.clear, other.clear]),
            np.concatenate([self.shares, other.shares]),
        )


@dataclass(frozen=True, slots=True)
class FaceSplits:
    """`train` is for training, `selection` for monitoring; `report` is measured once and never used for a choice."""

    train: FaceSet
    selection: FaceSet
    report: FaceSet


def vote_targets(votes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vote counts `(n, 10)` → soft labels `(n, 8)` and which faces are usable `(n,)`.

    Usable: the majority is one of the eight emotions, not "unknown" or "not a face", and at least
    `MIN_VALID_VOTES` annotators chose one. A single vote counts as an error, as in FER+'s own protocol.
    """
    emotions = votes[:, : len(EMOTIONS)].astype(np.float32)
    usable = (votes.argmax(1) < len(EMOTIONS)) & (emotions.sum(1) >= MIN_VALID_VOTES)
    kept = np.where(emotions > 1, emotions, 0.0)
    usable &= kept.sum(1) > 0
    targets = kept / np.maximum(kept.sum(1, keepdims=True), 1)
    return targets.astype(np.float32), np.asarray(usable, np.bool_)


def read_ferplus(path: Path, seed: int = 0) -> FaceSplits:
    """Read `ferplus_dev.npz`; its own `valid` split becomes `report`, a share of its `train` `selection`.

    Training images that also occur in `report` or `selection` are removed. Raises `invalid_data` if
    the file is not readable.
    """
    try:
        with np.load(path) as file:
            stream, offsets, votes, split = (file[k] for k in ("jpeg", "offsets", "votes", "split"))
    except (OSError, KeyError, ValueError) as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"cannot read {path}: {error}") from error
    targets, usable = vote_targets(votes)
    images = np.stack([_decode(stream[a:b]) for a, b in pairwise(offsets)])
    clear = np.asarray(votes.max(1) * 2 > votes.sum(1), np.bool_)
    faces = FaceSet(images, targets, clear, np.ones(len(images), np.float32))
    hashes = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    report = usable & (split == "valid")
    selection = usable & (split == "train") & (_fractions(hashes, seed) < SELECTION_SHARE)
    train = usable & (split == "train") & ~np.isin(hashes, hashes[report | selection])
    return FaceSplits(faces.take(train), faces.take(selection), faces.take(report))


def read_expressions(folder: Path, share: float = 0.5, seed: int = 0) -> FaceSplits:
    """Read `faces/expressions`; persons are kept apart between the splits, by name.

    Its labels come from one annotator, so they are smoothed, and each photo is used in a `share` of the epochs.
    """
    try:
        with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"cannot read {folder}: {error.strerror}") from error
    classes = [EMOTIONS.index(NAMES.get(row["emotion"], row["emotion"])) for row in rows]
    smooth = HARD_LABEL_SMOOTHING / len(EMOTIONS)
    targets = np.eye(len(EMOTIONS))[classes] * (1 - HARD_LABEL_SMOOTHING) + smooth
    images = np.stack([_read_photo(folder / row["file"]) for row in rows])
    clear = np.ones(len(rows), np.bool_)
    faces = FaceSet(images, targets.astype(np.float32), clear, np.full(len(rows), share, np.float32))
    place = _fractions(np.array([_person(row["file"]) for row in rows]), seed)
    report = place < PERSON_REPORT_SHARE
    selection = ~report & (place < PERSON_REPORT_SHARE + SELECTION_SHARE)
    return FaceSplits(faces.take(~report & ~selection), faces.take(selection), faces.take(report))


def report_photos(folder: Path, seed: int = 0) -> list[tuple[Path, str]]:
    """Files and emotions of the photos in the report part of `read_expressions`."""
    return [
        (path, emotion) for path, emotion, place in person_shares(folder, seed) if place < PERSON_REPORT_SHARE
    ]


def person_shares(folder: Path, seed: int = 0) -> list[tuple[Path, str, float]]:
    """Every photo's file, its emotion, and a number in [0, 1) of its person, which decides the split."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    places = _fractions(np.array([_person(row["file"]) for row in rows]), seed).tolist()
    return [(folder / row["file"], row["emotion"], place) for row, place in zip(rows, places, strict=True)]


def training_photos(folder: Path, seed: int = 0) -> list[NDArray[np.uint8]]:
    """The training part of `read_expressions` as RGB pictures, in the same order."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    place = _fractions(np.array([_person(name) for name in names]), seed)
    taught = place >= PERSON_REPORT_SHARE + SELECTION_SHARE
    chosen = [folder / name for name, keep in zip(names, taught.tolist(), strict=True) if keep]
    return [_read_rgb(path) for path in chosen]


def read_faces(data: Path) -> tuple[FaceSet, FaceSplits, FaceSplits]:
    """Read a data folder with `faces/`; returns the joined training set, FER+'s splits and the photos' splits."""
    ferplus = read_ferplus(data / "faces" / "ferplus_dev.npz")
    photos = read_expressions(data / "faces" / "expressions")
    return ferplus.train.join(photos.train), ferplus, photos


def _decode(jpeg: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
    if image is None or image.shape != (FACE_SIZE, FACE_SIZE):
        raise SentilocError(ErrorCode.INVALID_DATA, "a FER+ image is not a 48×48 JPEG")
    return np.asarray(image, np.uint8)


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise SentilocError(ErrorCode.INVALID_DATA, f"cannot read the picture {path.name}")
    return np.asarray(image, np.uint8)


def _read_photo(path: Path) -> NDArray[np.uint8]:
    image = _read_rgb(path)
    side = image.shape[0]
    edge = side * (1 - EXPRESSIONS_BOX) / 2
    box = (edge, edge, side - edge, side - edge)
    return crop_face(image, box, CROP_MARGIN, FACE_SIZE)


def _person(name: str) -> str:
    return re.sub(r"_\d+\.\w+$", "", name)


def _fractions(keys: NDArray[np.str_], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each key, the same on every machine."""
    digests = [hashlib.sha256(f"{seed}:{key}".encode()).digest()[:4] for key in keys]
    return np.array([int.from_bytes(digest) / 2**32 for digest in digests])
