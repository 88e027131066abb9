"""Labels faces with 52 blendshapes by MediaPipe's face landmarker, a teacher that is used in training only.

A face is rotated until its eyes are level and cropped to 256×256 with a border of half its size, as the landmark
network expects. This network gives 478 points, of which 146 go into the blendshape network. The numbers below come from
these networks (github.com/google-ai-edge/mediapipe, tasks/cc/vision/face_landmarker, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sentiloc.model.segments import FloatArray

Image = NDArray[np.uint8]

SIDE = 256
# The crop's side in sides of the face's box.
LOOSENESS = 1.5
LEAST_PRESENCE = 0.5
_EYES = slice(4, 8)
_POINTS_TEXT = """
0-1 4-8 10 13-14 17 21 33 37 39-40 46 52-55 58 61 63 65-67 70 78 80-82 84 87-88 91 93 95 103 105 107 109 127 132-133 136
144-146 148-150 152-155 157-163 168 172-173 176 178 181 185 191 195 197 234 246 249 251 263 267 269-270 276 282-285 288
291 293 295-297 300 308 310-312 314 317-318 321 323-324 332 334 336 338 356 361-362 365 373-375 377-382 384-390 397-398
400 402 405 409 415 454 466 468-477
"""


def blendshape_points(text: str = _POINTS_TEXT) -> list[int]:
    """The 146 of 478 landmarks that the blendshape network takes, in its order."""
    ranges = [[int(end) for end in part.split("-")] for part in text.split()]
    return [number for ends in ranges for number in range(ends[0], ends[-1] + 1)]


_POINTS = blendshape_points()


class BlendshapeTeacher:
    """YuNet for the eyes, the landmark network, the blendshape network; one core."""

    def __init__(self, weights: Path, *, least_face: float = 0.5) -> None:
        self._faces = cv2.FaceDetectorYN.create(
            str(weights / "yunet_n_dynamic.onnx"), "", (320, 320), least_face
        )
        self._landmarks = _session(weights / "face_landmarks_detector.onnx")
        self._shapes = _session(weights / "face_blendshapes.onnx")

    def find(self, image: Image, pad: float = 0.2) -> FloatArray | None:
        """YuNet's best face of an RGB image with a repeated border: x1, y1, x2, y2, then both eyes (8,), or None."""
        # Tight crops get a border, and small ones are enlarged: YuNet was trained on faces in scenes.
        margin, scale = round(pad * max(image.shape[:2])), max(1.0, 160 / max(image.shape[:2]))
        padded = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        padded = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        self._faces.setInputSize(padded.shape[1::-1])
        found = self._faces.detect(np.ascontiguousarray(padded[..., ::-1]))[1]
        if found is None:
            return None
        x, y, width, height, *eyes = found[found[:, 14].argmax(), :8]
        here = np.array([x, y, x + width, y + height, *eyes]) / scale - margin
        face: FloatArray = here.astype(np.float32)
        return face

    def read(self, image: Image, face: FloatArray) -> FloatArray | None:
        """Blendshapes (52,) in [0, 1] of an RGB image's face, as `find` gives it; None if there seems to be none."""
        points, presence = self._landmarks.run(
            None, {self._landmarks.get_inputs()[0].name: _cut(image, face)[None]}
        )[:2]
        if 1 / (1 + np.exp(-float(presence.ravel()[0]))) < LEAST_PRESENCE:
            return None
        chosen = points.reshape(478, 3)[_POINTS, :2]
        return np.asarray(
            self._shapes.run(None, {self._shapes.get_inputs()[0].name: chosen[None]})[0], np.float32
        )

    def label(self, images: Sequence[Image], every: int = 1) -> FloatArray:
        """Blendshapes (n, 52) of RGB images with one face each; NaN where the teacher finds none or was not run.

        It takes 15 ms per face, so for a large set it can run on `every` n-th face only.
        """
        shapes = np.full((len(images), 52), np.nan, np.float32)
        for row, image in list(zip(shapes, images, strict=True))[::every]:
            face = self.find(image)
            found = None if face is None else self.read(image, face)
            if found is not None:
                row[:] = found
        return shapes


def _cut(image: Image, face: FloatArray) -> NDArray[np.float32]:
    """The face (256, 256, 3) in [0, 1], eyes level."""
    # YuNet begins with the person's right eye, which is on the left of the picture.
    right, left = face[_EYES].reshape(2, 2)
    angle = float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
    centre = (face[:2] + face[2:4]) / 2
    scale = SIDE / (LOOSENESS * float((face[2:4] - face[:2]).max()))
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, scale)
    shifted: Any = matrix
    shifted[:, 2] += SIDE / 2 - centre
    cut: Any = cv2.warpAffine(
        image, shifted, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    pixels: NDArray[np.float32] = np.asarray(cut, np.float32) / np.float32(255)
    return pixels


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
