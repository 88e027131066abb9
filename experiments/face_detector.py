"""Measure the shipped face detector against YuNet on real clips: `python -m experiments.face_detector --data DIR`.

DIR holds clips*/ and weights/yunet_n_dynamic.onnx. The reference is OpenCV's `FaceDetectorYN` on full-size frames:
faces with a score of at least 0.8 and a longer side of at least 60 pixels. A reference face counts as found if a box
has an IoU of at least 0.5 with it. A box counts as false if no YuNet face with a score of at least 0.3 overlaps it by
0.3. "No YuNet" frames have no YuNet face even at 0.3. Time is that of the whole call on one core. With `--checked
PACKAGE` the expression network of that folder checks every box, as in serving.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from sentiloc.model.extractors.face_boxes import match_faces
from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face import LEAST_LIKELIHOOD, FaceEncoder
from sentiloc.worker.features.face_choice import apart, together
from sentiloc.worker.features.face_detection import Detector, Image, load_detector

ROOT = Path(__file__).parents[1]
REFERENCE = Path("weights") / "yunet_n_dynamic.onnx"
# A face counts as missed only if the reference is sure of it, and a box as false only if the reference sees
# nothing at all there.
REFERENCE_SCORE, FAINT_SCORE = 0.8, 0.3
SMALLEST = 60.0
HIT_IOU, FALSE_IOU = 0.5, 0.3


@dataclass(slots=True)
class Tally:
    """Counts of one clip or of a whole folder."""

    frames: int = 0
    faces: int = 0
    found: int = 0
    boxes: int = 0
    false: int = 0
    empty_frames: int = 0
    empty_frames_with_box: int = 0
    milliseconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Add another tally's counts."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def summary(self) -> dict[str, float | int | None]:
        """The counts, recall, precision and milliseconds per frame."""
        return {
            **asdict(self),
            "milliseconds": round(self.milliseconds / max(1, self.frames), 2),
            "recall": round(self.found / self.faces, 4) if self.faces else None,
            "precision": round(1 - self.false / self.boxes, 4) if self.boxes else None,
        }


class Reference:
    """OpenCV's YuNet, the reference."""

    def __init__(self, weights: Path) -> None:
        self._net = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), FAINT_SCORE, 0.3, 5000)

    def detect(self, image: Image) -> FloatArray:
        """Faces (n, 5) of an RGB image, score and box in pixels."""
        self._net.setInputSize(image.shape[1::-1])
        found = self._net.detect(np.ascontiguousarray(image[..., ::-1]))[1]
        if found is None:
            return np.zeros((0, 5), np.float32)
        rows = np.asarray(found, np.float32)
        rows = rows[np.argsort(-rows[:, 14])]
        return np.column_stack([rows[:, 14], rows[:, :2], rows[:, :2] + rows[:, 2:4]])


class CheckedDetector:
    """A detector whose boxes are all checked by the expression network; serving checks only the likeliest few.

    If no box remains, the frame is searched again at a higher resolution, which serving does in one of eight such
    frames.
    """

    def __init__(self, inner: Detector, encoder: FaceEncoder) -> None:
        self.name, self.threshold, self.digest = f"{inner.name}, checked", inner.threshold, inner.digest
        self.takes_grey = inner.takes_grey
        self._inner, self._encoder = inner, encoder

    def detect(self, image: Image) -> FloatArray:
        """Faces (n, 5), scored by the detector and the expression network together."""
        found = self._checked(image, self._inner.detect(image))
        return found if len(found) else self._checked(image, self._inner.detect_close(image))

    def detect_main(self, image: Image, *, brief: bool = False) -> tuple[FloatArray, bool]:  # noqa: ARG002
        """See `Detector`."""
        return self.detect(image), True

    def _checked(self, image: Image, rows: FloatArray) -> FloatArray:
        rows = apart(rows)
        margin, size = self._encoder.margin, self._encoder.size
        boxes = [(float(a), float(b), float(c), float(d)) for _, a, b, c, d in rows]
        chances = self._encoder.read([crop_face(image, box, margin, size) for box in boxes])[1]
        rows = np.column_stack([together(rows[:, 0], chances), rows[:, 1:]]).astype(np.float32)
        rows = rows[rows[:, 0] >= LEAST_LIKELIHOOD]
        return rows[np.argsort(-rows[:, 0], kind="stable")]

    def detect_close(self, image: Image, near: FloatArray | None = None) -> FloatArray:
        """See `Detector`."""
        return self._inner.detect_close(image, near)


