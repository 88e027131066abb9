"""The face stream: the expression of one face per snippet, as an embedding of 256 numbers.

For each sampled frame: detect faces, verify the likeliest boxes with the expression network, and choose one. Where
several snippets show no face, one frame of each shot is searched at full size, and the frames before it around the
small face that was found. The frames that follow are searched around it, too. Only features are kept; frames are
dropped at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate, compress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face_choice import CANDIDATES, apart, choose_index, likeliest, together
from sentiloc.worker.features.face_detection import Detector, Image, load_detector
from sentiloc.worker.features.face_encoder import FaceEncoder
from sentiloc.worker.features.face_rows import Face, FaceFeatures, FaceTrack, Looked, Rows
from sentiloc.worker.timeline.shots import GRID, is_other_shot

ORDINARY_SIDE = 640
LEAST_LIKELIHOOD = 0.9
"""Threshold for the combined likelihood of detector and expression network. With it, 2 % of real frames without people
show a "face", where the detector alone sees one in 22 %. Of faces that YuNet sees, 88 % are kept instead of 92 %.
"""
CLOSE_EVERY = 4
"""Snippets for which one full-size search is made while no face is found and no new shot begins: 2.56 s."""

COUNT_EVERY = 4
"""Snippets between two searches for small faces beside a very large one: 2.56 s. They are only counted."""
_SAMPLE = 64
"""Every so many rows and columns are compared first, to recognize different frames quickly."""

__all__ = ["FaceEncoder", "FaceExtractor", "FaceFeatures", "FaceTrack", "load_face_extractor"]


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

    @property
    def takes_grey(self) -> bool:
        """Whether grey frames do as well as RGB. The expression network reads grey crops in any case."""
        return self._detector.takes_grey

    def extract(
        self, snippets: Sequence[Sequence[Image] | NDArray[np.uint8]], previous: FaceTrack | None = None
    ) -> FaceFeatures:
        """Features of T snippets, each of k >= 0 frames of any size: RGB (height, width, 3) or grey (height, width).

        `previous` is the `last` of the previous call for the same video. Pass multiples of CLOSE_EVERY snippets, except
        at the end: each call ends with a full-size search if it found no face.
        """
        track = previous or FaceTrack()
        rows = Rows.blank(len(snippets), self.dim)
        looked = iter(self._look_at_all(snippets, track.snippets))
        for begin in range(0, len(snippets), CLOSE_EVERY):
            group = range(begin, min(begin + CLOSE_EVERY, len(snippets)))
            for index in group:
                track = self._read(snippets[index], looked, rows, index, track)
            track = self._look_closely(snippets, group, rows, track)
        return FaceFeatures(
            face=rows.face, present=rows.present, boxes=rows.boxes, count=rows.count, last=track
        )

    def _read(
        self,
        frames: Sequence[Image] | NDArray[np.uint8],
        looked: Iterator[Looked],
        rows: Rows,
        index: int,
        track: FaceTrack,
    ) -> FaceTrack:
        """Write the row of one snippet. `looked` gives the results of the ordinary search."""
        read: list[Face] = []
        for frame in frames:
            found, track = self._search(frame, next(looked), track)
            chosen, track = _follow(found.faces, frame, track)
            # A search without small faces can only raise the count, not lower it.
            track = replace(track, seen=found.total if found.all_there else max(found.total, track.seen))
            rows.count[index] = max(rows.count[index], track.seen)
            read += [] if chosen is None else [chosen]
        rows.put(index, read)
        return replace(track, snippets=track.snippets + 1)

    def _look_closely(
        self,
        snippets: Sequence[Sequence[Image] | NDArray[np.uint8]],
        group: range,
        rows: Rows,
        track: FaceTrack,
    ) -> FaceTrack:
        """Search for small faces in those snippets of a group that show no face.

        A full-size search costs several ordinary ones, so videos without people would become slow if each frame had
        one. The last frame of a shot is searched, and if it shows a face, the frames before it nearby: so a small face
        is read from its first frame on.
        """
        blank = [index for index in group if not rows.present[index] and len(snippets[index])]
        for run in _shots(snippets, blank):
            after = self._look_back(
                [(index, frame) for index in run for frame in snippets[index]], rows, track
            )
            if run[-1] == group[-1]:
                track = after
        return track

    def _look_back(self, frames: Sequence[tuple[int, Image]], rows: Rows, track: FaceTrack) -> FaceTrack:
        """Search the last of some frames at full size, and those before it near its face. The track at the last frame.

        A frame comes with the number of its snippet, whose row is written.
        """
        read: dict[int, list[Face]] = defaultdict(list)
        back, at_last = track, replace(track, small=False)
        for place, (index, frame) in enumerate(reversed(frames)):
            near = back.box * _size(frame) if place and back.box is not None else None
            found = self._check([frame], [self._detector.detect_close(frame, near)], [frame])[0]
            chosen, back = _follow(found.faces, frame, back)
            if chosen is None:
                break
            read[index].insert(0, chosen)
            rows.count[index] = max(rows.count[index], found.total)
            at_last = at_last if place else replace(back, small=True, seen=found.total)
        for index, faces in read.items():
            rows.put(index, faces)
        return at_last

    def _look_at_all(
        self, snippets: Sequence[Sequence[Image] | NDArray[np.uint8]], before: int
    ) -> list[Looked]:
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

    def _look_at(self, frames: Sequence[Image], for_all: Sequence[bool]) -> list[Looked]:
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

    def _complete(self, looked: Looked, frame: Image, shrunk: Image) -> Looked:
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
    ) -> list[Looked]:
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
                Face(float(likelihood), row[1:], embedding)
                for row, embedding, likelihood in zip(candidate, embeddings[part], likelihoods, strict=True)
                if likelihood >= self._least
            ]
            # Boxes beyond the candidates were not verified; they count only beside a real face.
            total = len(faces) + max(0, len(found) - CANDIDATES) if faces else 0
            looked.append(Looked(faces, total, rejected=len(candidate) - len(faces)))
        return looked

    def _search(self, frame: Image, found: Looked, track: FaceTrack) -> tuple[Looked, FaceTrack]:
        """The frame's faces by the ordinary search. If there are none, search around a small face found before."""
        if found.faces:
            return found, replace(track, small=False)
        if track.small and track.box is not None:
            near = self._detector.detect_close(frame, track.box * _size(frame))
            found = self._check([frame], [near], [frame])[0]
        return found, track


def _shots(
    snippets: Sequence[Sequence[Image] | NDArray[np.uint8]], numbers: Sequence[int]
) -> Iterator[list[int]]:
    """The rising `numbers` of snippets, cut where a new shot begins between two of them."""
    run: list[int] = []
    for number in numbers:
        if run and is_other_shot(_brightness(snippets[run[-1]][-1]), _brightness(snippets[number][0])):
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _brightness(frame: Image) -> Image:
    """At most `GRID` x `GRID` samples of the green channel, which is most of the brightness."""
    rows, columns = (-(-side // GRID) for side in frame.shape[:2])
    samples = frame[::rows, ::columns]
    return np.ascontiguousarray(samples[..., 1] if samples.ndim == 3 else samples)


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


def _follow(faces: list[Face], frame: Image, track: FaceTrack) -> tuple[Face | None, FaceTrack]:
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
