"""Places decoded frames on the spec's frame grid by their timestamps, and writes snippets to shared memory.

Time 0 is the container's start, as a player shows it. Grid frame k is the frame on screen at k / rate: the last one
whose timestamp is not later, within the rounding error of millisecond timestamps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from sentiloc.worker.decoder.looks.tone import WIDE_FORMAT, colours_of, to_screen
from sentiloc.worker.decoder.request import ROUNDING_SECONDS, DecodeLimits, DecodeRequest
from sentiloc.worker.decoder.source.limits import (
    DURATION_MARGIN,
    check_size,
    too_fast,
    too_long,
    too_many_frames,
)
from sentiloc.worker.decoder.task import SnippetImages
from sentiloc.worker.timeline.shots import GRID
from sentiloc.worker.timeline.stamps import GAP_SECONDS
from sentiloc.worker.timeline.visual_choice import Chosen, VisualChoice

Image = NDArray[np.uint8]

# I3D was trained on a short side of 256 pixels, cropped to 224: 256 / 224 = 8 / 7.
_CROP_MARGIN = Fraction(8, 7)
# Seconds in which a second's frames may arrive: rounded time stamps may bring them slightly closer together.
_RATE_TOLERANCE = 0.9
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
_LEAD_SECONDS = 0.5
"""Seconds.

