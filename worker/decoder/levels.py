"""Converts stored brightness to the levels that the networks know."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Black is 16 and white 235 (ITU-R BT.601 and BT.709).
_BLACK, _WHITE = 16, 235
_GAIN = 255 / (_WHITE - _BLACK)
_DARKER = 0.8
"""libav's conversion to RGB, with which the networks were trained, rounds down: measured on real videos."""


def widen(narrow: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Write brightness from 16 (black) to 235 (white) into `out` as 0 to 255. Values beyond are clipped."""
    cv2.addWeighted(narrow, _GAIN, narrow, 0.0, -_GAIN * _BLACK - _DARKER, out)
