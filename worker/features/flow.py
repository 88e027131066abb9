"""The flow stream: the movement of the largest face from frame to frame."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.gim.flow import block_flow
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import FlowStream
from sentiloc.worker.features.face_choice import choose_face
from sentiloc.worker.features.face_detection import Detector

LOOK_EVERY = 8
"""Frames between two face detections: about a quarter of a second."""
_STEADY = 0.7


class FlowExtractor:
    """Converts the frames of one video to block flow. Both faces of a pair are cropped by the same box, so that a
    moving box causes no flow. Without a face, flow is zero.
    """

    def __init__(self, detector: Detector, stream: FlowStream) -> None:
        self._detector, self._stream = detector, stream
        self._recent: deque[NDArray[np.uint8]] = deque(maxlen=stream.skip)
        self._box: FloatArray | None = None
        self._seen = False
        self._frame = 0

    def take(self, frames: NDArray[np.uint8]) -> tuple[FloatArray, BoolArray]:
        """Process the next frames (n, height, width, 3), RGB -> flow (n, dim) and whether a face is seen (n,)."""
        flow = np.zeros((len(frames), self._stream.dim), np.float32)
        seen = np.zeros(len(frames), np.bool_)
        for index, frame in enumerate(frames):
            if self._frame % LOOK_EVERY == 0:
                self._look(frame)
            if self._box is not None and self._seen:
                seen[index] = True
                if len(self._recent) == self._stream.skip:
                    flow[index] = self._flow(self._recent[0], frame)
            self._recent.append(frame)
            self._frame += 1
        return flow, seen

    def _look(self, frame: NDArray[np.uint8]) -> None:
        found = choose_face(self._detector.detect(frame), self._box)
        self._seen = found is not None
        if found is None:
            self._box = None
        elif self._box is None:
            self._box = np.asarray(found[1:], np.float32)
        else:
            # Averaged, because detections jitter by a few pixels, which would move the crop.
            self._box = np.asarray(_STEADY * self._box + (1 - _STEADY) * found[1:], np.float32)

    def _flow(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> FloatArray:
        assert self._box is not None  # noqa: S101
        left, top, right, bottom = (float(value) for value in self._box)
        box = (left, top, right, bottom)
        margin, size = self._stream.margin, self._stream.size
        faces = [crop_face(frame, box, margin, size) for frame in (before, after)]
        return block_flow(faces[0], faces[1], self._stream.grid)
