"""The events of decoding, and their validation when read from the child's messages, which are untrusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.results.warnings import ResultWarning, parse_warnings
from sentiloc.model.segments import VideoInfo, parse_video
from sentiloc.model.timebase import LEGAL_RATES
from sentiloc.worker.decoder.request import DecodeLimits, DecodeRequest
from sentiloc.worker.timeline.rate import HIGHEST_RATE

Pictures = NDArray[np.uint8]

MAX_WARNINGS = 100
_MAX_TEXT = 400
# The decoder enforces the real limits. These looser ones only catch a compromised child.
_MARGIN, _SLACK_SECONDS = 1.2, 60.0
_MOST_TRACKS = 10_000
# Far above any sum of tracks. The squares of samples must stay finite.
_LOUDEST = 1e12
_TIMECODE = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}[:;][0-9]{2,3}")
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
    """Snippet `index`: `faces` (k, height, width, 3) and `visual` (snippet_frames, size, size, 3), RGB.

    Faces that were requested in grey are (k, height, width), with 0 for black and 255 for white. `still` is a small RGB
    picture (height, width, 3) of the snippet, if it was requested. `visual` is None unless the snippet's frames were
    requested. `begins_shot`: its first frame is known to belong to another shot than that of the snippet before.
    """

    index: int
    faces: Pictures
    visual: Pictures | None = None
    still: Pictures | None = None
    begins_shot: bool = False


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Samples in about [-1, 1]; the first is sample `start` since time 0. Chunks are contiguous.

    Mono is (n,), stereo (n, 2).
    """

    start: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EndOfMedia:
    """The totals: `duration` in seconds as decoded, snippets, decoded source frames, audio samples.

    For a part that ends before the video does, `duration` is what the container claims; snippets and samples are
    counted from the video's start to the part's end at most. `fps`, `timebase` and `variable_rate` are measured from
    the time stamps. `first_picture` is the time of the first one that decodes. `shots` are the seconds at which new
    shots begin, if they were asked for.
    """

    duration: float
    snippets: int
    frames: int
    samples: int
    fps: float
    timebase: str
    variable_rate: bool
    first_picture: float = 0.0
    warnings: tuple[ResultWarning, ...] = ()
    shots: tuple[float, ...] = ()

    def complete(self, info: VideoInfo) -> VideoInfo:
        """`info` completed with what is only known at the end of decoding."""
        return replace(
            info,
            duration=self.duration,
            fps=self.fps,
            timebase=self.timebase,
            variable_rate=self.variable_rate,
            first_picture=self.first_picture,
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds for a decoder's claims: seconds, snippets, source frames and samples."""

    seconds: float
    snippets: int
    frames: int
    samples: int
    side: int
    channels: int = 1

    @staticmethod
    def of(request: DecodeRequest, limits: DecodeLimits) -> Bounds:
        """The bounds for a request. They are above the decoder's own limits, which stop it first."""
        seconds = limits.max_duration_seconds * _MARGIN + _SLACK_SECONDS
        rate = request.frame_rate or limits.max_frame_rate
        return Bounds(
            seconds=seconds,
            snippets=ceil(seconds * rate * _MARGIN / request.snippet_frames) + 1,
            frames=ceil(limits.max_frames * _MARGIN) + 1,
            samples=ceil(seconds * (request.audio_rate or 0)),
            side=limits.max_side_pixels,
            channels=request.audio_channels,
        )


def read_info(fields: Mapping[str, Any], bounds: Bounds) -> VideoInfo:
    """Parse the child's description of a video; raises KeyError, TypeError or ValueError if it is invalid."""
    info = parse_video(fields)
    for name, kind in _KINDS.items():
        _require(isinstance(getattr(info, name), kind), name)
    _require(_is_within(info.duration, bounds.seconds), "duration")
    _require(_is_rate(info.fps), "fps")
    _require(_is_within(info.first_picture, bounds.seconds), "first_picture")
    _require(all(1 <= side <= bounds.side for side in (info.width, info.height)), "size")
    _require(info.timebase is None or info.rate in LEGAL_RATES, "timebase")
    _require(info.start_timecode is None or bool(_TIMECODE.fullmatch(info.start_timecode)), "start_timecode")
    track = info.audio_track
    if track is not None:
        texts = (track.chosen, track.codec, track.layout, track.language or "", track.title or "")
        _require(all(is_text(text) for text in texts), "audio_track")
        _require(
            all(isinstance(n, int) and 0 <= n <= _MOST_TRACKS for n in (*track.numbers, track.count)),
            "audio_track",
        )
    return info


def read_end(fields: Mapping[str, Any], payload: bytes, bounds: Bounds) -> EndOfMedia:
    """Parse the child's last message; raises KeyError, TypeError or ValueError if it is invalid."""
    warnings = parse_warnings(fields["warnings"][:MAX_WARNINGS])
    _require(all(is_text(one.code) and is_text(one.detail) for one in warnings), "warnings")
    times = [time for one in warnings for time in (one.start, one.end) if time is not None]
    _require(all(_is_within(time, bounds.seconds) for time in times), "warnings")
    shots = np.frombuffer(payload, np.float64)
    _require(bool(np.isfinite(shots).all() and (np.diff(shots) > 0).all()), "shots")
    _require(all(_is_within(moment, bounds.seconds) for moment in shots.tolist()), "shots")
    end = EndOfMedia(**{**fields, "warnings": warnings, "shots": tuple(shots.tolist())})
    _require(_is_within(end.duration, bounds.seconds) and _is_rate(end.fps), "duration")
    _require(Fraction(end.timebase) in LEGAL_RATES and isinstance(end.variable_rate, bool), "timebase")
    _require(_is_within(end.first_picture, bounds.seconds), "first_picture")
    read_count(end.snippets, bounds.snippets)
    read_count(end.frames, bounds.frames)
    read_count(end.samples, bounds.samples)
    return end


def read_audio(fields: Mapping[str, Any], payload: bytes, bounds: Bounds) -> AudioChunk:
    """Parse a chunk of sound; raises KeyError, TypeError or ValueError if it is invalid."""
    samples = np.frombuffer(payload, np.float32)
    if bounds.channels > 1:
        samples = samples.reshape(-1, bounds.channels)
    start = read_count(fields["start"], bounds.samples)
    # False for NaN, too.
    _require(bool((np.abs(samples) <= _LOUDEST).all()), "samples")
    return AudioChunk(start, samples)


def read_count(value: object, most: int) -> int:
    """An integer from 0 to `most`; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is not a count up to {most}")
    return value


def _is_within(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _is_rate(value: object) -> bool:
    return _is_within(value, HIGHEST_RATE) and value != 0


def is_text(value: object) -> bool:
    """Whether a text is short and printable, so that it can be shown to people and written to logs."""
    return isinstance(value, str) and len(value) <= _MAX_TEXT and value.isprintable()


def _require(fits: bool, name: str) -> None:
    if not fits:
        raise ValueError(f"{name} is not what a decoder says")
