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
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face_choice import CANDIDATES, apart, choose_index, likeliest, together
from sentiloc.worker.features.face_detection import Detector, Image, load_detector
from sentiloc.worker.features.face_encoder import FaceEncoder
from sentiloc.worker.features.face_rows import Face, FaceFeatures, FaceRows, FaceTrack, Looked
from sentiloc.worker.features.face_views import (
    BOTH_SIDES,
    MIRRORED_SIDE,
    PLAIN_SIDE,
    View,
    crop_from,
    enlarged,
    shrunk_for_search,
)
from sentiloc.worker.timeline.shots import GRID, is_other_shot

LEAST_LIKELIHOOD = 0.9
"""Threshold for the combined likelihood of detector and expression network. With it and the detector 1.0.0, 2 % of real
frames without people show a "face", where the detector alone sees one in 22 %. Of the faces that YuNet finds, 88 % are
kept instead of 92 %.
"""
CLOSE_EVERY = 4
"""Snippets for which one full-size search is made while no face is found and no new shot begins: 2.56 s."""

COUNT_EVERY = 4
"""Snippets between two searches for small faces beside a very large one: 2.56 s. Such faces are only counted."""
_Search = Literal["all", "main", "brief"]
_SAMPLE = 64
"""Every so many rows and columns are compared first, to recognize different frames quickly."""

__all__ = ["FaceEncoder", "FaceExtractor", "FaceFeatures", "FaceTrack", "load_face_extractor"]


