"""Chooses the moments to show: the most certain ones, spread over videos and time, without repeated footage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sentiloc.model.highlights.moments import Footage, Moment

_SNIPPETS_COMPARED = 5
_SAME_SCORE, _SAME_LOUDNESS = 0.03, 0.08
_FLAT = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How strongly the choice is spread.

    Each moment already chosen from a video multiplies the worth of its others by `same_video`. A chosen moment nearby
    in the same video lowers it by up to `nearby`, falling off exponentially within `reach` seconds. Moments closer than
    `min_apart` seconds are near-duplicates: only one is taken.
    """

    same_video: float = 0.8
    nearby: float = 0.3
    reach: float = 20.0
    min_apart: float = 1.0


DEFAULT_SPREAD = Spread()


def choose(
    moments: Sequence[Moment],
    footage: Mapping[str, Footage],
    count: int,
    spread: Spread = DEFAULT_SPREAD,
) -> tuple[Moment, ...]:
    """At most `count` moments, the best first.

    Greedy: each step takes the moment with the highest confidence after the reductions of `spread`. So videos without a
    chosen moment are preferred, but a poor moment is not chosen just for its video.
    """
    chosen = _Chosen(footage, spread)
    left = sorted(moments, key=lambda one: (-one.confidence, one.footage_id, one.start))
    while left and len(chosen.moments) < count:
        best = max(left, key=chosen.worth)
        left.remove(best)
        if not chosen.has_like(best):
            chosen.moments.append(best)
    return tuple(chosen.moments)


@dataclass(slots=True)
class _Chosen:
    footage: Mapping[str, Footage]
    spread: Spread
    moments: list[Moment] = field(default_factory=list)

    def worth(self, moment: Moment) -> float:
        """Confidence after the reductions by the moments chosen so far."""
        same = [one for one in self.moments if one.footage_id == moment.footage_id]
        gap = min((_gap(one, moment) for one in same), default=math.inf)
        near = self.spread.nearby * math.exp(-gap / self.spread.reach)
        return float(moment.confidence * self.spread.same_video ** len(same) * (1 - near))

    def has_like(self, moment: Moment) -> bool:
        """True if a chosen moment shows the same footage."""
        return any(self._is_like(one, moment) for one in self.moments)

    def _is_like(self, one: Moment, other: Moment) -> bool:
        if one.footage_id == other.footage_id:
            return _gap(one, other) < self.spread.min_apart
        if one.kind != other.kind:
            return False
        return is_same_footage(self.footage[one.footage_id], one, self.footage[other.footage_id], other)


def _gap(one: Moment, other: Moment) -> float:
    """Seconds between two moments; 0 where they overlap."""
    return max(0.0, other.start - one.end, one.start - other.end)


def is_same_footage(first: Footage, one: Moment, second: Footage, other: Moment) -> bool:
    """True if two videos show the same footage around two moments, such as copies or re-encodings of one recording.

    Scores and loudness of the snippets around both peaks are compared. They must vary: two flat curves are similar
    without showing the same footage.
    """
    a, b = _window(first, one.peak), _window(second, other.peak)
    if a.shape != b.shape or float(np.ptp(a[:, :2], axis=0).max(initial=0.0)) < _FLAT:
        return False
    heard = _loudness(first, one.peak), _loudness(second, other.peak)
    if heard[0].shape != heard[1].shape:
        return False
    quieter = float(np.abs(heard[0] - heard[1]).mean()) if heard[0].size else 0.0
    return bool(np.abs(a - b).max() <= _SAME_SCORE) and quieter <= _SAME_LOUDNESS


def _window(footage: Footage, peak: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Scores (2 k + 1, 3) of the snippets around a peak: both labels and the saliency."""
    curve = footage.result.curve
    middle = int(peak / curve.step)
    inside = slice(max(0, middle - _SNIPPETS_COMPARED), middle + _SNIPPETS_COMPARED + 1)
    columns = [curve.negative[inside], curve.positive[inside], curve.saliency[inside]]
    return np.array(columns, np.float64).T


def _loudness(footage: Footage, peak: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Loudness around a peak relative to its maximum there, because it is stored relative to each video's maximum."""
    sound = footage.result.sound
    if sound is None:
        return np.zeros(0)
    middle, reach = int(peak / sound.step), _SNIPPETS_COMPARED * 4
    values = np.array(sound.loudness[max(0, middle - reach) : middle + reach + 1], np.float64)
    loudest = float(values.max(initial=0.0))
    return values / loudest if loudest else values
