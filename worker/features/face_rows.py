"""What the face stream finds: verified faces, the rows of snippets, and the track that continues in the next call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.segments import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceTrack:
    """The state carried to the next frames: the last face's box (4,) as shares of the frame, whether only a full-size
    search found it. `snippets` is the number of snippets so far, `seen` the number of faces that the last search for
    all faces found.
    """

    box: FloatArray | None = None
    small: bool = False
    snippets: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFeatures:
    """Faces of T snippets: face (T, dim), zero where absent; present (T,); boxes (T, 4); count (T,) of faces seen.

    A box is x1, y1, x2, y2 of the snippet's clearest face, as shares of the frame's width and height; zero if absent.
    Pass `last` to the next call, to follow the same person.
    """

    face: FloatArray
    present: BoolArray
    boxes: FloatArray
    count: NDArray[np.int32]
    last: FaceTrack


class Face(NamedTuple):
    """A verified face: likelihood, box (4,) in pixels of its frame, embedding (dim,)."""

    likelihood: float
    box: FloatArray
    embedding: FloatArray


class Looked(NamedTuple):
    """One frame after the ordinary search: verified faces, and the estimated number of faces in `total`.

    `rejected` is the number of candidates that are no faces. `all_there` is false if small faces were not searched for.
    """

    faces: list[Face]
    total: int
    rejected: int = 0
    all_there: bool = True


@dataclass(frozen=True, slots=True)
class FaceRows:
    """The arrays of `FaceFeatures`, which are filled snippet by snippet."""

    face: FloatArray
    present: BoolArray
    boxes: FloatArray
    count: NDArray[np.int32]

    @staticmethod
    def blank(count: int, dim: int) -> FaceRows:
        """Rows of `count` snippets without a face."""
        return FaceRows(
            np.zeros((count, dim), np.float32),
            np.zeros(count, np.bool_),
            np.zeros((count, 4), np.float32),
            np.zeros(count, np.int32),
        )

    def put(self, index: int, faces: Sequence[Face]) -> None:
        """Write the row of a snippet in whose frames `faces` were read."""
        if faces:
            self.present[index], self.face[index] = True, np.mean([one.embedding for one in faces], 0)
            self.boxes[index] = max(faces, key=lambda one: one.likelihood).box
