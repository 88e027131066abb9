"""Scales frames, converts them to RGB or brightness, and rotates them as players do."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from sentiloc.worker.decoder.pictures.luma import Image, rows_of_first_plane
from sentiloc.worker.decoder.pictures.tone import WIDE_FORMAT, colours_of, to_screen

# I3D was trained on a short side of 256 pixels, cropped to 224: 256 / 224 = 8 / 7.
_CROP_MARGIN = Fraction(8, 7)
_LUMA_FIRST = frozenset(
    {
        "gray",
        *("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"),
        *("nv12", "nv21", "nv16"),
    }
)
"""Formats whose first plane is brightness with eight bits per pixel."""
_BY_PLANES = frozenset({"yuv420p", "yuvj420p"})
"""Formats that `PlaneScaler` scales before the conversion to RGB."""
_HD_WIDTH, _SD_HEIGHT = 1280, 576
# AVCOL_SPC_UNSPECIFIED.
_UNSTATED = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """How frames are displayed: size after rotation, and the 2x2 part of the display matrix."""

    width: int
    height: int
    matrix: tuple[int, int, int, int]

    @property
    def turned(self) -> bool:
        """Whether rows and columns are swapped."""
        a, b, c, d = self.matrix
        return abs(b) + abs(c) > abs(a) + abs(d)

    def orient(self, image: Image) -> Image:
        """Rotate or mirror `image` (h, w) or (h, w, 3) for display; x' = a x + c y, y' = b x + d y."""
        a, b, c, d = self.matrix
        if self.turned:
            image = image.swapaxes(0, 1)
            flip_x, flip_y = c < 0, b < 0
        else:
            flip_x, flip_y = a < 0, d < 0
        return image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def shape_of(frame: VideoFrame, aspect: float) -> Shape:
    """The display shape of a video from its first frame and its pixel aspect ratio."""
    raw: Any = frame.side_data.get("DISPLAYMATRIX")
    numbers = np.frombuffer(raw, np.int32)[[0, 1, 3, 4]].tolist() if raw is not None else (1, 0, 0, 1)
    width, height = max(1, round(frame.width * aspect)), frame.height
    shape = Shape(width, height, tuple(numbers))
    return Shape(height, width, shape.matrix) if shape.turned else shape


class Scaler:
    """Scales, converts to RGB and rotates. Use one per output size, so that swscale keeps its tables."""

    is_narrow = False

    def __init__(self, shape: Shape, width: int, height: int) -> None:
        self._shape = shape
        self._size = (height, width) if shape.turned else (width, height)
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Image:
        """`frame` as (height, width, 3)."""
        return self._reformat(frame, "rgb24")

    def _reformat(self, frame: VideoFrame, pixel_format: str) -> Image:
        return self._shape.orient(np.asarray(self._scaled(frame, pixel_format).to_ndarray(), np.uint8))

    def _scaled(self, frame: VideoFrame, pixel_format: str) -> VideoFrame:
        width, height = self._size
        return self._reformatter.reformat(
            frame,
            width,
            height,
            pixel_format,
            src_colorspace=self._matrix(frame),
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )

    def _matrix(self, frame: VideoFrame) -> Colorspace | None:  # noqa: ARG002
        """The colour matrix to use for the frame; None means the stated one, or BT.601 if none is stated."""
        return None


class ColourScaler(Scaler):
    """Shows colours as players do: large pictures that state no matrix have that of BT.709, and high dynamic range is
    compressed.
    """

    def __call__(self, frame: VideoFrame) -> Image:
        """`frame` as (height, width, 3)."""
        colours = colours_of(frame)
        if not colours.is_wide:
            return super().__call__(frame)
        coded = self._scaled(frame, WIDE_FORMAT).to_ndarray()
        return self._shape.orient(to_screen(np.asarray(coded, np.uint16), colours))

    def _matrix(self, frame: VideoFrame) -> Colorspace | None:
        if frame.colorspace != _UNSTATED:
            return None
        if colours_of(frame).is_high_range:
            return Colorspace.BT2020
        is_large = frame.width >= _HD_WIDTH or frame.height > _SD_HEIGHT
        return Colorspace.ITU709 if is_large else None


class PlaneScaler(Scaler):
    """Scales the planes of brightness and colour, then converts to RGB.

    From 1080p to 1280 pixels, both steps take swscale 2.2 ms instead of 5.2 ms. Brightness differs from that of a
    single step by one or two levels of 255.
    """

    def __init__(self, shape: Shape, width: int, height: int) -> None:
        super().__init__(shape, width, height)
        self._planes = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Image:
        """`frame` as (height, width, 3)."""
        kind, (width, height) = frame.format.name, self._size
        if kind in _BY_PLANES and width < frame.width and height < frame.height:
            frame = self._planes.reformat(
                frame, width, height, kind, interpolation=Interpolation.BILINEAR, threads=1
            )
        return super().__call__(frame)


class LumaScaler(Scaler):
    """Scales and rotates the brightness of frames; colours are left out.

    Most videos store brightness in a plane of its own. If no scaling is needed, the plane is returned without
    conversion. `is_narrow` is then True if 16 is black and 235 is white in the last frame.
    """

    def __call__(self, frame: VideoFrame) -> Image:
        """`frame` as (height, width)."""
        is_stored = frame.format.name in _LUMA_FIRST and (frame.width, frame.height) == self._size
        rows = rows_of_first_plane(frame, np.uint8) if is_stored else None
        self.is_narrow = rows is not None and _is_narrow(frame)
        # swscale itself converts the narrow range to the full one.
        return self._reformat(frame, "gray") if rows is None else self._shape.orient(rows[:, : frame.width])


def fit(shape: Shape, max_side: int) -> tuple[int, int]:
    """The largest width and height within `max_side` at the same aspect ratio, never enlarged."""
    scale = min(1.0, max_side / max(shape.width, shape.height))
    return max(1, round(shape.width * scale)), max(1, round(shape.height * scale))


class CentreCrop:
    """Scales the short side to 8/7 of `size`, then crops the centre (size, size): I3D's input."""

    def __init__(self, shape: Shape, size: int) -> None:
        short = round(size * _CROP_MARGIN)
        scale = short / min(shape.width, shape.height)
        width, height = max(short, round(shape.width * scale)), max(short, round(shape.height * scale))
        self._scaler = Scaler(shape, width, height)
        self._size, self._left, self._top = size, (width - size) // 2, (height - size) // 2

    def __call__(self, frame: VideoFrame) -> Image:
        """`frame` as (size, size, 3)."""
        rows, columns = slice(self._top, self._top + self._size), slice(self._left, self._left + self._size)
        return self._scaler(frame)[rows, columns]


def _is_narrow(frame: VideoFrame) -> bool:
    """Whether brightness is from 16 to 235, as in most videos. Files that do not state their range mean this one,
    except grey ones.
    """
    return frame.format.name.startswith(("yuv4", "nv")) and frame.color_range != ColorRange.JPEG
