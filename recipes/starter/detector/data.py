"""Training data of the face detector: grey faces and frames with boxes, collected once into one file.

The boxes come from YuNet as a teacher, so the definition of a face's edge is known. The teacher is used only here:
neither its weights nor its code are part of the result.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from recipes.starter.drawn.build import DrawnFaces, drawn_faces, drawn_things
from recipes.starter.faces.lessons import HELD_OUT_SUBJECTS
from recipes.starter.pictures import draw, fonts, read_pictures
from recipes.starter.splits import VALIDATION_ACTORS

Grey = NDArray[np.uint8]
Boxes = NDArray[np.float32]

TEACHER = Path("weights") / "yunet_n_dynamic.onnx"
# Boxes with a lower score would teach the teacher's mistakes.
TEACHER_SCORE = 0.7
CROP_SIDE = 112
# Neighbouring frames of a clip are nearly the same.
FRAMES_PER_CLIP = 12
SMALL_FACES = 10_000
PERSON_HELD_OUT = 10
# Crops end at the face, where the teacher finds nothing without a border.
_PAD = 24
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Grey images and one box (x1, y1, x2, y2) in each.

    photos (n, 112, 112), small_faces (n, 48, 48), frames (n, 270, 360). `pictures` have any size and show nobody.
    `drawn` are faces of avatars, emoji and modelled heads, with opacities.
    """

    photos: Grey
    photo_boxes: Boxes
    small_faces: Grey
    small_boxes: Boxes
    frames: Grey
    frame_boxes: Boxes
    pictures: tuple[Grey, ...] = ()
    drawn: DrawnFaces | None = None


