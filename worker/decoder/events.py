"""What decoding yields, and how it is read from the child's messages, which are not to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.results.warnings import ResultWarning, parse_warnings
from sentiloc.model.segments import VideoInfo, parse_video

Pictures = NDArray[np.uint8]

MAX_WARNINGS = 100
_MAX_TEXT = 400
_KINDS: dict[str, type | tuple[type, ...]] = {
    "duration": (int, float),
    "fps": (int, float),
    "width": int,
    "height": int,
    "has_audio": bool,
    "start_timecode": (str, type(None)),
    "timebase": (str, type(None)),
    "variable_rate": bool,
    "drop_frame": (bool, type(None)),
}


@dataclass(frozen=True, slots=True)
class SnippetFrames:
    """Snippet `index`: `faces` (k, height, width, 3) and `visual` (snippet_frames, size, size, 3), RGB."""

    index: int
    faces: Pictures
    visual: Pictures | None


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Mono samples (n,) in about [-1, 1]; the first is sample `start` since time 0. Chunks leave no gap."""

    start: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EndOfMedia:
    """The whole: `duration` in seconds as decoded, snippets, decoded source frames, audio samples.

    Of a part that ends before the video does, `duration` is the container's claim; snippets and samples count from
    the video's start, and at most to the part's end. `fps`, `timebase` and `variable_rate` are by the time stamps.
    """

    duration: float
    snippets: int
    frames: int
    samples: int
    fps: float
    timebase: str
    variable_rate: bool
    warnings: tuple[ResultWarning, ...] = ()

    def complete(self, info: VideoInfo) -> VideoInfo:
        """`info` with what only the end of decoding tells."""
        return replace(
            info,
            duration=self.duration,
            fps=self.fps,
            timebase=self.timebase,
            variable_rate=self.variable_rate,
        )


def read_info(fields: Mapping[str, Any]) -> VideoInfo:
    """The child's view of a video; raises KeyError, TypeError or ValueError for anything else."""
    info = parse_video(fields)
    for name, kind in _KINDS.items():
        _require(isinstance(getattr(info, name), kind), name)
    track = info.audio_track
    if track is not None:
        texts = (track.chosen, track.codec, track.layout, track.language or "", track.title or "")
        _require(all(isinstance(text, str) and len(text) <= _MAX_TEXT for text in texts), "audio_track")
        _require(all(isinstance(n, int) for n in (*track.numbers, track.count)), "audio_track")
    return info


def read_end(fields: Mapping[str, Any]) -> EndOfMedia:
    """The child's last message; raises KeyError, TypeError or ValueError for anything else."""
    warnings = parse_warnings(fields["warnings"][:MAX_WARNINGS])
    _require(all(len(one.code) < _MAX_TEXT and len(one.detail) < _MAX_TEXT for one in warnings), "warnings")
    _require(all(_is_time(one.start) and _is_time(one.end) for one in warnings), "warnings")
    end = EndOfMedia(**{**fields, "warnings": warnings})
    _require(all(_is_time(value) for value in (end.duration, end.fps)), "duration")
    return end


def _is_time(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and 0 <= value < float("inf"))


def _require(fits: bool, name: str) -> None:
    if not fits:
        raise ValueError(f"{name} is not what a decoder says")
