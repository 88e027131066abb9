"""Captions on a picture: the label, and the time in the source video, in OpenCV's built-in font (ASCII)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_DUPLEX
_HEIGHT_SHARE = 0.045
_FONT_PIXELS = 22.0
_MARGIN_SHARE = 0.05
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


class Caption:
    """A line at the bottom left of every picture of a clip: the text and the time."""

    def __init__(self, text: str, width: int, height: int) -> None:
        # The font has no other characters; OpenCV would draw several question marks for each of them.
        self._text = text.encode("ascii", "replace").decode()
        self._scale = max(0.35, height * _HEIGHT_SHARE / _FONT_PIXELS)
        self._stroke = max(1, round(self._scale * 1.6))
        margin = round(height * _MARGIN_SHARE)
        self._place = (margin, height - margin)
        self._fit(width - 2 * margin)

    def _fit(self, width: int) -> None:
        """Shrink the font until the widest line fits."""
        (needed, _), _ = cv2.getTextSize(self._line(0.0), _FONT, self._scale, self._stroke)
        if needed > width > 0:
            self._scale *= width / needed

    def draw(self, picture: Picture, seconds: float) -> None:
        """Draw onto `picture` (height, width, 3) in place; `seconds` is the time in the clip's video."""
        line = self._line(seconds)
        # A wide black stroke first: its rim keeps white text readable on white pictures.
        for colour, stroke in ((_BLACK, 3 * self._stroke), (_WHITE, self._stroke)):
            cv2.putText(picture, line, self._place, _FONT, self._scale, colour, stroke, cv2.LINE_AA)

    def _line(self, seconds: float) -> str:
        minutes, second = divmod(int(seconds), 60)
        hours, minute = divmod(minutes, 60)
        time = f"{hours:02}:{minute:02}:{second:02}"
        return f"{self._text}  {time}" if self._text else time
