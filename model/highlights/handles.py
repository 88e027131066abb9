"""Chooses where to cut a moment: some seconds before and after it, in a pause or at a shot change."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sentiloc.model.highlights.moments import Moment
from sentiloc.model.results.result import Result
from sentiloc.model.results.sound import Sound

Snap = Literal["shot", "pause", "edge", "none"]
"""The point to which a cut was moved: a shot change, a pause, the video's edge, or none."""

_QUIET_SHARE = 0.5
_LEVEL_SECONDS = 10.0
_SHORTEST_PAUSE = 0.3
# A cut lies this far inside a pause, so that the first sound after it is not clipped.
_BREATH = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class HandleOptions:
    """Seconds around a moment. A cut may move by up to `snap` seconds from there; 0 disables moving."""

    handle: float = 1.0
    snap: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The part of a video to show, [start, end) in seconds, and what each edge was moved to."""

    start: float
    end: float
    start_snap: Snap = "none"
    end_snap: Snap = "none"


@dataclass(frozen=True, slots=True)
class Pause:
    """A quiet range of the sound, in seconds."""

    start: float
    end: float


def cut_moment(moment: Moment, result: Result, options: HandleOptions, pauses: Sequence[Pause]) -> Cut:
    """The cut of a moment. It never lies inside the moment itself. `pauses` are those of the result's sound.

    A shot change is preferred to a pause, because a cut a few frames away from it would flash the other shot.
    """
    duration = result.video.duration
    start, start_snap = _snapped(
        max(0.0, moment.start - options.handle),
        (max(0.0, moment.start - options.handle - options.snap), moment.start),
        options.snap,
        result.shots,
        [max(pause.start, pause.end - _BREATH) for pause in pauses],
    )
    end, end_snap = _snapped(
        min(duration, moment.end + options.handle),
        (moment.end, min(duration, moment.end + options.handle + options.snap)),
        options.snap,
        result.shots,
        [min(pause.end, pause.start + _BREATH) for pause in pauses],
    )
    if start <= 0:
        start_snap = "edge"
    if end >= duration:
        end_snap = "edge"
    return Cut(start=start, end=end, start_snap=start_snap, end_snap=end_snap)


def _snapped(
    wanted: float,
    allowed: tuple[float, float],
    reach: float,
    shots: tuple[float, ...],
    quiet: list[float],
) -> tuple[float, Snap]:
    low, high = max(allowed[0], wanted - reach), min(allowed[1], wanted + reach)
    choices: tuple[tuple[Snap, list[float]], ...] = (
        ("shot", _between(shots, low, high)),
        ("pause", _between(tuple(quiet), low, high)),
    )
    if reach > 0:
        for name, places in choices:
            if places:
                # Any shot change in reach comes before any pause, even a nearer one.
                nearest = min(places, key=lambda place: abs(place - wanted))
                return round(nearest, 6), name
    return round(wanted, 6), "none"


def _between(places: tuple[float, ...], low: float, high: float) -> list[float]:
    """The ascending `places` inside [low, high]."""
    return list(places[bisect_left(places, low) : bisect_right(places, high)])


def find_pauses(sound: Sound | None) -> tuple[Pause, ...]:
    """Ranges of at least 0.3 s that are quiet relative to their surroundings, in order of time.

    A value is quiet below half of the 80th percentile of the ten seconds around it. Loudness is the square root of
    the amplitude, so that is a quarter of the amplitude. Complete silence is always quiet.
    """
    if sound is None or not sound.loudness:
        return ()
    values = np.array(sound.loudness, np.float64)
    half = max(1, round(_LEVEL_SECONDS / 2 / sound.step))
    # Reflected, so that the first and last seconds are compared with sound and not with zeros.
    padded = np.pad(values, half, mode="reflect" if len(values) > half else "edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    level = np.percentile(around, 80, axis=1)
    quiet = (values <= _QUIET_SHARE * level) | (values == 0)
    return tuple(
        Pause(round(first * sound.step, 6), round(stop * sound.step, 6))
        for first, stop in _runs(quiet)
        if (stop - first) * sound.step >= _SHORTEST_PAUSE
    )


def _runs(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Iterator[tuple[int, int]]:
    """First and after-last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
