"""The frame rate of a video, measured from its time stamps. The header's rate is used if the time stamps agree."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import inf

import numpy as np

from sentiloc.model.results.warnings import ResultWarning, WarningCode
from sentiloc.model.timebase import EXACT, legal_rate, nearest_legal

HIGHEST_RATE = 1e7
"""Frames per second. Higher rates, in a header or from time stamps, are not those of the pictures."""
_REORDER = 32
"""Maximum distance in packets between a picture and the one shown before it: codecs reorder at most 16 pictures."""
_DEFAULT_RATE = Fraction(25)
# Higher values are time bases (such as 90000) that a header states as a rate.
_HIGHEST_STATED = 1000
# Longer intervals are pauses. They would distort the average.
_LONGEST_GAP = 8
_GAP_SECONDS = 1.0
_JITTER, _UNEVEN_SHARE = 0.2, 0.005
# A few missing pictures, as at the end of a file that breaks off, do not make the rate of a short video variable.
_UNEVEN, _UNEVEN_OF_FEW = 3, 0.05
# Rates within 1 % may be the same: 29.97 and 30 differ by 0.1 %.
_REFUTED = 0.01
# Relative difference up to which intervals have one rate; a phone's pictures come within half a millisecond.
_SAME = 0.03
_FEW, _ONE_SIDED = 0.02, 0.8
# A measured rate never snaps to a legal rate that is further away than this.
_WIDEST = 0.003


@dataclass(frozen=True, slots=True)
class FrameRate:
    """`fps` is measured, `timebase` is its legal rate; `stated` is the header's rate if the stamps contradict it."""

    fps: float
    timebase: Fraction
    is_variable: bool
    stated: float | None = None
    gaps: tuple[tuple[float, float], ...] = ()
    """Ranges (seconds) without pictures in a video whose pictures otherwise come evenly."""

    def warnings(self) -> Iterable[ResultWarning]:
        """What an editor should know about this rate."""
        counted = f"frames and timecode are counted at {_shown(self.timebase)}"
        if self.is_variable:
            rates = f"mostly {_shown(self.fps)}); exports count frames at {_shown(self.timebase)}"
            detail = f"The frame rate varies ({rates}."
            yield ResultWarning(code=WarningCode.VARIABLE_RATE, detail=detail)
        elif self.stated is not None:
            detail = (
                f"The header states {_shown(self.stated)} frames a second, the time stamps "
                f"{_shown(self.fps)}; {counted}."
            )
            yield ResultWarning(code=WarningCode.NONSTANDARD_RATE, detail=detail)
        elif nearest_legal(self.fps) is None:
            detail = f"No timeline counts {_shown(self.fps)} frames a second; {counted}."
            yield ResultWarning(code=WarningCode.NONSTANDARD_RATE, detail=detail)


