"""Measure face detectors on drawn faces: `python -m experiments.drawn_faces --data DIR --run DIR PAIR...`.

Drawn faces of styles that no training saw are put on pictures of things and compressed, 640×360 pixels, 40 to 220 of
them per face. Photographs of held-out people, held-out pictures without people, and one frame per second of the
development half of `wild` show whether accuracy was lost. In `wild`, YuNet is the reference for faces of at least 30
pixels, and labelled clips without people show the false faces. Every row is given alone and checked by the expression
network, as in serving. "Grey" counts frames in which a grey copy gives the same answer as the colours.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from experiments.face_detector import Reference
from recipes.starter.detector.data import Material, gather
from recipes.starter.development import LabelledClip, read_labels
from recipes.starter.drawn.build import DrawnFaces, on_ground
from sentiloc.model.extractors.face_boxes import match_faces
from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face import LEAST_LIKELIHOOD, FaceEncoder
from sentiloc.worker.features.face_choice import apart, likeliest, together
from sentiloc.worker.features.face_detection import Detector, Image, load_detector

ROOT = Path(__file__).parents[1]
# Pixels of a test picture.
WIDTH, HEIGHT = 640, 360
PER_STYLE, PHOTOS = 50, 150
# The overlap that counts as found, the score from which the reference is sure, and its smallest face in
# pixels.
HIT_IOU, SURE, SMALLEST = 0.4, 0.8, 30.0


class Example(NamedTuple):
    """A grey picture with one face, its box (4,), and the kind that it counts for."""

    image: NDArray[np.uint8]
    box: FloatArray
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A detector, and the expression network that checks its boxes."""

    detector: Detector
    encoder: FaceEncoder

    def faces(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """Boxes (n, 5) of an RGB image, alone and checked."""
        alone = self.detector.detect(image)
        rows = likeliest(apart(alone)) if len(alone) else alone
        corners = [(float(a), float(b), float(c), float(d)) for _, a, b, c, d in rows]
        crops = [crop_face(image, one, self.encoder.margin, self.encoder.size) for one in corners]
        chances = self.encoder.read(crops)[1]
        return alone, rows[together(rows[:, 0], chances) >= LEAST_LIKELIHOOD]


def drawn_examples(rng: Generator, drawn: DrawnFaces, grounds: list[NDArray[np.uint8]]) -> Iterator[Example]:
    """Up to PER_STYLE labelled faces of each style on random pictures of things."""
    for style in np.unique(drawn.style):
        rows = np.flatnonzero((drawn.style == style) & (drawn.emotion >= 0))
        for row in rng.permutation(rows)[:PER_STYLE]:
            ground = cv2.resize(
                grounds[rng.integers(len(grounds))], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA
            )
            image, box = _pasted(rng, drawn, int(row), np.asarray(ground, np.uint8).copy())
            coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 90))])[1]
            yield Example(np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8), box, str(style))


def photo_examples(rng: Generator, material: Material) -> Iterator[Example]:
    """Photographs of held-out people, with a border."""
    border = np.array([60, 40, 60, 40], np.float32)
    for row in rng.permutation(len(material.photos))[:PHOTOS]:
        image = cv2.copyMakeBorder(material.photos[row], 40, 40, 60, 60, cv2.BORDER_REPLICATE)
        yield Example(np.asarray(image, np.uint8), material.photo_boxes[row] + border, "photographs")


def measure_faces(look: Look, examples: list[Example]) -> dict[str, Any]:
    """Recall by kind, alone and checked."""
    hits: defaultdict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for image, box, kind in examples:
        alone, checked = look.faces(_rgb(image))
        hits[kind].append((_holds(alone, box), _holds(checked, box)))
    return {
        kind: {"faces": len(found), **dict(zip(("alone", "checked"), _shares(found), strict=True))}
        for kind, found in hits.items()
    }


def measure_nothing(look: Look, pictures: list[NDArray[np.uint8]]) -> dict[str, Any]:
    """Share of pictures without people in which a face is seen, alone and checked."""
    found = [tuple(len(rows) > 0 for rows in look.faces(_rgb(picture))) for picture in pictures]
    return {"pictures": len(found), **dict(zip(("alone", "checked"), _shares(found), strict=True))}


