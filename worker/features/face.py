"""The face stream: the expression of one face per snippet, as an embedding of 256 numbers.

For each sampled frame: detect faces, verify the likeliest boxes with the expression network, and choose one. Frames
without a face are occasionally searched at full size. After a small face was found, its surroundings are searched. Only
features are kept; frames are dropped at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate, compress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.worker.features.face_choice import CANDIDATES, apart, choose_index, likeliest, together
from sentiloc.worker.features.face_detection import Detector, Image, load_detector, read_spec
from sentiloc.worker.runtime.onnx_session import create_session

ENCODE_BATCH = 32
ORDINARY_SIDE = 640
LEAST_LIKELIHOOD = 0.9
"""Threshold for the combined likelihood of detector and expression network. With it, 2 % of real frames without people
show a "face", where the detector alone sees one in 22 %. Of faces that YuNet sees, 88 % are kept instead of 92 %.
"""
CLOSE_EVERY = 4
"""Snippets between two full-size searches while no face is found: 2.56 s."""

COUNT_EVERY = 4
"""Snippets between two searches for small faces beside a very large one: 2.56 s. They are only counted."""
_SAMPLE = 16
"""Every so many rows and columns are compared first, to tell different frames at once."""

__all__ = ["FaceEncoder", "FaceExtractor", "FaceFeatures", "FaceTrack", "load_face_extractor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceTrack:
    """The state carried to the next frames: the last face's box (4,) as shares of the frame, whether only a full-size
    search found it, and the snippets since the last full-size search. `snippets` is their number so far, `seen` the
    number of faces that the last search for all of them found.
    """

    box: FloatArray | None = None
    small: bool = False
    waited: int = CLOSE_EVERY
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


class FaceEncoder:
    """The expression package: grey face crops to embeddings."""

    def __init__(self, session: ort.InferenceSession, *, size: int, margin: float, dim: int) -> None:
        self._session = session
        self.checks = "face" in {output.name for output in session.get_outputs()}
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
        return self.read(crops)[0]

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[FloatArray, FloatArray]:
        """Crops (size, size), grey -> embeddings (n, dim) and the probability (n,) that the crop shows a face.

        Networks before version 2 do not output it: then the probability is 0.5, and `checks` is false.
        """
        embeddings, faces = [np.zeros((0, self.dim), np.float32)], [np.zeros(0, np.float32)]
        names = ["embedding", "face"] if self.checks else ["embedding"]
        for start in range(0, len(crops), ENCODE_BATCH):
            pixels = np.stack(crops[start : start + ENCODE_BATCH])[:, None].astype(np.float32) / 255
            found = self._session.run(names, {"faces": pixels})
            embeddings.append(found[0])
            faces.append(found[1] if self.checks else np.full(len(pixels), 0.5, np.float32))
        return np.concatenate(embeddings), np.concatenate(faces)


class _Face(NamedTuple):
    """A verified face: likelihood, box (4,) in pixels of its frame, embedding (dim,)."""

    likelihood: float
    box: FloatArray
    embedding: FloatArray


class _Looked(NamedTuple):
    """One frame after the ordinary search: verified faces, and the estimated number of faces in `total`.

    `rejected` is the number of candidates that are no faces. `all_there` is false if small faces were not searched for.
    """

    faces: list[_Face]
    total: int
    rejected: int = 0
    all_there: bool = True


class FaceExtractor:
    """Snippets of frames in, `FaceFeatures` out. Keeps nothing between calls.

    `threads` frames are searched at a time, each by one thread, because small networks gain nothing from more.
    """

    def __init__(self, detector: Detector, encoder: FaceEncoder, threads: int = 1) -> None:
        self._detector = detector
        self._encoder = encoder
        # Without the network's opinion, the detector's own threshold has to suffice.
        self._least = LEAST_LIKELIHOOD if encoder.checks else 0.0
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
        self, snippets: Sequence[Sequence[Image] | NDArray[np.uint8]], previous: FaceTrack | None = None
    ) -> FaceFeatures:
        """Features of T snippets, each of k >= 0 RGB frames (height, width, 3) of any size.

        `previous` is the `last` of the previous call for the same video.
        """
        track = previous or FaceTrack()
        face = np.zeros((len(snippets), self.dim), np.float32)
        boxes, count = np.zeros((len(snippets), 4), np.float32), np.zeros(len(snippets), np.int32)
        present = np.zeros(len(snippets), np.bool_)
        looked = iter(self._look_at_all(snippets, track.snippets))
        for index, frames in enumerate(snippets):
            read: list[_Face] = []
            for place, frame in enumerate(frames):
                found, track = self._search(frame, next(looked), track, may_look_closely=place == 0)
                chosen, track = _follow(found.faces, frame, track)
                # A search without small faces can only raise the count, not lower it.
                track = replace(track, seen=found.total if found.all_there else max(found.total, track.seen))
                count[index] = max(count[index], track.seen)
                read += [] if chosen is None else [chosen]
            if read:
                present[index], face[index] = True, np.mean([one.embedding for one in read], 0)
                boxes[index] = max(read, key=lambda one: one.likelihood).box
            track = replace(track, waited=track.waited + 1, snippets=track.snippets + 1)
        return FaceFeatures(face=face, present=present, boxes=boxes, count=count, last=track)

    def _look_at_all(
        self, snippets: Sequence[Sequence[Image] | NDArray[np.uint8]], before: int
    ) -> list[_Looked]:
        """Search each frame at ordinary size. All candidates are encoded in one batch.

        A frame that equals the one before it shares its result. `before` is the number of snippets before these.
        """
        frames = [frame for snippet in snippets for frame in snippet]
        for_all = [
            place == 0 and (before + index) % COUNT_EVERY == 0
            for index, snippet in enumerate(snippets)
            for place in range(len(snippet))
        ]
        # Screen recordings and still pictures repeat frames, for which the search would be wasted.
        own = [index == 0 or not _are_equal(frames[index - 1], frame) for index, frame in enumerate(frames)]
        looked = self._look_at(list(compress(frames, own)), list(compress(for_all, own)))
        return [looked[place - 1] for place in accumulate(own)]

    def _look_at(self, frames: Sequence[Image], for_all: Sequence[bool]) -> list[_Looked]:
        """Search each of the frames, for small faces beside a very large one only where `for_all` says so."""
        mapped = self._pool.map if self._pool else map
        small: Iterable[Image] = mapped(_shrunk, frames)
        shrunk = list(small)
        found: Iterable[tuple[FloatArray, bool]] = mapped(self._detect, shrunk, for_all)
        results = list(found)
        rows = [_enlarged(f, frame, s) for (f, _), frame, s in zip(results, frames, shrunk, strict=True)]
        parts = zip(self._check(frames, rows, shrunk), results, frames, shrunk, strict=True)
        return [one if whole else self._complete(one, frame, s) for one, (_, whole), frame, s in parts]

    def _detect(self, image: Image, for_all: bool) -> tuple[FloatArray, bool]:
        return (self._detector.detect(image), True) if for_all else self._detector.detect_main(image)

    def _complete(self, looked: _Looked, frame: Image, shrunk: Image) -> _Looked:
        """The result of a search without small faces, or, if that found what is no face, of one for all."""
        if looked.rejected:
            rows = _enlarged(self._detector.detect(shrunk), frame, shrunk)
            return self._check([frame], [rows], [shrunk])[0]
        return looked._replace(all_there=False)

    def _crop(self, frame: Image, shrunk: Image, box: FloatArray) -> NDArray[np.uint8]:
        """Crop a face from the shrunk frame, which is cheaper, or from the full frame if the face is small."""
        scale = shrunk.shape[1] / frame.shape[1]
        # Enlarging a crop would blur the face, so small ones are cut from the full frame.
        large = float((box[2:] - box[:2]).max()) * scale >= self._encoder.size
        image, (x1, y1, x2, y2) = (shrunk, box * scale) if large else (frame, box)
        corners = (float(x1), float(y1), float(x2), float(y2))
        return crop_face(image, corners, self._encoder.margin, self._encoder.size)

    def _check(
        self, frames: Sequence[Image], rows: Sequence[FloatArray], shrunk: Sequence[Image]
    ) -> list[_Looked]:
        """Keep those of each frame's rows (n, 5) that the expression network also takes for faces."""
        rows = [apart(found) for found in rows]
        candidates = [likeliest(found) for found in rows]
        crops = [
            self._crop(frame, small, row[1:])
            for frame, small, found in zip(frames, shrunk, candidates, strict=True)
            for row in found
        ]
        embeddings, chances = self._encoder.read(crops)
        ends = np.cumsum([len(found) for found in candidates])
        looked = []
        for found, candidate, end in zip(rows, candidates, ends.tolist(), strict=True):
            part = slice(end - len(candidate), end)
            likelihoods = together(candidate[:, 0], chances[part])
            faces = [
                _Face(float(likelihood), row[1:], embedding)
                for row, embedding, likelihood in zip(candidate, embeddings[part], likelihoods, strict=True)
                if likelihood >= self._least
            ]
            # Boxes beyond the candidates were not verified; they count only beside a real face.
            total = len(faces) + max(0, len(found) - CANDIDATES) if faces else 0
            looked.append(_Looked(faces, total, rejected=len(candidate) - len(faces)))
        return looked

    def _search(
        self, frame: Image, found: _Looked, track: FaceTrack, *, may_look_closely: bool
    ) -> tuple[_Looked, FaceTrack]:
        """The frame's faces by the ordinary search. If there are none and it is due, search at full size."""
        if found.faces:
            return found, replace(track, small=False)
        if track.small and track.box is not None:
            near = self._detector.detect_close(frame, track.box * _size(frame))
            found = self._check([frame], [near], [frame])[0]
            if found.faces:
                return found, track
        # A full-size search costs several ordinary ones, so videos without people would become slow.
        if may_look_closely and track.waited >= CLOSE_EVERY:
            found = self._check([frame], [self._detector.detect_close(frame)], [frame])[0]
            return found, replace(track, waited=0, small=bool(found.faces))
        return found, track


