"""Small pictures of a video, kept while it is decoded, so that thumbnails need no second decoder."""

from __future__ import annotations

import logging
import os
from array import array
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Self

import cv2
import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]


class Stills:
    """JPEGs of one picture per snippet, in an unnamed file in `folder` (default: the system's).

    The decoder delivers pictures whose longer side is at most `side` pixels. With 320 one takes about 7 kB. If they
    need more space than is left on the disk, all are dropped, because the job's features need that space. Use as a
    context manager.
    """

    def __init__(self, side: int, quality: int, folder: Path | None = None) -> None:
        self.side, self._quality = side, quality
        self._file: BinaryIO = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._begins, self._ends, self._stops = array("d"), array("d"), array("q")
        self._is_full = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, begin: float, end: float, picture: Image) -> None:
        """Keep an RGB picture (height, width, 3) for the seconds [begin, end). Calls must come in the order of time."""
        if self._is_full:
            return
        data = encode(picture, self._quality)
        stop = len(data) + (self._stops[-1] if self._stops else 0)
        try:
            # An unbuffered write may be partial, which counts as a full disk.
            self._is_full = self._file.write(data) < len(data) or stop > self._free_bytes()
        except OSError:
            self._is_full = True
        if self._is_full:
            self._give_up()
            return
        self._begins.append(begin)
        self._ends.append(end)
        self._stops.append(stop)

    def _free_bytes(self) -> int:
        disk = os.fstatvfs(self._file.fileno())
        return disk.f_bavail * disk.f_frsize

    def _give_up(self) -> None:
        log.warning("no stills are kept: the disk is nearly full")
        self._begins, self._ends, self._stops = array("d"), array("d"), array("q")
        with suppress(OSError):
            self._file.truncate(0)

    def jpeg_at(self, seconds: float) -> bytes | None:
        """The JPEG for a time, if there is one."""
        place = bisect_right(self._begins, seconds) - 1
        if place < 0 or seconds >= self._ends[place]:
            return None
        start = self._stops[place - 1] if place else 0
        with suppress(OSError):
            return os.pread(self._file.fileno(), self._stops[place] - start, start)
        return None


def encode(picture: Image, quality: int) -> bytes:
    """An RGB picture (height, width, 3) as JPEG."""
    # OpenCV expects BGR and contiguous memory.
    bgr = np.ascontiguousarray(picture[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