def sampled_frames(clip: Path, every: int) -> Iterator[Image]:
    """Every n-th frame of a clip, RGB."""
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def compare(image: Image, detector: Detector, reference: Reference) -> tuple[Tally, FloatArray, FloatArray]:
    """Compare the detector's faces (n, 5) in one frame with the reference's."""
    started = time.perf_counter()
    rows = detector.detect(image)
    milliseconds = 1000 * (time.perf_counter() - started)
    seen = reference.detect(image)
    wanted = seen[(seen[:, 0] >= REFERENCE_SCORE) & ((seen[:, 3:] - seen[:, 1:3]).max(1) >= SMALLEST)]
    hits = match_faces(rows[:, 1:], wanted[:, 1:], HIT_IOU)
    false = match_faces(rows[:, 1:], seen[:, 1:], FALSE_IOU) < 0
    tally = Tally(
        1, len(wanted), int((hits >= 0).sum()), len(rows), int(false.sum()), milliseconds=milliseconds
    )
    if not len(seen):
        tally.empty_frames, tally.empty_frames_with_box = 1, int(len(rows) > 0)
    return tally, rows, seen


def measure_clip(
    clip: Path, detector: Detector, reference: Reference, every: int, sheets: Path | None
) -> Tally:
    """Measure one clip; `sheets` also gets a picture of up to 12 frames with the boxes of both detectors."""
    total = Tally()
    pictures: list[Image] = []
    for number, image in enumerate(sampled_frames(clip, every)):
        tally, rows, seen = compare(image, detector, reference)
        total.add(tally)
        if sheets and (tally.found < tally.faces or tally.false or number % 8 == 0):
            pictures.append(_drawn(image, rows, seen))
    if sheets and pictures:
        chosen = [pictures[i] for i in np.unique(np.linspace(0, len(pictures) - 1, 12).astype(int))]
        sheets.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(sheets / f"{clip.stem}.png"), np.hstack(chosen)[..., ::-1])
    return total


def _drawn(image: Image, rows: FloatArray, seen: FloatArray) -> Image:
    """The frame, 320 pixels high: YuNet's boxes in green (thin if the score is low), the detector's in red."""
    scale = 320 / image.shape[0]
    picture = np.ascontiguousarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    for colour, faces in (((0, 255, 0), seen), ((255, 40, 40), rows)):
        for score, *box in faces.tolist():
            x1, y1, x2, y2 = (round(scale * v) for v in box)
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2 if score >= REFERENCE_SCORE else 1)
            if colour[0]:
                cv2.putText(picture, f"{score:.2f}", (x1, y1 + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour)
    return np.asarray(picture, np.uint8)


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Every clip of every clips*/ folder under the data folder."""
    reference = Reference(arguments.data / REFERENCE)
    detector = load_detector(arguments.package, yunet=arguments.yunet, threads=1)
    if arguments.checked:
        detector = CheckedDetector(detector, FaceEncoder.from_package(arguments.checked))
    folders: dict[str, object] = {}
    for folder in sorted(arguments.data.glob("clips*")):
        total, clips = Tally(), {}
        for clip in sorted(p for p in folder.iterdir() if p.suffix in (".mp4", ".mov", ".webm", ".mkv")):
            tally = measure_clip(clip, detector, reference, arguments.every, arguments.sheets)
            total.add(tally)
            clips[clip.name] = tally.summary()
            print_row(clip.name, tally)
        print_row(f"{folder.name}: all", total)
        folders[folder.name] = {"all": total.summary(), "clips": clips}
    return {"detector": detector.name, "threshold": detector.threshold, "every": arguments.every, **folders}


def print_row(name: str, tally: Tally) -> None:
    """One line of the table."""
    f = tally.summary()
    print(
        f"{name:48} frames {f['frames']:4}  faces {f['faces']:4}  recall {f['recall']!s:7} boxes {f['boxes']:4}  "
        f"precision {f['precision']!s:7} empty frames with a box {f['empty_frames_with_box']}/{f['empty_frames']}"
        f"  {f['milliseconds']} ms",
        flush=True,
    )


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--package", type=Path, default=ROOT / "exported" / "face-detector")
    parser.add_argument("--yunet", type=Path, help="measure how the project runs YuNet instead")
    parser.add_argument("--checked", type=Path, help="folder of the expression package that checks every box")
    parser.add_argument("--every", type=int, default=10, help="compare every n-th frame")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the comparison")
    parser.add_argument("--out", type=Path, default=ROOT / "experiments" / "results" / "face_detector.json")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    results = measure(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
