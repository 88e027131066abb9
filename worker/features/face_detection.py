"""Detects faces in a frame with the project's own detector, or with YuNet if the user has fetched it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.face_boxes import suppress
from sentiloc.model.segments import FloatArray
from sentiloc.worker.runtime.onnx_session import create_session

Image = NDArray[np.uint8]
"""RGB (height, width, 3), or grey (height, width)."""

GREY = "grey"
"""The value of a spec's input colour for a network that only takes brightness (batch, height, width)."""
SECOND_LOOK_FROM = 1.5
DOMINANT = 1.25
"""With a face this many times as large as the largest that a second look can find, that look is skipped."""
PLAIN = 0.5
"""The same for a brief search. The first look sees such a face at 32 pixels or more."""
NEAR_FACES, NEAR_LEAST = 8.0, 256.0
"""A search near a face covers this many times its side, and at least this many pixels."""
YUNET_LONG_SIDE = 640
YUNET_THRESHOLD = 0.7
YUNET_MAX_IOU = 0.3
YUNET_STRIDES = (8, 16, 32)
_MULTIPLE = 32


class Detector(Protocol):
    """Finds faces: `detect` returns rows (n, 5) of score, x1, y1, x2, y2 in the image's pixels, best first.

    Boxes may extend beyond the image. Only boxes with a score of at least `threshold` are returned. `digest` is the
    network's SHA-256. With `takes_grey`, grey images give the same results as RGB.
    """

    name: str
    threshold: float
    digest: str
    takes_grey: bool

    def detect(self, image: Image) -> FloatArray:
        """Faces (n, 5) of an image of any size."""

    def detect_main(self, image: Image, *, brief: bool = False) -> tuple[FloatArray, bool]:
        """As `detect`, and whether all faces were searched for: beside a very large face, small ones are not searched.
        In a `brief` search, any clear face has this effect.
        """

    def detect_close(self, image: Image, near: FloatArray | None = None) -> FloatArray:
        """Small faces (n, 5) at the image's full size, or only those around a box `near` (4,) in its pixels."""


def load_detector(package: Path, *, yunet: Path | None = None, threads: int = 1) -> Detector:
    """YuNet from the file `yunet` if it is given and exists, else the detector of folder `package`.

    Raises SentilocError `model_unavailable` for a package that is missing or broken.
    """
    if yunet is not None and yunet.is_file():
        return YuNet(yunet, threads=threads)
    return StarterDetector(package, threads=threads)


class StarterDetector:
    """The network of `model/extractors/face_detector.py`, exported.

    A large frame is searched twice: shrunk for large faces, and again, larger, for smaller ones. A full-size search
    costs as much as three of these searches, so it is only used for frames in which they find no face.
    """

    def __init__(self, package: Path, *, threads: int = 1) -> None:
        spec = read_spec(package)
        self.name, self.digest = str(spec["name"]), str(spec["sha256"])
        self.threshold = float(spec["threshold"])
        self._max_iou = float(spec["max_iou"])
        self._first_side, self._second_side = (int(side) for side in spec["input"]["long_sides"])
        self._second_look_max = float(spec["input"]["second_look_max_face"])
        self._close_side = int(spec["input"]["close_side"])
        self._smallest = float(spec["smallest_face"])
        self.takes_grey = spec["input"]["colour"] == GREY
        self._session = create_session(package / str(spec["network"]), threads=threads)

    def detect(self, image: Image) -> FloatArray:
        """See `Detector`."""
        return self._look_twice(image, self._look(image, self._first_side))

    def detect_main(self, image: Image, *, brief: bool = False) -> tuple[FloatArray, bool]:
        """See `Detector`."""
        found = self._look(image, self._first_side)
        if self._is_looked_at_twice(image) and self._has_face(found, image, PLAIN if brief else DOMINANT):
            return found, False
        return self._look_twice(image, found), True

    def _look_twice(self, image: Image, found: FloatArray) -> FloatArray:
        """The faces `found` by the first look, with those of the second."""
        if not self._is_looked_at_twice(image):
            return found
        again = self._look(image, self._second_side, self._second_look_max)
        return suppress(np.concatenate([found, again]), self.threshold, self._max_iou)

    def _is_looked_at_twice(self, image: Image) -> bool:
        return bool(max(image.shape[:2]) >= SECOND_LOOK_FROM * self._first_side)

    def _has_face(self, found: FloatArray, image: Image, size: float) -> bool:
        """Whether a face is at least `size` times as large as the largest that the second look sees."""
        scale = min(1.0, self._second_side / max(image.shape[:2]))
        side = np.sqrt((found[:, 3:] - found[:, 1:3]).prod(1)) * scale
        return bool((side >= size * self._second_look_max).any())

    def detect_close(self, image: Image, near: FloatArray | None = None) -> FloatArray:
        """See `Detector`."""
        # The ordinary search has already seen such an image at full size.
        if max(image.shape[:2]) <= self._second_side:
            return np.zeros((0, 5), np.float32)
        if near is None:
            return self._look(image, self._close_side, self._second_look_max)
        window, corner = around(image, near, max(image.shape[:2]) / self._close_side)
        found = self._look(window, self._close_side, self._second_look_max)
        found[:, 1:] += np.tile(corner, 2)
        return found

    def _fed(self, image: Image) -> Image:
        """The image in the colours that the network takes."""
        if self.takes_grey == (image.ndim == 2):
            return image
        code = cv2.COLOR_RGB2GRAY if self.takes_grey else cv2.COLOR_GRAY2RGB
        return np.asarray(cv2.cvtColor(image, code), np.uint8)

    def _look(self, image: Image, long_side: int, largest: float = float("inf")) -> FloatArray:
        """Faces (n, 5) whose side at the network's scale is between the smallest detectable one and `largest`."""
        padded, scale = fit(self._fed(image), long_side)
        rows = suppress(self._session.run(None, {"image": padded[None]})[0][0], self.threshold, self._max_iou)
        side = np.sqrt((rows[:, 3:] - rows[:, 1:3]).prod(1))
        return _scaled(rows[(side >= self._smallest) & (side <= largest)], scale)