class Teacher:
    """YuNet as a labeller: gives the most confident box of an image, or None."""

    def __init__(self, weights: Path) -> None:
        if not weights.is_file():
            raise FileNotFoundError(f"the teacher's weights are missing: {weights}")
        self._net = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), TEACHER_SCORE, 0.3, 100)

    def label(self, grey: Grey, scale: float = 1.0, pad: int = 0) -> Boxes | None:
        """Box (4,) of `grey` (height, width), found in a copy enlarged by `scale` with a repeated border of `pad`."""
        large = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        padded = cv2.copyMakeBorder(large, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        self._net.setInputSize(padded.shape[1::-1])
        found = self._net.detect(cv2.cvtColor(padded, cv2.COLOR_GRAY2BGR))[1]
        if found is None:
            return None
        # Column 14 is the score, behind the box and five landmarks of two values each.
        x, y, w, h = found[found[:, 14].argmax(), :4]
        return (np.array([x, y, x + w, y + h], np.float32) - pad) / scale


def as_grey(image: Any) -> Grey:
    """Convert to grey. OpenCV's results are typed as arrays of any number; here they are always bytes."""
    return np.asarray(image, np.uint8)


def gather(
    data: Path, cache: Path, *, held_out: bool, pictures: Path | None = None, drawn: Path | None = None
) -> Material:
    """Material of training people, or of held-out ones; computed once and stored in folder `cache`.

    `pictures` is the folder of unpacked packages of `recipes.starter.pictures`; one in ten is held out. `drawn` is the
    folder of the packages of `recipes.starter.drawn`; some styles are held out.
    """
    kept = cache / ("held_out.npz" if held_out else "training.npz")
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        teacher = Teacher(data / TEACHER)
        pictured = chain(
            _photos(data / "faces" / "expressions", held_out), _wild_faces(data / "faces_wild", held_out)
        )
        photos = _labelled(pictured, teacher, 1.0)
        # Twice the size: YuNet was trained on faces in scenes, and these have 48 pixels.
        small = _labelled(_small_faces(data / "faces" / "ferplus_dev.npz", held_out), teacher, 2.0)
        frames = _labelled(_frames(data / "javanese_av", held_out), teacher, 1.0, pad=0)
        gathered: dict[str, Any] = {
            "photos": photos[0],
            "photo_boxes": photos[1],
            "small_faces": small[0],
            "small_boxes": small[1],
            "frames": frames[0],
            "frame_boxes": frames[1],
        }
        _log.info("gathered %s", {name: array.shape for name, array in gathered.items()})
        partial = kept.with_suffix(".partial.npz")
        np.savez(partial, **gathered)
        partial.replace(kept)
    empty = () if pictures is None else _without_people(pictures, held_out)
    faces = None
    if drawn is not None:
        every = drawn_faces(drawn, cache.parent / "drawn")
        faces = every.take(every.held_out == held_out)
        empty += tuple(drawn_things(drawn, held_out=held_out))
    with np.load(kept) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Material(**arrays, pictures=empty, drawn=faces)


def _without_people(folder: Path, held_out: bool) -> tuple[Grey, ...]:
    """Photos, art, and the same number of drawn cards, screens and charts, in grey."""
    found = read_pictures(folder)
    typefaces = fonts((Path("/usr/share/fonts"), folder))
    # A generator for each card: card i is the same, whatever the number of cards.
    found += [draw(np.random.default_rng(seed), typefaces) for seed in range(len(found))]
    chosen = [p for i, p in enumerate(found) if (i % PERSON_HELD_OUT == 0) == held_out]
    return tuple(as_grey(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) for picture in chosen)


def _wild_faces(folder: Path, held_out: bool) -> Iterator[Grey]:
    """The faces of `faces_wild` that are not cut out; held-out performers are those of the expression network."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "faces_wild.npz") as stored:
        jpeg, offsets = stored["jpeg"], stored["offsets"]
    for index, row in enumerate(rows):
        kept = row["subject"] in HELD_OUT_SUBJECTS if row["subject"] else index % PERSON_HELD_OUT == 0
        if row["source"] != "masked_wild" and kept == held_out:
            yield _decode(jpeg[offsets[index] : offsets[index + 1]])


def _labelled(images: Iterator[Grey], teacher: Teacher, scale: float, pad: int = _PAD) -> tuple[Grey, Boxes]:
    pairs = [(image, box) for image in images if (box := teacher.label(image, scale, pad)) is not None]
    return np.stack([image for image, _ in pairs]), np.stack([box for _, box in pairs])


def _photos(folder: Path, held_out: bool) -> Iterator[Grey]:
    """Read the photos. One person in ten is held out, by the alphabetical rank of the name before the number."""
    files = sorted(folder.glob("*.jpg"))
    people = sorted({file.stem.rsplit("_", 1)[0] for file in files})
    rank = {person: index for index, person in enumerate(people)}
    for file in files:
        if (rank[file.stem.rsplit("_", 1)[0]] % PERSON_HELD_OUT == 0) == held_out:
            yield _decode(np.fromfile(file, np.uint8))


def _small_faces(file: Path, held_out: bool) -> Iterator[Grey]:
    with np.load(file) as stored:
        # At least eight of ten annotators saw an emotion, so it is a face.
        faces = stored["votes"][:, :8].sum(1) >= 8
        chosen = np.flatnonzero(faces)
        yield from _fer_images(stored["jpeg"], stored["offsets"], chosen, held_out)


def _fer_images(
    jpeg: NDArray[np.uint8], offsets: NDArray[np.int64], chosen: NDArray[np.int64], held_out: bool
) -> Iterator[Grey]:
    mine = chosen[(np.arange(len(chosen)) % PERSON_HELD_OUT == 0) == held_out]
    for index in mine[:: max(1, len(mine) // SMALL_FACES)]:
        yield _decode(jpeg[offsets[index] : offsets[index + 1]])


def _frames(folder: Path, held_out: bool) -> Iterator[Grey]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            if (row["actor"] in VALIDATION_ACTORS) == held_out:
                yield from _spread_frames(folder / row["file"])


def _spread_frames(file: Path) -> Iterator[Grey]:
    with av.open(str(file)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    for index in np.linspace(0, len(frames) - 1, FRAMES_PER_CLIP).astype(int):
        yield frames[index]


def _decode(data: NDArray[np.uint8]) -> Grey:
    return as_grey(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
