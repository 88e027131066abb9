"""Reads the brightness of frames from their first plane, without conversion."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def brightness(frame: VideoFrame, side: int) -> Image | None:
    """About `side` x `side` samples of the first plane (its upper eight bits); None for formats without such a plane.

    That plane is the brightness in all camera formats; in others it is close enough to detect a cut.
    """
    bits = _bits_of_first_plane(frame.format.name)
    if not frame.planes or not bits:
        return None
    plane = frame.planes[0]
    wide = bits > 8
    rows = rows_of_first_plane(frame, np.uint16 if wide else np.uint8)
    if rows is None:
        return None
    picked = rows[:: max(1, plane.height // side), : plane.width : max(1, plane.width // side)]
    picked = picked[:side, :side]
    return np.asarray(picked >> (bits - 8) if wide else picked, np.uint8).copy()


def rows_of_first_plane(frame: VideoFrame, kind: type[np.uint8 | np.uint16]) -> NDArray[Any] | None:
    """A view of the first plane, (height, samples including padding); None if it is not stored row by row."""
    plane = frame.planes[0]
    samples: NDArray[Any] = np.frombuffer(memoryview(plane), kind)
    if plane.height * (plane.line_size // samples.itemsize) != len(samples):
        return None
    return samples.reshape(plane.height, -1)


@lru_cache
def _bits_of_first_plane(pixel_format: str) -> int:
    """Bits of a sample in the first plane; 0 where that plane does not hold brightness."""
    pixels = VideoFormat(pixel_format)
    return 0 if pixels.has_palette or not pixels.components else pixels.components[0].bits
