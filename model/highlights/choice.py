"""Chooses the moments to show: the most certain ones, spread over videos and time, without repeated footage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sentiloc.model.highlights.moments import KINDS, Footage, Moment

_SNIPPETS_COMPARED = 5
_SAME_SCORE, _SAME_LOUDNESS = 0.03, 0.08
_FLAT = 0.02
# A turning point keeps its place if it is at least so certain as a share of the most certain moment.
_LEAST_TURN = 0.5


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

    Greedy: each step takes the moment with the highest `strength` after what `spread` takes off. Videos without a
    chosen moment are therefore preferred, but a poor moment is not taken for the sake of its video alone.
    A turning point shows the same footage as the two segments that it joins, so it cannot be taken after one of them.
    Therefore one place in three is first given to turning points that are certain enough. Then all kinds compete.
    """
    chosen = _Chosen(footage, spread)
    ordered = sorted(moments, key=lambda one: (-strength(one), one.footage_id, one.start))
    certain = _LEAST_TURN * strength(ordered[0]) if ordered else 0.0
    turns = [one for one in ordered if one.kind == "turning_point" and strength(one) >= certain]
    segments = len(moments) - sum(one.kind == "turning_point" for one in moments)
    # Limited by the number of segments, too: each turning point uses up two of them.
    chosen.fill(turns, min(count, segments) // len(KINDS))
    chosen.fill(ordered, count)
    # The order of choice reflects the spread; ranks are by strength alone.
    return tuple(sorted(chosen.moments, key=lambda one: -strength(one)))


def strength(moment: Moment) -> float:
    """The value by which moments of all kinds are ranked, 0-1: the confidence of one segment.

    A turning point's confidence is the product of two. Its root, their geometric mean, compares with a segment's.
    """
    return math.sqrt(moment.confidence) if moment.kind == "turning_point" else moment.confidence


@dataclass(slots=True)
class _Chosen:
    footage: Mapping[str, Footage]
    spread: Spread
    moments: list[Moment] = field(default_factory=list)

    def fill(self, moments: Sequence[Moment], count: int) -> None:
        """Take the best of some moments until `count` are chosen, but none whose footage is shown already."""
        left = [one for one in moments if one not in self.moments]
        while left and len(self.moments) < count:
            best = max(left, key=self.worth)
            left.remove(best)
            if not self.has_like(best):
                self.moments.append(best)

    def worth(self, moment: Moment) -> float:
        """Strength after the reductions by the moments chosen so far."""
        same = [one for one in self.moments if one.footage_id == moment.footage_id]
        # exp(-inf) is 0, so the first moment of a video loses nothing.
        gap = min((_gap(one, moment) for one in same), default=math.inf)
        near = self.spread.nearby * math.exp(-gap / self.spread.reach)
        return float(strength(moment) * self.spread.same_video ** len(same) * (1 - near))

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
    # The largest difference, not the mean: one snippet that differs clearly is another scene.
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
    # Loudness has four values per snippet.
    middle, reach = int(peak / sound.step), _SNIPPETS_COMPARED * 4
    values = np.array(sound.loudness[max(0, middle - reach) : middle + reach + 1], np.float64)
    loudest = float(values.max(initial=0.0))
    return values / loudest if loudest else values
