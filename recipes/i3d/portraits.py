"""Still faces in colour by sentiment, and pictures without people: I3D's input for composed sequences.

Every source gives the same number of faces of each sentiment, so the look of a source does not reveal the sentiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from recipes.starter.clips import sentiment_of
from recipes.starter.faces.bank import sentiment_of_faces
from recipes.starter.faces.faces import PERSON_REPORT_SHARE, person_shares, read_ferplus
from recipes.starter.faces.lessons import HELD_OUT_SUBJECTS, read_wild_pictures
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

Picture = NDArray[np.uint8]

MOST_OF_A_SOURCE = {"photos": 400, "performers": 100, "press": 180, "grey": 100}
"""Number of faces of each sentiment from each source. FER+ is grey, as old films are; the others are in colour."""
HELD_OUT_SHARE = 0.15
"""The held-out part takes this share of `MOST_OF_A_SOURCE`."""
CLASSES = (NEGATIVE, POSITIVE, NON_SENTIMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """A square picture of a face, RGB (side, side, 3), and the sentiment that it shows."""

    picture: Picture
    label: int
    source: str


def read_portraits(data: Path, *, held_out: bool, seed: int) -> list[Portrait]:
    """Faces of training people, or of held-out ones, the same number of each sentiment from every source.

    If a source has too few of a sentiment, they are repeated.
    """
    rng = np.random.default_rng(seed)
    found: list[Portrait] = []
    for source, faces in _sources(data, held_out).items():
        most = round(MOST_OF_A_SOURCE[source] * (HELD_OUT_SHARE if held_out else 1))
        for label in CLASSES:
            pool = [picture for picture, shown in faces if shown == label]
            chosen = [int(i) for _ in range(most // len(pool) + 1) for i in rng.permutation(len(pool))]
            found += [Portrait(picture=pool[i], label=label, source=source) for i in chosen[:most]]
    return found


def _sources(data: Path, held_out: bool) -> dict[str, list[tuple[Picture, int]]]:
    return {
        "photos": list(_photos(data / "faces" / "expressions", held_out)),
        "performers": list(_wild(data / "faces_wild", "performers", held_out)),
        "press": list(_wild(data / "faces_wild", "unmasked_wild", held_out)),
        "grey": list(_grey(data / "faces" / "ferplus_dev.npz", held_out)),
    }


def _photos(folder: Path, held_out: bool) -> Iterator[tuple[Picture, int]]:
    for path, emotion, share in person_shares(folder):
        if (share < PERSON_REPORT_SHARE) == held_out:
            yield _read(path), sentiment_of(emotion)


def _wild(folder: Path, source: str, held_out: bool) -> Iterator[tuple[Picture, int]]:
    """Press faces: every fifth is held out; performers: by subject, as for the expression net."""
    rows, pictures = read_wild_pictures(folder)
    for number, (row, picture) in enumerate(zip(rows, pictures, strict=True)):
        # The same fifth as in `kept_for_report`, which the expression network has not seen either.
        kept = row["subject"] in HELD_OUT_SUBJECTS or (source == "unmasked_wild" and number % 5 == 0)
        if row["source"] == source and kept == held_out:
            yield picture, sentiment_of(row["label"])


def _grey(file: Path, held_out: bool) -> Iterator[tuple[Picture, int]]:
    splits = read_ferplus(file)
    faces = splits.report if held_out else splits.train
    for image, label in zip(faces.images, sentiment_of_faces(faces).tolist(), strict=True):
        yield np.asarray(np.repeat(image[..., None], 3, 2), np.uint8), label


def _read(path: Path) -> Picture:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError(f"the picture {path.name} cannot be read")
    return np.asarray(image, np.uint8)


def split_scenery(pictures: Sequence[Picture], *, held_out: bool) -> list[Picture]:
    """Every seventh picture without people is held out."""
    return [picture for number, picture in enumerate(pictures) if (number % 7 == 0) == held_out]
