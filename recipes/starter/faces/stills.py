"""The still faces of sequences: those of the expression network's training, or the held-out ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.starter.faces.faces import FaceSet, read_faces
from recipes.starter.faces.lessons import HELD_OUT_SUBJECTS, WildFaces, smoothed
from recipes.starter.faces.material import held_out as held_out_nothing
from recipes.starter.faces.material import kept_for_report

MASKED_SHOWN = 3
"""Every n-th masked face is used, because they are the noisiest and outnumber the others."""


def face_set(data: Path, material: Path, *, held_out: bool) -> tuple[FaceSet, NDArray[np.uint8]]:
    """Faces with soft labels of one split, and pictures (n, 48, 48) without a face.

    `material` is the folder of the pictures that the expression network's training collected.
    """
    train, ferplus, photos = read_faces(data)
    known = ferplus.report.join(photos.report) if held_out else train
    nothing = np.load(material / "nothing.npy")
    chosen = nothing[held_out_nothing(nothing) == held_out]
    return known.join(_wild(material / "wild.npz", held_out=held_out)), chosen


def _wild(file: Path, *, held_out: bool) -> FaceSet:
    """The faces of `faces_wild`: press faces and performers of one split, and masked ones for training only."""
    with np.load(file) as held:
        names = {key: tuple(held[key].tolist()) for key in ("labels", "sources", "subjects")}
        wild = WildFaces(images=held["images"], shapes=held["shapes"], **names)
    kept = kept_for_report(wild) | np.array([subject in HELD_OUT_SUBJECTS for subject in wild.subjects])
    masked = np.array([source == "masked_wild" for source in wild.sources])
    spared = masked & (held_out | (np.arange(len(masked)) % MASKED_SHOWN > 0))
    chosen = (kept == held_out) & ~spared
    count = int(chosen.sum())
    return FaceSet(
        wild.images[chosen],
        smoothed([wild.labels[i] for i in np.flatnonzero(chosen)]),
        np.ones(count, np.bool_),
        np.ones(count, np.float32),
    )
