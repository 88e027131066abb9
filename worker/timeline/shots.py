"""Detects shot changes from the brightness of each picture on a coarse grid. For hard cuts, not for fades."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.uint8]
Between = Callable[[], Iterable[tuple[float, Grid]]]
"""Returns the times and grids of skipped pictures, as far as they are known."""

GRID = 48
"""Samples a side."""
MOST_SHOTS = 20_000
_HISTOGRAM, _PICTURE, _OVER_USUAL = 0.22, 0.06, 3.0
# After a flash the picture is again like the one before. After a cut it is not.
_FLASH = 0.5
_USUAL_OF = 12
_BINS, _BLOCKS = 16, 2


class ShotMeter:
    """Takes the grid of every picture in display order, and records when a new shot begins.

    A shot begins where both the picture and the distribution of its brightness change by much more than between
    the pictures before, and do not change back with the next picture, as they do after a flash.
    """

    def __init__(self) -> None:
        self._grids: deque[Grid] = deque(maxlen=2)
        self._usual: deque[float] = deque(maxlen=_USUAL_OF)
        self._candidate: float | None = None
        self.shots = array("d")

    def add(self, grid: Grid, seconds: float, left_out: int = 0, between: Between = tuple) -> None:
        """Add the picture `grid` (GRID, GRID), shown from `seconds` on; `left_out` pictures before it were skipped.

        `between` is called to decode them only if a shot begins here or among them.
        """
        if self._grids and self._grids[-1].shape == grid.shape:
            self._compare(grid, seconds, left_out + 1, between)
        self._grids.append(grid)

    def _compare(self, grid: Grid, seconds: float, steps: int, between: Between) -> None:
        if self._candidate is not None and self._was_flash(grid):
            # The change back after a flash is not a cut either.
            self._candidate = None
            return
        self._take_candidate()
        before = self._grids[-1]
        change = _difference(before, grid)
        usual = sum(self._usual) / len(self._usual) if self._usual else 0.0
        if _is_cut(before, grid, change, usual):
            # Where skipped pictures are unknown, the picture has changed as often as there are steps.
            pictures = [*between(), (seconds, grid)]
            usual *= 1 if len(pictures) > 1 else steps
            self._candidate = _first_cut(before, pictures, usual)
        self._usual.append(min(change / steps, 2 * _PICTURE))

    def _was_flash(self, grid: Grid) -> bool:
        """True if the picture after a candidate looks like the picture before it."""
        old, new = self._grids[0], self._grids[-1]
        return _difference(old, grid) < _FLASH * _difference(new, old)

    def _take_candidate(self) -> None:
        if self._candidate is not None and len(self.shots) < MOST_SHOTS:
            self.shots.append(self._candidate)
        self._candidate = None

    def finish(self) -> list[float]:
        """The times at which new shots begin in seconds, ascending, rounded to microseconds."""
        self._take_candidate()
        # Two pictures may have one time stamp, and each may begin a shot.
        return list(dict.fromkeys(round(seconds, 6) for seconds in self.shots))


def is_other_shot(before: Grid, after: Grid) -> bool:
    """Whether two brightness grids, which may be several pictures apart, most likely belong to different shots."""
    if before.shape != after.shape:
        return True
    return _difference(before, after) > _PICTURE and _redistribution(before, after) > _HISTOGRAM


def _first_cut(before: Grid, pictures: Iterable[tuple[float, Grid]], usual: float) -> float | None:
    """The time of the first of the pictures after `before` that begins a shot."""
    for seconds, grid in pictures:
        if _is_cut(before, grid, _difference(before, grid), usual):
            return seconds
        before = grid
    return None


def _is_cut(before: Grid, after: Grid, change: float, usual: float) -> bool:
    """Whether two pictures that differ by `change` belong to two shots, if pictures differ by `usual` otherwise."""
    return change > max(_PICTURE, _OVER_USUAL * usual) and _redistribution(before, after) > _HISTOGRAM


def _difference(before: Grid, after: Grid) -> float:
    """Mean absolute difference of two pictures, 0 to 1. Every picture is compared, so it takes few calls."""
    difference = np.maximum(before, after) - np.minimum(before, after)
    return int(np.add.reduce(difference, axis=None, dtype=np.int64)) / difference.size / 255


def _redistribution(before: Grid, after: Grid) -> float:
    """Share of the samples that change their brightness class, on average over four quarters, 0 to 1."""
    return float(np.mean([_moved(a, b) for a, b in zip(_quarters(before), _quarters(after), strict=True)]))


def _quarters(grid: Grid) -> list[Grid]:
    rows = np.array_split(grid, _BLOCKS, axis=0)
    return [part for row in rows for part in np.array_split(row, _BLOCKS, axis=1)]


def _moved(before: Grid, after: Grid) -> float:
    first = np.bincount(before.ravel() // (256 // _BINS), minlength=_BINS)
    second = np.bincount(after.ravel() // (256 // _BINS), minlength=_BINS)
    return float(np.abs(first - second).sum()) / (2 * before.size)