class FaceExtractor:
    """Snippets of frames in, `FaceFeatures` out. Keeps nothing between calls.

    `threads` frames are searched at a time, each by one thread, because small networks gain nothing from more.

    Expressions are symmetric, so the mean over a face and its mirror image is more accurate. Where the network does not
    compute it, every other frame of a snippet is read mirrored: the snippet's mean is then nearly the same at half the
    cost. The only frame of a snippet is read on both sides.
    """

    def __init__(self, detector: Detector, encoder: FaceEncoder, threads: int = 1) -> None:
        self._detector = detector
        self._encoder = encoder
        # Without the network's likelihood, only the detector's own threshold applies.
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
        """Whether grey frames give the same results as RGB. The expression network reads grey crops in any case."""
        return self._detector.takes_grey

    def extract(
        self, snippets: Sequence[Sequence[Image] | NDArray[np.uint8]], previous: FaceTrack | None = None
    ) -> FaceFeatures:
        """Features of T snippets, each of k >= 0 frames of any size: RGB (height, width, 3) or grey (height, width).

        `previous` is the `last` of the previous call for the same video. Pass multiples of CLOSE_EVERY snippets, except
        at the end: each call ends with a full-size search if it found no face.
        """
        track = previous or FaceTrack()
        rows = FaceRows.blank(len(snippets), self.dim)
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
        rows: FaceRows,
        index: int,
        track: FaceTrack,
    ) -> FaceTrack:
        """Write the row of one snippet. `looked` yields the results of the ordinary search."""
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
        rows: FaceRows,
        track: FaceTrack,
    ) -> FaceTrack:
        """Search for small faces in those snippets of a group that show no face.

        A full-size search costs several ordinary ones, so videos without people would become slow if each frame had
        one. The last frame of a shot is searched, and if it shows a face, the area of that face in the frames before
        it. So a small face is read from its first frame on.
        """
        blank = [index for index in group if not rows.present[index] and len(snippets[index])]
        for run in _shots(snippets, blank):
            after = self._look_back(
                [(index, frame) for index in run for frame in snippets[index]], rows, track
            )
            if run[-1] == group[-1]:
                track = after
        return track

    def _look_back(self, frames: Sequence[tuple[int, Image]], rows: FaceRows, track: FaceTrack) -> FaceTrack:
        """Search the last of some frames at full size, and the frames before it near its face. Returns the track at the
        last frame. A frame comes with the number of its snippet, whose row is written.
        """
        read: dict[int, list[Face]] = defaultdict(list)
        back, at_last = track, replace(track, small=False)
        for place, (index, frame) in enumerate(reversed(frames)):
            near = back.box * _size(frame) if place and back.box is not None else None
            view = View(frame, frame, self._sides(None))
            found = self._check([view], [self._detector.detect_close(frame, near)])[0]
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
        places = [
            (before + number, place)
            for number, snippet in enumerate(snippets)
            for place in range(len(snippet))
        ]
        searches = [_search_for(place, number) for number, place in places]
        # Screen recordings and still pictures repeat frames, for which the search would be wasted.
        own = [index == 0 or not _are_equal(frames[index - 1], frame) for index, frame in enumerate(frames)]
        # A frame that is used for several, or for a whole snippet, is read on both sides.
        shared = {index - 1 for index, is_own in enumerate(own) if not is_own}
        sides = [
            self._sides(None if index in shared or len(snippets[number - before]) == 1 else place)
            for index, (number, place) in enumerate(places)
        ]
        looked = self._look_at(
            list(compress(frames, own)), list(compress(sides, own)), list(compress(searches, own))
        )
        return [looked[place - 1] for place in accumulate(own)]

    def _sides(self, place: int | None) -> Sequence[bool]:
        """How to read the faces of the frame at a place in its snippet; None for the only frame of a snippet."""
        if self._encoder.is_mirror_averaged:
            return PLAIN_SIDE
        if place is None:
            return BOTH_SIDES
        return MIRRORED_SIDE if place % 2 else PLAIN_SIDE

    def _look_at(
        self, frames: Sequence[Image], sides: Sequence[Sequence[bool]], searches: Sequence[_Search]
    ) -> list[Looked]:
        """Search each of the frames."""
        mapped = self._pool.map if self._pool else map
        small: Iterable[Image] = mapped(shrunk_for_search, frames)
        views = [View(*parts) for parts in zip(frames, small, sides, strict=True)]
        found: Iterable[tuple[FloatArray, bool]] = mapped(
            self._detect, [view.shrunk for view in views], searches
        )
        results = list(found)
        rows = [enlarged(f, view) for (f, _), view in zip(results, views, strict=True)]
        parts = zip(self._check(views, rows), results, views, strict=True)
        return [one if whole else self._complete(one, view) for one, (_, whole), view in parts]

    def _detect(self, image: Image, search: _Search) -> tuple[FloatArray, bool]:
        if search == "all":
            return self._detector.detect(image), True
        return self._detector.detect_main(image, brief=search == "brief")

    def _complete(self, looked: Looked, view: View) -> Looked:
        """The result of a search without small faces; if that found false faces, the result of a search for all
        faces.
        """
        if looked.rejected:
            return self._check([view], [enlarged(self._detector.detect(view.shrunk), view)])[0]
        return looked._replace(all_there=False)

    def _read_faces(
        self, views: Sequence[View], candidates: Sequence[FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        """Embeddings (n, dim) and likelihoods (n,) of all candidates, in order: means over the sides that are read."""
        pairs = [(view, row) for view, found in zip(views, candidates, strict=True) for row in found]
        crops = [crop_from(view, row[1:], self._encoder.margin, self._encoder.size) for view, row in pairs]
        sides = [view.sides for view, _ in pairs]
        turned = [
            crop[:, ::-1] if is_mirrored else crop
            for crop, all_sides in zip(crops, sides, strict=True)
            for is_mirrored in all_sides
        ]
        embeddings, chances = self._encoder.read(turned)
        if len(turned) == len(crops):
            return embeddings, chances
        counts = np.array([len(all_sides) for all_sides in sides])
        starts, weights = np.cumsum(counts) - counts, (1 / counts).astype(np.float32)
        sums = np.add.reduceat(embeddings, starts), np.add.reduceat(chances, starts)
        return np.asarray(sums[0] * weights[:, None]), np.asarray(sums[1] * weights)

    def _check(self, views: Sequence[View], rows: Sequence[FloatArray]) -> list[Looked]:
        """Keep those of each frame's rows (n, 5) that the expression network also takes for faces."""
        rows = [apart(found) for found in rows]
        candidates = [likeliest(found) for found in rows]
        embeddings, chances = self._read_faces(views, candidates)
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
            found = self._check([View(frame, frame, self._sides(None))], [near])[0]
        return found, track


def _search_for(place: int, snippet: int) -> _Search:
    """How to search a frame: for all faces, or without small faces beside a very large face, or beside any clear face.

    Later frames of a snippet mostly show the faces of the first one, which counts them.
    """
    if place:
        return "brief"
    return "main" if snippet % COUNT_EVERY else "all"


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


def _are_equal(one: Image, other: Image) -> bool:
    same = one.shape == other.shape and np.array_equal(one[::_SAMPLE, ::_SAMPLE], other[::_SAMPLE, ::_SAMPLE])
    return same and np.array_equal(one, other)


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