class YuNet:
    """YuNet (Wu, Peng and Yu 2023). The exported network has an output per stride for class, objectness and box."""

    name = "yunet"
    threshold = YUNET_THRESHOLD
    takes_grey = False

    def __init__(self, weights: Path, *, threads: int = 1) -> None:
        self._session = create_session(weights, threads=threads)
        self.digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        side = self._session.get_inputs()[0].shape[2]
        self._fixed_side = side if isinstance(side, int) else None
        self._outputs = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox") for stride in YUNET_STRIDES]

    def detect(self, image: Image) -> FloatArray:
        """See `Detector`."""
        return self._look(image, YUNET_LONG_SIDE)

    def detect_main(self, image: Image, *, brief: bool = False) -> tuple[FloatArray, bool]:  # noqa: ARG002
        """See `Detector`. One look shows all faces."""
        return self.detect(image), True

    def detect_close(self, image: Image, near: FloatArray | None = None) -> FloatArray:
        """See `Detector`. A network of fixed input size sees only the surroundings of `near`."""
        if max(image.shape[:2]) <= YUNET_LONG_SIDE or (near is None and self._fixed_side):
            return np.zeros((0, 5), np.float32)
        if near is None:
            return self._look(image, 2 * YUNET_LONG_SIDE)
        window, corner = around(image, near, 1.0)
        found = self._look(window, YUNET_LONG_SIDE)
        found[:, 1:] += np.tile(corner, 2)
        return found

    def _look(self, image: Image, long_side: int) -> FloatArray:
        padded, scale = fit(image, self._fixed_side or long_side, square=self._fixed_side is not None)
        # YuNet was trained on BGR, OpenCV's order, with values from 0 to 255.
        pixels = np.ascontiguousarray(padded[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)
        outputs = self._session.run(self._outputs, {self._session.get_inputs()[0].name: pixels})
        levels = [
            yunet_level(outputs[i], outputs[i + 3], outputs[i + 6], stride, padded.shape[1])
            for i, stride in enumerate(YUNET_STRIDES)
        ]
        return _scaled(suppress(np.concatenate(levels), self.threshold, YUNET_MAX_IOU), scale)


def yunet_level(kind: FloatArray, face: FloatArray, boxes: FloatArray, stride: int, width: int) -> FloatArray:
    """One stride's rows (cells, 5) from class and objectness (1, cells, 1) and boxes (1, cells, 4).

    The score is the geometric mean of both; a box is the offset of its centre from the cell's corner, and the logarithm
    of its size, in strides.
    """
    rows, columns = np.divmod(np.arange(boxes.shape[1]), width // stride)
    score = np.sqrt(np.clip(kind[0, :, 0], 0, 1) * np.clip(face[0, :, 0], 0, 1))
    centre = (np.stack([columns, rows], 1) + boxes[0, :, :2]) * stride
    half = np.exp(boxes[0, :, 2:]) * stride / 2
    return np.column_stack([score, centre - half, centre + half]).astype(np.float32)


def fit(image: Image, long_side: int, *, square: bool = False) -> tuple[Image, float]:
    """Shrink (never enlarge) to `long_side`, and pad with black at the right and bottom to multiples of 32.

    Returns the padded image and the factor by which it shrank; `square` pads to long_side by long_side.
    """
    height, width = image.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    small = image if scale == 1.0 else cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    tall, wide = (long_side, long_side) if square else (_up(h), _up(w))
    padded = np.zeros((tall, wide, *image.shape[2:]), np.uint8)
    padded[:h, :w] = small
    return padded, scale


def around(image: Image, box: FloatArray, scale: float) -> tuple[Image, FloatArray]:
    """The part of `image` around `box` (4,), at least NEAR_LEAST times `scale` pixels wide, and its corner x, y."""
    side = max(NEAR_FACES * float((box[2:] - box[:2]).max()), NEAR_LEAST * max(1.0, scale))
    low = np.maximum((box[:2] + box[2:] - side) / 2, 0).astype(int)
    high = np.minimum(low + int(side), [image.shape[1], image.shape[0]])
    # A box may lie outside the image; the window keeps at least one pixel.
    low = np.maximum(np.minimum(low, high - 1), 0)
    return image[low[1] : high[1], low[0] : high[0]], low.astype(np.float32)


def read_spec(package: Path) -> dict[str, Any]:
    """Read a package's spec.json, after checking that its network exists and is the one that the spec describes.

    Raises SentilocError: `model_unavailable` for a missing file, `spec_mismatch` for another network.
    """
    try:
        spec: dict[str, Any] = json.loads((package / "spec.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256((package / spec["network"]).read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError) as error:
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"package {package.name} is incomplete") from error
    if digest != spec["sha256"]:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{package.name}: the network is not the spec's own")
    return spec


def _scaled(rows: FloatArray, scale: float) -> FloatArray:
    return np.column_stack([rows[:, 0], rows[:, 1:] / scale]).astype(np.float32)


def _up(side: int) -> int:
    return -(-side // _MULTIPLE) * _MULTIPLE