class RateMeter:
    """Takes the time stamp of every video packet, in file order, and determines the rate.

    `stated` are the header's rates, the most trusted first; `tick` is the stamps' resolution in seconds.
    """

    def __init__(self, stated: Iterable[Fraction | None], tick: float) -> None:
        self._stated = [float(rate) for rate in stated if rate and 0 < rate <= _HIGHEST_STATED]
        self._tick = tick
        self._waiting: list[float] = []
        self._first: float | None = None
        self._last: float | None = None
        self._intervals = array("d")

    def add(self, stamp: float) -> None:
        """Count a packet that is shown at `stamp` seconds."""
        if len(self._waiting) < _REORDER:
            heapq.heappush(self._waiting, stamp)
        else:
            # Packets come in decoding order. The smallest time stamp of a window is the next picture shown.
            self._pass(heapq.heappushpop(self._waiting, stamp))

    def _pass(self, stamp: float) -> None:
        if self._last is None:
            self._first = stamp
        elif stamp > self._last:
            self._intervals.append(stamp - self._last)
        self._last = stamp

    def read(self) -> FrameRate:
        """The measured rate; the header's, or 25, if too few packets were counted or their times say nothing."""
        while self._waiting:
            self._pass(heapq.heappop(self._waiting))
        intervals = np.frombuffer(self._intervals, np.float64)
        fps = self._settle(*_usual_rate(intervals, self._tick)) if len(intervals) > 1 else inf
        if fps > HIGHEST_RATE:
            # One or two pictures are not enough, and such files often state their time base as the rate.
            fps = next((rate for rate in self._stated if legal_rate(rate) == rate), float(_DEFAULT_RATE))
            return FrameRate(fps, legal_rate(fps), is_variable=False)
        # Time stamps in milliseconds are off by up to a tick even if the pictures are evenly spaced.
        uneven = np.abs(intervals - 1 / fps) > max(_JITTER / fps, 1.5 * self._tick)
        stated = self._stated[0] if self._stated else None
        # A pause, or a last picture that is shown for long, lowers the average rate alone.
        is_refuted = all(abs(rate / fps - 1) > _REFUTED for rate in self._stated)
        least = max(_UNEVEN_SHARE * len(uneven), min(_UNEVEN, _UNEVEN_OF_FEW * len(uneven)))
        is_variable = bool(np.count_nonzero(uneven) > least)
        gaps = () if is_variable else self._gaps(intervals, fps)
        return FrameRate(fps, legal_rate(fps), is_variable, stated if is_refuted else None, gaps)

    def _gaps(
        self, intervals: np.ndarray[tuple[int], np.dtype[np.float64]], fps: float
    ) -> tuple[tuple[float, float], ...]:
        ends = (self._first or 0.0) + np.cumsum(intervals)
        is_long = intervals > max(_GAP_SECONDS, (_LONGEST_GAP + 0.5) / fps)
        starts = ends[is_long] - intervals[is_long] + 1 / fps
        return tuple(zip(starts.tolist(), ends[is_long].tolist(), strict=True))

    def _settle(self, measured: float, error: float) -> float:
        """The header's rate or a legal one, if the measured rate is within its error of it."""
        for rate in self._stated:
            if abs(rate / measured - 1) <= max(error, EXACT):
                return rate
        legal = nearest_legal(measured, max(EXACT, min(error, _WIDEST)))
        return float(legal) if legal else round(measured, 3) or measured


def _usual_rate(intervals: np.ndarray[tuple[int], np.dtype[np.float64]], tick: float) -> tuple[float, float]:
    """Frames per second and its relative error. Every interval is treated as a multiple of the typical one."""
    # Not `np.median`, which imports modules at its first use: in the sandbox no file can be opened.
    usual = float(np.partition(intervals, len(intervals) // 2)[len(intervals) // 2])
    # A dropped frame doubles an interval; counted as two frames, it does not lower the rate.
    counts = np.maximum(1, np.round(intervals / usual))
    inside = counts <= _LONGEST_GAP
    off = intervals - counts * usual
    near = inside & (np.abs(off) <= np.maximum(_SAME * counts * usual, 1.5 * tick))
    rate, error = _average(counts, intervals, inside, tick)
    if 2 * np.count_nonzero(near) > len(near) and _are_another_rate(off[inside & ~near], len(near)):
        return _average(counts, intervals, near, tick)
    return rate, error


def _are_another_rate(off: np.ndarray[tuple[int], np.dtype[np.float64]], count: int) -> bool:
    """Whether the intervals that are `off` the usual one, in seconds, do not belong to it.

    They are a few broken stamps, or lie to one side: a phone takes fewer pictures in the dark. Jitter goes to both
    sides, and its average is right.
    """
    longer = int(np.count_nonzero(off > 0))
    return len(off) < _FEW * count or max(longer, len(off) - longer) > _ONE_SIDED * len(off)


def _average(
    counts: np.ndarray[tuple[int], np.dtype[np.float64]],
    intervals: np.ndarray[tuple[int], np.dtype[np.float64]],
    chosen: np.ndarray[tuple[int], np.dtype[np.bool_]],
    tick: float,
) -> tuple[float, float]:
    """Frames per second over the chosen intervals, and its relative error."""
    frames, seconds = float(counts[chosen].sum()), float(intervals[chosen].sum())
    # Every run of frames has a rounding error at both ends.
    breaks = 1 + float(np.sum(~chosen))
    return frames / seconds, 2 * tick * breaks**0.5 / seconds


def _shown(rate: float | Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
