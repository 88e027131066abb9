"""Limits of the decoder: what is checked on a header and on each frame, and the errors."""

from __future__ import annotations

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.request import DecodeLimits

DURATION_MARGIN = 2.0
"""Tolerance of the duration limit in seconds: headers are rounded, and the last frame has a duration, too."""


def check_size(width: int, height: int, limits: DecodeLimits) -> None:
    """Raise limit_exceeded for a frame with too many pixels or too long a side."""
    if max(width, height) > limits.max_side_pixels or width * height > limits.max_frame_pixels:
        most = f"{limits.max_side_pixels} a side and {limits.max_frame_pixels} in all"
        raise exceeded(f"{width}x{height} pixels, at most {most}")


def too_long(limits: DecodeLimits) -> SentilocError:
    """The error for a video beyond the duration limit."""
    return exceeded(f"more than {limits.max_duration_seconds:g} seconds")


def too_fast(limits: DecodeLimits) -> SentilocError:
    """The error for a video beyond the frame rate limit."""
    return exceeded(f"more than {limits.max_frame_rate:g} frames per second")


def too_many_frames(limits: DecodeLimits) -> SentilocError:
    """The error for a video beyond the frame count limit."""
    return exceeded(f"more than {limits.max_frames} frames")


def exceeded(what: str) -> SentilocError:
    """The error for a video that has `what`."""
    return SentilocError(ErrorCode.LIMIT_EXCEEDED, f"The video has {what}.")