A first picture that is at most this late is shown from the start; before a later one the screen is black.
"""


class Clock:
    """Gives each frame its time in seconds since time 0, which never decreases. Counts frames and refuses too many."""

    def __init__(self, limits: DecodeLimits) -> None:
        self.frames = 0
        self._limits = limits
        self._last = 0.0
        self._recent: deque[float] = deque(maxlen=int(limits.max_frame_rate) + 1)

    def count(self, seconds: float) -> float:
        """The time at which the frame that is due at `seconds` is shown. Raises limit_exceeded."""
        self._last = max(seconds, self._last)
        self.frames += 1
        self._check()
        return self._last

    def end(self, last: VideoFrame, step: float, declared: float | None, trusted: float) -> float:
        """The end of the last frame: by its duration, or the declared end if that is earlier.

        Args:
            last: the last frame.
            step: its duration in seconds if the file does not state one.
            declared: the end of the video in seconds, as the container states it.
            trusted: seconds up to which a frame may be shown for long; beyond them, a long duration is wrong.

        Raises:
            SentilocError: limit_exceeded, if the frame is shown beyond the limit.
        """
        # libav's duration overflows where an animation states hours.
        stated = float(last.duration * last.time_base) if last.duration and last.time_base else 0.0
        shown = stated if stated > 0 else step
        end = self._last + shown
        if shown > GAP_SECONDS:
            end = min(end, max(trusted, self._last + step))
        if declared is not None and self._last < declared < end:
            end = declared
        if end > self._limits.max_duration_seconds + DURATION_MARGIN:
            raise too_long(self._limits)
        return round(end, 6)

    def _check(self) -> None:
        if self.frames > self._limits.max_frames:
            raise too_many_frames(self._limits)
        if self._last > self._limits.max_duration_seconds + DURATION_MARGIN:
            raise too_long(self._limits)
        self._recent.append(self._last)
        if len(self._recent) == self._recent.maxlen and self._last - self._recent[0] < _RATE_TOLERANCE:
            raise too_fast(self._limits)


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
        rows = _rows_of_first_plane(frame, np.uint8) if is_stored else None
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


class SnippetBuilder:
    """Fills grid frames from decoded frames. Each complete snippet is passed to `emit(index, images)`.

    Only requested frames are scaled. A frame that covers several grid frames is scaled once.
    """

    def __init__(
        self,
        request: DecodeRequest,
        limits: DecodeLimits,
        rate: Fraction,
        shape: Shape,
        emit: Callable[[int, SnippetImages], None],
    ) -> None:
        self._request, self._limits, self._emit = request, limits, emit
        self._rate = float(rate)
        self._face: Scaler = _face_scaler(request)(shape, *fit(shape, request.face_max_side))
        self._still = ColourScaler(shape, *fit(shape, request.still_side)) if request.still_side else None
        self._visual = CentreCrop(shape, request.visual_size) if request.visual_size else None
        self._choice = VisualChoice(request.visual_stride, request.visual_by_shots, request.first_snippet)
        self._chosen = Chosen(is_read=False)
        self._held: VideoFrame | None = None
        self._made: dict[object, Image] = {}
        self._slot = request.first_snippet * request.snippet_frames
        self._end = None if request.end_snippet is None else request.end_snippet * request.snippet_frames
        self._images = SnippetImages()

    @property
    def is_full(self) -> bool:
        """True when all requested snippets are complete."""
        return self._end is not None and self._slot >= self._end

    def push(self, frame: VideoFrame, seconds: float) -> None:
        """Take the frame that is shown from `seconds` on. The previous frame fills the grid up to there."""
        check_size(frame.width, frame.height, self._limits)
        if self._held is None and seconds > _LEAD_SECONDS:
            self._held = _black(frame)
        self._fill(seconds)
        self._held, self._made = frame, {}

    def pass_time(self, seconds: float) -> None:
        """Fill the grid up to `seconds`, where a picture begins that was skipped."""
        self._fill(seconds)

    def finish(self, end: float) -> int:
        """Fill the grid up to `end`, complete the last snippet with its last frame; return the number of snippets."""
        self._fill(end)
        if self._slot == 0 and self._held is not None:
            self._place()
        while self._slot % self._request.snippet_frames:
            self._place()
        return self._slot // self._request.snippet_frames

    def _fill(self, until: float) -> None:
        while (
            self._held is not None
            and (self._slot + self._request.looked_at) / self._rate < until - ROUNDING_SECONDS
            and not self.is_full
        ):
            self._place()

    def _place(self) -> None:
        position = self._slot % self._request.snippet_frames
        if position in self._request.face_samples:
            self._images.faces.append(self._make(self._face))
            self._images.narrow.append(self._face.is_narrow)
        if self._still is not None and position == self._request.still_sample:
            self._images.still = self._make(self._still)
        if self._visual is not None:
            self._place_visual(self._visual, position)
        self._slot += 1
        if position == self._request.snippet_frames - 1:
            index = self._slot // self._request.snippet_frames - 1
            self._emit(index, self._images)
            self._images = SnippetImages()

    def _place_visual(self, crop: CentreCrop, position: int) -> None:
        if position == 0:
            assert self._held is not None  # noqa: S101
            self._chosen = self._choice.next(brightness(self._held, GRID) if self._choice.by_shots else None)
            self._images.begins_shot = self._chosen.begins_shot
        if self._chosen.is_read:
            self._images.visual.append(self._make(crop))

    def _make(self, scale: Callable[[VideoFrame], Image]) -> Image:
        if scale not in self._made:
            assert self._held is not None  # noqa: S101
            self._made[scale] = scale(self._held)
        return self._made[scale]


def _face_scaler(request: DecodeRequest) -> type[Scaler]:
    if request.face_grey:
        return LumaScaler
    if request.for_people:
        return ColourScaler
    return PlaneScaler if request.face_by_planes else Scaler


def brightness(frame: VideoFrame, side: int) -> Image | None:
    """About `side` x `side` samples of the first plane (its upper eight bits); None for formats without such a plane.

    That plane is the brightness in all camera formats; in others it is close enough to detect a cut.
    """
    bits = _bits_of_first_plane(frame.format.name)
    if not frame.planes or not bits:
        return None
    plane = frame.planes[0]
    wide = bits > 8
    rows = _rows_of_first_plane(frame, np.uint16 if wide else np.uint8)
    if rows is None:
        return None
    picked = rows[:: max(1, plane.height // side), : plane.width : max(1, plane.width // side)]
    picked = picked[:side, :side]
    return np.asarray(picked >> (bits - 8) if wide else picked, np.uint8).copy()


def _rows_of_first_plane(frame: VideoFrame, kind: type[np.uint8 | np.uint16]) -> NDArray[Any] | None:
    """A view of the first plane, (height, samples including padding); None if it is not stored row by row."""
    plane = frame.planes[0]
    samples: NDArray[Any] = np.frombuffer(memoryview(plane), kind)
    if plane.height * (plane.line_size // samples.itemsize) != len(samples):
        return None
    return samples.reshape(plane.height, -1)


def _is_narrow(frame: VideoFrame) -> bool:
    """Whether brightness is from 16 to 235, as in most videos. Files that do not state their range mean this one,
    except grey ones.
    """
    return frame.format.name.startswith(("yuv4", "nv")) and frame.color_range != ColorRange.JPEG


@lru_cache
def _bits_of_first_plane(pixel_format: str) -> int:
    """Bits of a sample in the first plane; 0 where that plane does not hold brightness."""
    pixels = VideoFormat(pixel_format)
    return 0 if pixels.has_palette or not pixels.components else pixels.components[0].bits


def _black(like: VideoFrame) -> VideoFrame:
    """A black frame of the same size."""
    return VideoFrame.from_ndarray(np.zeros((like.height, like.width), np.uint8), "gray")
