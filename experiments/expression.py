"""Measure accuracy and speed of the shipped expression network: `python -m experiments.expression --data DIR`.

FER+ is measured on its validation part, photos on people who are not in the training data, and `faces_wild` on held-out
sources and subjects (`unseen_faces.py`). Further rows disturb the images as a worse camera or another detector would.
The network runs in ONNX Runtime on one core.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from experiments.unseen_faces import measure_unseen
from recipes.starter.faces.faces import FaceSet, read_faces
from sentiloc.model.extractors.expression import EMOTIONS

ROOT = Path(__file__).parents[1]
Images = NDArray[np.uint8]
Disturb = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open the ONNX graph for one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def predict(session: onnxruntime.InferenceSession, images: Images, batch: int = 64) -> NDArray[np.float32]:
    """Probabilities `(n, 8)` of faces `(n, 48, 48)`."""
    faces = images[:, None].astype(np.float32) / 255
    parts = [faces[i : i + batch] for i in range(0, len(faces), batch)]
    return np.concatenate([session.run(["emotion"], {"faces": part})[0] for part in parts])


def scores(session: onnxruntime.InferenceSession, faces: FaceSet) -> dict[str, float]:
    """Accuracy, accuracy where most annotators agree, mean recall over the classes, and accuracy of the sentiment."""
    found = predict(session, faces.images)
    right = found.argmax(1) == faces.labels
    present = [right[faces.labels == k].mean() for k in range(len(EMOTIONS)) if (faces.labels == k).any()]
    return {
        "faces": len(faces),
        "accuracy": float(right.mean()),
        "accuracy_clear_majority": float(right[faces.clear].mean()),
        "mean_recall": float(np.mean(present)),
        "sentiment_accuracy": float((_sentiment(found.argmax(1)) == _sentiment(faces.labels)).mean()),
    }


def _sentiment(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sentiment of emotion classes: 0 for neutral and surprised, 1 for happy, 2 for all unpleasant ones."""
    return np.array([0, 1, 0, 2, 2, 2, 2, 2])[labels]


def _warp(scale: float, turn: float, shift: float) -> Disturb:
    def change(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        side = image.shape[0]
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), turn, scale)
        matrix[:, 2] += shift * side
        return np.asarray(
            cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8
        )

    return change


def _far(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(image, (20, 20), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape, interpolation=cv2.INTER_LINEAR), np.uint8)


def _coded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 15])[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)


def _dark(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(np.round(255 * (image / 255) ** 1.8 * 0.7), np.uint8)


DISTURBANCES: dict[str, Disturb] = {
    "box 15 % larger": _warp(1 / 1.15, 0, 0),
    "box 15 % smaller": _warp(1.15, 0, 0),
    "box moved by 8 %": _warp(1, 0, 0.08),
    "head turned 15° in plane": _warp(1, 15, 0),
    "20 px face": _far,
    "blur, sigma 1 px": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8),
    "JPEG quality 15": _coded,
    "dark": _dark,
}


def robustness(session: onnxruntime.InferenceSession, faces: FaceSet) -> dict[str, float]:
    """Accuracy under each disturbance."""
    found = {}
    for name, change in DISTURBANCES.items():
        images = np.stack([change(image) for image in faces.images])
        found[name] = float((predict(session, images).argmax(1) == faces.labels).mean())
    return found


def recalls(session: onnxruntime.InferenceSession, faces: FaceSet) -> dict[str, float]:
    """Recall of each class."""
    found = predict(session, faces.images).argmax(1)
    return {name: float((found == k)[faces.labels == k].mean()) for k, name in enumerate(EMOTIONS)}


def latency(session: onnxruntime.InferenceSession, batch: int, seconds: float = 3.0) -> dict[str, float]:
    """Median wall and CPU milliseconds for one face, in batches of `batch`.

    They differ if other programs use the same core.
    """
    faces = {"faces": np.random.default_rng(0).random((batch, 1, 48, 48), np.float32)}
    timings: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    # At least five, however slow the machine is.
    while time.perf_counter() < end or len(timings) < 5:
        started, used = time.perf_counter(), time.process_time()
        session.run(None, faces)
        timings.append((time.perf_counter() - started, time.process_time() - used))
    # Without the first, which allocates memory.
    clock, core = np.median(timings[1:], axis=0) * 1000 / batch
    return {f"clock, batch {batch}": float(clock), f"core, batch {batch}": float(core)}


def measure(data: Path, package: Path) -> dict[str, object]:
    """All metrics of a package folder."""
    spec = json.loads((package / "spec.json").read_text(encoding="utf-8"))
    session = open_session(package / spec["network"])
    _, ferplus, photos = read_faces(data)
    return {
        "model": f"{spec['name']} {spec['version']}",
        "sha256": spec["sha256"],
        "megabytes": (package / spec["network"]).stat().st_size / 1e6,
        "machine": f"{platform.machine()}, one core, onnxruntime {onnxruntime.__version__}",
        "ms_per_face": latency(session, 1) | latency(session, 16),
        "ferplus_report": scores(session, ferplus.report),
        "photos_unseen_people": scores(session, photos.report),
        "ferplus_recall": recalls(session, ferplus.report),
        "ferplus_disturbed": robustness(session, ferplus.report),
        **{f"unseen: {name}": found for name, found in measure_unseen(session, data).items()},
    }


def print_table(results: dict[str, object]) -> None:
    """The metrics as a table."""
    for name, row in results.items():
        print(name if isinstance(row, dict) else f"{name:32} {row}")
        for key, value in row.items() if isinstance(row, dict) else ():
            print(f"  {key:30} {value:.4g}" if isinstance(value, float | int) else f"  {key:30} {value}")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description="Measure the expression package.")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds faces/, faces_wild/ and weights/"
    )
    parser.add_argument("--package", type=Path, default=ROOT / "exported" / "expression")
    parser.add_argument("--out", type=Path, default=ROOT / "experiments" / "results" / "expression.json")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    results = measure(arguments.data, arguments.package)
    print_table(results)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