def _shrunk(frame: Image) -> Image:
    """The frame at the size of ordinary searches. Large faces are cropped from it, too."""
    scale = ORDINARY_SIDE / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _are_equal(one: Image, other: Image) -> bool:
    same = one.shape == other.shape and np.array_equal(one[::_SAMPLE, ::_SAMPLE], other[::_SAMPLE, ::_SAMPLE])
    return same and np.array_equal(one, other)


def _enlarged(rows: FloatArray, frame: Image, shrunk: Image) -> FloatArray:
    """Convert rows (n, 5) of a shrunk frame to pixels of the full frame."""
    scale = np.float32(frame.shape[1] / shrunk.shape[1])
    return np.column_stack([rows[:, 0], rows[:, 1:] * scale]).astype(np.float32)


def _size(frame: Image) -> FloatArray:
    return np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)


def _follow(faces: list[_Face], frame: Image, track: FaceTrack) -> tuple[_Face | None, FaceTrack]:
    """The face to use, its box as shares of the frame, and the updated track."""
    if not faces:
        return None, track
    rows = np.array([[face.likelihood, *face.box] for face in faces], np.float32)
    size = _size(frame)
    chosen = choose_index(rows, None if track.box is None else track.box * size)
    if chosen is None:
        return None, track
    box = np.clip(faces[chosen].box / size, 0, 1).astype(np.float32)
    return faces[chosen]._replace(box=box), replace(track, box=box)


def load_face_extractor(
    detector: Path, encoder: Path, *, yunet: Path | None = None, threads: int = 1
) -> FaceExtractor:
    """Open the packages in folders `detector` and `encoder`; YuNet is used if the file `yunet` exists."""
    return FaceExtractor(
        load_detector(detector, yunet=yunet, threads=1),
        FaceEncoder.from_package(encoder, threads=threads),
        threads,
    )
