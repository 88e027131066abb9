"""Places decoded frames on the spec's frame grid by their timestamps, and writes snippets to shared memory.

Time 0 is the container's start, as a player shows it. Grid frame k is the frame on screen at k / rate: the last one
whose timestamp is not later, within the rounding error of millisecond timestamps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame

from sentiloc.worker.decoder.pictures.luma import Image, brightness
from sentiloc.worker.decoder.pictures.scaling import (
    CentreCrop,
    ColourScaler,
    LumaScaler,
    PlaneScaler,
    Scaler,
    Shape,
    fit,
)
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

# The frames of one second may arrive within this many seconds, because rounded time stamps can be slightly too close.
_RATE_TOLERANCE = 0.9
_LEAD_SECONDS = 0.5
"""A first picture that is at most this late is shown from the start; before a later one the screen is black."""


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


def _black(like: VideoFrame) -> VideoFrame:
    """A black frame of the same size."""
    return VideoFrame.from_ndarray(np.zeros((like.height, like.width), np.uint8), "gray")
