"""The face stream: what the largest face of each snippet expresses, as an embedding of 256 numbers.

Per sampled frame: detect, choose one face, crop it by the rule that the expression net was trained on. Per
batch: encode all crops together. Frames are dropped at once, only features are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sentiloc.model.extractors.face_boxes import box_iou
from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.worker.features.face_detection import Detector, Image, load_detector, read_spec
from sentiloc.worker.runtime.onnx_session import create_session

ENCODE_BATCH = 32
SMALLEST_FACE = 16.0
SAME_FACE_AREA = 0.6
SAME_FACE_IOU = 0.2

__all__ = ["FaceEncoder", "FaceExtractor", "FaceFeatures", "load_face_extractor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFeatures:
    """Faces of T snippets: face (T, dim), zero where absent; present (T,); boxes (T, 4).

    A box is x1, y1, x2, y2 as shares of the frame's width and height, of the snippet's clearest face; zero where
    absent. `last` is the box of the last face seen: hand it to the next call, to stay with the same person.
    """

    face: FloatArray
    present: BoolArray
    boxes: FloatArray
    last: FloatArray | None


class FaceEncoder:
    """The expression package: grey face crops to embeddings."""

    def __init__(self, session: ort.InferenceSession, *, size: int, margin: float, dim: int) -> None:
        self._session = session
        self.size = size
        self.margin = margin
        self.dim = dim

    @classmethod
    def from_package(cls, package: Path, *, threads: int = 1) -> FaceEncoder:
        """Open folder `package`; SentilocError if it is incomplete or broken."""
        spec = read_spec(package)
        session = create_session(package / str(spec["network"]), threads=threads)
        return cls(session, size=spec["input"]["size"], margin=spec["margin"], dim=spec["embedding_dim"])

    def encode(self, crops: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """Crops (size, size), grey -> embeddings (n, dim)."""
        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(crops), ENCODE_BATCH):
            faces = np.stack(crops[start : start + ENCODE_BATCH])[:, None].astype(np.float32) / 255
            parts.append(self._session.run(["embedding"], {"faces": faces})[0])
        return np.concatenate(parts)


class FaceExtractor:
    """Snippets of frames in, `FaceFeatures` out. Keeps nothing between calls.

    Faces are looked for in `threads` frames at a time, each by one thread: small networks gain nothing from more.
    """

    def __init__(self, detector: Detector, encoder: FaceEncoder, threads: int = 1) -> None:
        self._detector = detector
        self._encoder = encoder
        self.dim = encoder.dim
        self._pool = ThreadPoolExecutor(threads, "faces") if threads > 1 else None

    @property
    def name(self) -> str:
        """The detector's name, for results and logs."""
        return self._detector.name

    @property
    def digest(self) -> str:
        """SHA-256 of the detector's network; the encoder's is in the ModelSpec."""
        return self._detector.digest

    def extract(
        self, snippets: Sequence[Sequence[Image] | NDArray[np.uint8]], previous: FloatArray | None = None
    ) -> FaceFeatures:
        """Features of T snippets, each of k >= 0 RGB frames (height, width, 3) of any size.

        `previous` is the `last` of the call before, where the video goes on.
        """
        boxes = np.zeros((len(snippets), 4), np.float32)
        crops: list[NDArray[np.uint8]] = []
        owners: list[int] = []
        found = self._detect_all([frame for frames in snippets for frame in frames])
        for index, frames in enumerate(snippets):
            clearest = 0.0
            for frame in frames:
                sighting = self._sight(frame, next(found), previous)
                if sighting is None:
                    continue
                previous = sighting.box
                crops.append(sighting.crop)
                owners.append(index)
                if sighting.score > clearest:
                    clearest, boxes[index] = sighting.score, sighting.box
        face, present = _mean_by_owner(self._encoder.encode(crops), owners, len(snippets))
        return FaceFeatures(face=face, present=present, boxes=boxes, last=previous)

    def _detect_all(self, frames: Sequence[Image]) -> Iterator[FloatArray]:
        """The faces of each frame, as `Detector.detect` gives them."""
        return (self._pool.map if self._pool else map)(self._detector.detect, frames)

    def _sight(self, frame: Image, rows: FloatArray, previous: FloatArray | None) -> _Sighting | None:
        size = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        chosen = choose_face(rows, None if previous is None else previous * size)
        if chosen is None:
            return None
        x1, y1, x2, y2 = (float(v) for v in chosen[1:])
        crop = crop_face(frame, (x1, y1, x2, y2), self._encoder.margin, self._encoder.size)
        return _Sighting(float(chosen[0]), np.clip(chosen[1:] / size, 0, 1), crop)


class _Sighting(NamedTuple):
    """One face in one frame: score, box (4,) as shares of the frame, crop (size, size)."""

    score: float
    box: FloatArray
    crop: NDArray[np.uint8]


def load_face_extractor(
    detector: Path, encoder: Path, *, yunet: Path | None = None, threads: int = 1
) -> FaceExtractor:
    """Open the packages in folders `detector` and `encoder`; YuNet is used where the file `yunet` exists."""
    return FaceExtractor(
        load_detector(detector, yunet=yunet, threads=1),
        FaceEncoder.from_package(encoder, threads=threads),
        threads,
    )


def choose_face(rows: FloatArray, previous: FloatArray | None) -> FloatArray | None:
    """The largest of the faces (n, 5), or, among those of similar area, the one where the last face was.

    `previous` is a box (4,) in the same pixels. None if there is no face of at least SMALLEST_FACE pixels.
    """
    area = np.clip(rows[:, 3:] - rows[:, 1:3], 0, None).prod(1)
    rows, area = rows[area >= SMALLEST_FACE**2], area[area >= SMALLEST_FACE**2]
    if not len(rows):
        return None
    similar = rows[area >= SAME_FACE_AREA * area.max()]
    if previous is not None:
        overlap = box_iou(similar[:, 1:], previous[None])[:, 0]
        if overlap.max() >= SAME_FACE_IOU:
            return np.asarray(similar[overlap.argmax()])
    return np.asarray(rows[area.argmax()])


def _mean_by_owner(embeddings: FloatArray, owners: Sequence[int], count: int) -> tuple[FloatArray, BoolArray]:
    """Mean embedding (count, dim) of each snippet, and which snippets have any (count,)."""
    totals = np.zeros((count, embeddings.shape[1]), np.float32)
    seen = np.bincount(np.asarray(owners, np.intp), minlength=count)[:count]
    np.add.at(totals, np.asarray(owners, np.intp), embeddings)
    return (totals / np.maximum(seen, 1)[:, None]).astype(np.float32), seen > 0
