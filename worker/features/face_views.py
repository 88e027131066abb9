"""A frame as the face stream looks at it: at the size of ordinary searches, with its faces' crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from sentiloc.model.extractors.face_crop import crop_face
from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face_detection import Image

ORDINARY_SIDE = 640
PLAIN_SIDE, MIRRORED_SIDE, BOTH_SIDES = (False,), (True,), (False, True)


class View(NamedTuple):
    """A frame, a smaller version of it for ordinary searches, and whether its faces are read mirrored, for each time
    that they are read.
    """

    frame: Image
    shrunk: Image
    sides: Sequence[bool] = PLAIN_SIDE


def shrunk_for_search(frame: Image) -> Image:
    """The frame at the size of ordinary searches. Large faces are cropped from it, too."""
    scale = ORDINARY_SIDE / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def enlarged(rows: FloatArray, view: View) -> FloatArray:
    """Convert rows (n, 5) of a shrunk frame to pixels of the full frame."""
    scale = np.float32(view.frame.shape[1] / view.shrunk.shape[1])
    return np.column_stack([rows[:, 0], rows[:, 1:] * scale]).astype(np.float32)


def crop_from(view: View, box: FloatArray, margin: float, size: int) -> Image:
    """Crop a face (size, size) from the shrunk frame, which is cheaper, or from the full frame if the face is small."""
    frame, shrunk, _ = view
    scale = shrunk.shape[1] / frame.shape[1]
    # Enlarging a crop would blur the face, so small ones are cut from the full frame.
    is_large = float((box[2:] - box[:2]).max()) * scale >= size
    image, (x1, y1, x2, y2) = (shrunk, box * scale) if is_large else (frame, box)
    return crop_face(image, (float(x1), float(y1), float(x2), float(y2)), margin, size)
