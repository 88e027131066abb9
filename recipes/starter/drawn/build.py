"""Build the drawn faces: `python -m recipes.starter.drawn.build --packages DIR --run DIR`.

`--packages` gets what `packages.py` fetches; `--run` gets `avatars-STYLE.npz`, `emoji-SET.npz` and `heads.npz`, which
are made once, and `crops.npz`, the faces as an expression network reads them. Every picture depends only on the seed.
"""

from __future__ import annotations

import argparse
import logging
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.starter.drawn.avatars import DrawnFace, draw_avatar
from recipes.starter.drawn.emoji import HELD_OUT_SETS, SETS, emoji_faces, emoji_things
from recipes.starter.drawn.heads import draw_head
from recipes.starter.drawn.looks import STYLES
from recipes.starter.drawn.packages import home, unpack_all
from sentiloc.model.extractors.expression import CROP_MARGIN, EMOTIONS, FACE_SIZE
from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.spec import CLASSES, NEGATIVE, NON_SENTIMENT, POSITIVE

Grey = NDArray[np.uint8]
# Pixels.
SIDE = 128
PER_STYLE, HELD_OUT_PER_STYLE, HEADS, HELD_OUT_HEADS = 110, 70, 800, 120
# Each with another ground, light and view.
CROPS_PER_FACE = 2
# The label that PyTorch's losses ignore.
NO_LABEL = -1
_SENTIMENT = {"happiness": POSITIVE, "neutral": NON_SENTIMENT} | dict.fromkeys(
    ("sadness", "anger", "fear", "disgust"), NEGATIVE
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFaces:
    """Grey pictures and opacities (n, 128, 128), boxes (n, 4), `emotion` (n,), -1 if unclear, and `style` (n,)."""

    pictures: Grey
    opacities: Grey
    boxes: NDArray[np.float32]
    emotion: NDArray[np.int64]
    style: NDArray[np.str_]
    held_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def sentiment(self) -> NDArray[np.int64]:
        """The class of each face (n,), -1 where people would not agree."""
        return np.array([sentiment_of(int(e)) for e in self.emotion], np.int64)

    def take(self, chosen: NDArray[np.bool_]) -> DrawnFaces:
        """The faces where `chosen` (n,) is true."""
        return DrawnFaces(**{name: getattr(self, name)[chosen] for name in self.__slots__})


def sentiment_of(emotion: int) -> int:
    """The sentiment class of an emotion's index, or -1."""
    return _SENTIMENT.get(EMOTIONS[emotion], NO_LABEL) if emotion >= 0 else NO_LABEL


def main() -> None:
    """Parse the arguments and build what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    faces = drawn_faces(arguments.packages, arguments.run)
    _log.info("%d drawn faces, %d of them held out", len(faces), int(faces.held_out.sum()))
    write_crops(faces, arguments.run / "crops.npz")


def drawn_faces(packages: Path, run: Path) -> DrawnFaces:
    """All drawn faces; those that are in `run` are reused."""
    unpack_all(packages)
    styles = home("styles", packages)
    parts = [_kept(run / "heads.npz", lambda: _heads())]
    parts += [_kept(run / f"emoji-{s}.npz", lambda s=s: _emoji(packages, s)) for s in SETS]  # type: ignore[misc]
    for kind in STYLES:
        count = HELD_OUT_PER_STYLE if kind.held_out else PER_STYLE
        # By name, so that a new style leaves the others as they are. `hash` would differ between processes.
        rng = np.random.default_rng(zlib.crc32(kind.name.encode()))
        parts.append(
            _kept(
                run / f"avatars-{kind.name}.npz",
                lambda kind=kind, rng=rng, count=count: collect(  # type: ignore[misc]
                    (draw_avatar(rng, kind, styles) for _ in range(count)), held_out=kind.held_out
                ),
            )
        )
    return DrawnFaces(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in DrawnFaces.__slots__}
    )


def drawn_things(packages: Path, *, held_out: bool) -> list[Grey]:
    """Grey pictures of drawn things without a face, on a plain ground; test sets are those of `HELD_OUT_SETS`."""
    found = []
    for source in SETS:
        if (source in HELD_OUT_SETS) == held_out:
            rng = np.random.default_rng(zlib.crc32(source.encode()))
            found += [
                on_ground(to_grey(picture), opacity, np.full((SIDE, SIDE), rng.integers(256), np.uint8))
                for picture, opacity in emoji_things(packages, source)
            ]
    return found


def to_grey(picture: NDArray[np.uint8]) -> Grey:
    """Luminance of an RGB picture, (128, 128)."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def write_crops(faces: DrawnFaces, file: Path) -> None:
    """Write the labelled faces as crops (m, 48, 48), varied in ground, light, view, blur and compression."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.flatnonzero(faces.emotion >= 0), CROPS_PER_FACE)
    crops = np.stack([varied_crop(rng, faces, int(row)) for row in rows])
    partial = file.with_suffix(".part.npz")
    np.savez_compressed(
        partial,
        images=crops,
        emotion=faces.emotion[rows],
        sentiment=faces.sentiment[rows],
        style=faces.style[rows],
        held_out=faces.held_out[rows],
        face=rows,
        emotions=np.array(EMOTIONS),
        classes=np.array((*CLASSES, "neutral")),
    )
    partial.replace(file)
    _log.info("wrote %d crops", len(crops))


def varied_crop(rng: Generator, faces: DrawnFaces, row: int) -> Grey:
    """One crop (48, 48) of a drawn face on a random ground, seen by a camera."""
    box = faces.boxes[row]
    canvas = on_ground(faces.pictures[row], faces.opacities[row], ground(rng))
    if rng.random() < 0.5:
        canvas, box = canvas[:, ::-1], np.array([SIDE - box[2], box[1], SIDE - box[0], box[3]], np.float32)
    canvas = _seen(rng, np.ascontiguousarray(canvas))
    size = float((box[2:] - box[:2]).max())
    corners = (
        box
        + np.tile(rng.normal(0, 0.03, 2) * size, 2)
        + np.array([-1, -1, 1, 1]) * rng.normal(0, 0.03) * size
    )
    x1, y1, x2, y2 = (float(v) for v in corners)
    return crop_face(np.repeat(canvas[..., None], 3, 2), (x1, y1, x2, y2), CROP_MARGIN, FACE_SIZE)


def ground(rng: Generator) -> Grey:
    """A plain ground, a gradient or a blurred texture (128, 128)."""
    corners = rng.uniform(0, 255, (2, 2)) if rng.random() < 0.5 else np.full((2, 2), rng.uniform(0, 255))
    image = cv2.resize(corners.astype(np.float32), (SIDE, SIDE))
    if rng.random() < 0.4:
        cells = int(rng.integers(3, 24))
        texture = rng.normal(0, rng.uniform(5, 50), (cells, cells)).astype(np.float32)
        image = image + cv2.resize(texture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def on_ground(picture: Grey, opacity: Grey, under: Grey) -> Grey:
    """Put a picture with an opacity on a ground of the same size."""
    share = opacity.astype(np.float32) / 255
    return (picture * share + under * (1 - share)).astype(np.uint8)


def _seen(rng: Generator, image: Grey) -> Grey:
    """Light, a slight change of view, blur, noise and compression."""
    corners = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], np.float32)
    moved = (corners + rng.normal(0, 0.025 * SIDE, (4, 2))).astype(np.float32)
    view = cv2.getPerspectiveTransform(corners, moved)
    seen = cv2.warpPerspective(image, view, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    seen = 255 * (seen / 255) ** np.exp(rng.normal(0, 0.3))
    seen = (seen - 128) * rng.uniform(0.5, 1.2) + 128 + rng.normal(0, 20)
    if rng.random() < 0.5:
        small = int(rng.integers(36, 110))
        seen = cv2.resize(cv2.resize(seen, (small, small), interpolation=cv2.INTER_AREA), (SIDE, SIDE))
    noisy = np.clip(seen + rng.normal(0, rng.uniform(0, 6), seen.shape), 0, 255).astype(np.uint8)
    if rng.random() >= 0.6:
        return np.asarray(noisy, np.uint8)
    coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)


def _heads() -> DrawnFaces:
    rng = np.random.default_rng(1)
    made = collect((draw_head(rng) for _ in range(HEADS + HELD_OUT_HEADS)), held_out=False)
    # The last heads, so that the number of held-out heads does not change the training heads.
    made.held_out[HEADS:] = True
    return made


def _emoji(packages: Path, source: str) -> DrawnFaces:
    return collect(emoji_faces(packages, source), held_out=source in HELD_OUT_SETS)


def collect(found: Iterable[DrawnFace | None], *, held_out: bool) -> DrawnFaces:
    """The faces that could be drawn, as grey pictures of one size."""
    faces = [face for face in found if face is not None]
    scale = [SIDE / face.picture.shape[0] for face in faces]
    opacities = [cv2.resize(face.opacity, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for face in faces]
    return DrawnFaces(
        pictures=np.stack([to_grey(face.picture) for face in faces]),
        opacities=np.stack(opacities).astype(np.uint8),
        boxes=np.stack([face.box * s for face, s in zip(faces, scale, strict=True)]).astype(np.float32),
        emotion=np.array([EMOTIONS.index(f.emotion) if f.emotion else NO_LABEL for f in faces], np.int64),
        style=np.array([face.style for face in faces]),
        held_out=np.full(len(faces), held_out),
    )


def _kept(file: Path, make: Callable[[], DrawnFaces]) -> DrawnFaces:
    if not file.exists():
        _log.info("making %s", file.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        made, partial = make(), file.with_suffix(".part.npz")
        np.savez_compressed(partial, **{name: getattr(made, name) for name in DrawnFaces.__slots__})
        partial.replace(file)
    with np.load(file) as stored:
        return DrawnFaces(**{name: stored[name] for name in DrawnFaces.__slots__})


if __name__ == "__main__":
    main()