def measure_clips(
    look: Look, folder: Path, clips: list[LabelledClip], reference: Reference
) -> dict[str, Any]:
    """Recall of clear YuNet faces, false faces in clips without people, and agreement of grey with colour."""
    wanted = np.zeros(3, int)
    false, same = [], []
    for clip in clips:
        for frame in every_second(folder / clip.file):
            alone, checked = look.faces(frame)
            seen = reference.detect(frame)
            sure = seen[(seen[:, 0] >= SURE) & ((seen[:, 3:] - seen[:, 1:3]).max(1) >= SMALLEST)]
            wanted += (
                len(sure),
                *(int((match_faces(sure[:, 1:], b[:, 1:], HIT_IOU) >= 0).sum()) for b in (alone, checked)),
            )
            if clip.empty:
                false.append((len(alone) > 0, len(checked) > 0))
            grey = _rgb(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8))
            same.append((len(look.detector.detect(grey)) > 0) == (len(alone) > 0))
    alone_share, checked_share = _shares(false)
    return {
        "faces": int(wanted[0]),
        "found_alone": int(wanted[1]),
        "found_checked": int(wanted[2]),
        "empty_frames": len(false),
        "false_alone": alone_share,
        "false_checked": checked_share,
        "frames": len(same),
        "grey_as_colour": int(sum(same)),
    }


def every_second(clip: Path) -> Iterator[Image]:
    """One RGB frame a second, at most 640 pixels wide or high."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        step = max(1, round(float(stream.average_rate or 25)))
        for number, frame in enumerate(container.decode(stream)):
            if number % step == step // 2:
                scale = min(1.0, WIDTH / max(frame.width, frame.height))
                pixels = frame.to_ndarray(format="rgb24")
                size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
                yield np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _pasted(
    rng: Generator, drawn: DrawnFaces, row: int, under: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], FloatArray]:
    """The picture with the drawn face at a random place and size, and the face's box."""
    box = drawn.boxes[row]
    scale = float(np.exp(rng.uniform(np.log(40), np.log(220)))) / float((box[2:] - box[:2]).max())
    box = box * scale
    shift = [
        float(rng.uniform(-box[i], max(-box[i], size - box[i + 2]))) for i, size in enumerate((WIDTH, HEIGHT))
    ]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    small = drawn.pictures[row], drawn.opacities[row]
    picture, opacity = (cv2.warpAffine(p, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA) for p in small)
    return on_ground(np.asarray(picture, np.uint8), np.asarray(opacity, np.uint8), under), np.asarray(
        box + np.tile(shift, 2), np.float32
    )


def _holds(rows: FloatArray, box: FloatArray) -> bool:
    return len(rows) > 0 and bool(match_faces(box[None], rows[:, 1:], HIT_IOU)[0] >= 0)


def _shares(found: list[Any]) -> list[float]:
    return [round(float(share), 4) for share in np.mean(found, 0)] if found else [0.0, 0.0]


def _rgb(grey: NDArray[np.uint8]) -> Image:
    return np.repeat(grey[..., None], 3, 2)


def main() -> None:
    """Parse the arguments and measure every package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="the folder of the detector's training")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--drawn", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=ROOT / "experiments" / "results" / "drawn_faces.json")
    parser.add_argument("pairs", nargs="+", help="DETECTOR:EXPRESSION, two folders")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(5)
    material = gather(
        arguments.data,
        arguments.run / "material",
        held_out=True,
        pictures=arguments.pictures,
        drawn=arguments.drawn,
    )
    grounds = [p for p in material.pictures if min(p.shape) > 200]
    examples = [*drawn_examples(rng, _drawn_of(material), grounds), *photo_examples(rng, material)]
    labels = read_labels(arguments.data / "wild" / "labels.csv")
    clips = [clip for clip in labels if clip.half == "development"]
    reference = Reference(arguments.data / "weights" / "yunet_n_dynamic.onnx")
    results = {}
    for pair in arguments.pairs:
        detector, _, expression = pair.partition(":")
        encoder = FaceEncoder.from_package(Path(expression or ROOT / "exported" / "expression"))
        look = Look(detector=load_detector(Path(detector)), encoder=encoder)
        results[look.detector.digest[:12]] = {
            "recall": measure_faces(look, examples),
            "pictures_without_people": measure_nothing(look, list(material.pictures)),
            "wild_development": measure_clips(look, arguments.data / "wild", clips, reference),
        }
    arguments.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _drawn_of(material: Material) -> DrawnFaces:
    if material.drawn is None:
        raise ValueError("the material has no drawn faces")
    return material.drawn


if __name__ == "__main__":
    main()
