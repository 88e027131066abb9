"""The request to the decoder and its limits, shared by the parent and the sandboxed child."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from sentiloc.model.arguments import LARGEST, LONGEST_SECONDS, MOST_THREADS, number, whole_number

MAX_FACE_SIDE = 4096
ROUNDING_SECONDS = 0.0015
"""Seconds by which a frame may be shown before its time stamp, because stamps in milliseconds are rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRequest:
    """The frames and samples to decode.

    `frame_rate` is the rate of the frame grid in frames per second; None means the video's average rate.
    `looked_at` is the part of a grid frame after which its picture is looked up: 0 for its start, 0.5 for its middle.
    `face_samples` are the positions within a snippet of the frames for the face stream, at up to `face_max_side`
    pixels. `face_grey` requests them as grey instead of RGB, which takes less time. `face_by_planes` scales larger
    frames before the conversion to RGB, which takes half the time and is accurate enough for networks. `for_people`
    requests colours as players show them; networks were trained on those of BT.601 wherever a video does not state its
    own. `still_side`, if given, requests the middle one of these frames once more, in colour at up to that many pixels,
    to show to people. `visual_size`, if given, requests all frames of the first and of every `visual_stride`-th snippet
    of the video: short side scaled to 8/7 of it, then centre-cropped. With `visual_by_shots`, the first snippet of each
    shot is included (`VisualChoice`).
    `audio_rate`, if given, requests audio at that many samples per second with `audio_channels`: 1 (mono) or 2.
    `audio_track` is the number of a sound track, counted from 1; None chooses one. `first_snippet` (inclusive) and
    `end_snippet` (exclusive; None: the end) are the requested range, with its sound. `find_shots` requests the times at
    which new shots begin. `keyframes_only` requests a draft: pictures between keyframes are not decoded, and the last
    keyframe is used for them.
    """

    frame_rate: float | None = 25.0
    snippet_frames: int = 16
    looked_at: float = 0.0
    face_samples: tuple[int, ...] = ()
    face_max_side: int = 640
    face_grey: bool = False
    face_by_planes: bool = False
    for_people: bool = False
    still_side: int | None = None
    visual_size: int | None = None
    visual_stride: int = 1
    visual_by_shots: bool = False
    audio_rate: int | None = None
    audio_track: int | None = None
    first_snippet: int = 0
    end_snippet: int | None = None
    find_shots: bool = False
    keyframes_only: bool = False
    audio_channels: int = 1

    def __post_init__(self) -> None:
        if self.audio_channels not in (1, 2):
            raise ValueError(f"audio_channels is {self.audio_channels}, not 1 or 2")
        if not 0 <= self.looked_at < 1:
            raise ValueError(f"looked_at is {self.looked_at}, not in [0, 1)")
        if any(not 0 <= sample < self.snippet_frames for sample in self.face_samples):
            raise ValueError(f"face samples {self.face_samples} lie outside 0..{self.snippet_frames - 1}")
        if list(self.face_samples) != sorted(set(self.face_samples)):
            raise ValueError(f"face samples {self.face_samples} must rise")
        if not 0 <= self.first_snippet < (self.end_snippet or self.first_snippet + 1):
            raise ValueError(f"no snippets in {self.first_snippet}..{self.end_snippet}")
        if not 0 < self.face_max_side <= MAX_FACE_SIDE:
            raise ValueError(f"face_max_side must be in 1..{MAX_FACE_SIDE}")
        if self.visual_stride < 1:
            raise ValueError(f"visual_stride is {self.visual_stride}, not at least 1")
        if self.still_side is not None and not (self.face_samples and 0 < self.still_side <= MAX_FACE_SIDE):
            raise ValueError(f"stills need face samples and a side in 1..{MAX_FACE_SIDE}")

    @property
    def visual_bytes(self) -> int:
        """Bytes of the visual frames of one snippet that has them."""
        return 0 if self.visual_size is None else self.snippet_frames * self.visual_size**2 * 3

    @property
    def slot_bytes(self) -> int:
        """Bytes of the largest snippet: faces first, then the visual frames, then the still."""
        face_bytes = self.face_max_side**2 * (1 if self.face_grey else 3)
        still_bytes = 3 * (self.still_side or 0) ** 2
        return max(1, len(self.face_samples) * face_bytes + self.visual_bytes + still_bytes)

    @property
    def still_sample(self) -> int | None:
        """The position within a snippet of the frame that becomes the still."""
        return self.face_samples[len(self.face_samples) // 2] if self.still_side else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """Limits for one file. Sizes in bytes, times in seconds, rates in frames per second."""

    max_duration_seconds: float = 4 * 3600
    max_side_pixels: int = 8192
    max_frame_pixels: int = 50_000_000
    max_frames: int = 1_000_000
    max_frame_rate: float = 240.0
    max_streams: int = 32
    memory_bytes: int = 2 * 1024**3
    cpu_seconds: int = 4 * 3600
    wall_seconds: float = 6 * 3600
    stall_seconds: float = 30.0
    threads: int = 2

    def __post_init__(self) -> None:
        # Checked here, because a decoder that cannot use a limit would report a fault of the video.
        above_zero = sys.float_info.min
        for name in ("max_duration_seconds", "wall_seconds", "stall_seconds"):
            wanted = "a number of seconds above 0, at most 1e9"
            value = number(name, getattr(self, name), above_zero, LONGEST_SECONDS, wanted)
            object.__setattr__(self, name, value)
        rate = number(
            "max_frame_rate", self.max_frame_rate, above_zero, LARGEST, "a number above 0, at most 9e15"
        )
        object.__setattr__(self, "max_frame_rate", rate)
        for name, most in _WHOLE_LIMITS.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), most))


_WHOLE_LIMITS = {
    "max_side_pixels": LARGEST,
    # libav's own limit: with a larger one it refuses every video.
    "max_frame_pixels": 2**31 - 1,
    "max_frames": LARGEST,
    "max_streams": LARGEST,
    "memory_bytes": LARGEST,
    "cpu_seconds": int(LONGEST_SECONDS),
    "threads": MOST_THREADS,
}
