"""Chooses the moments to show: the most certain ones, spread over videos and time, without repeated footage."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sentiloc.model.highlights.moments import KINDS, Footage, Moment
from sentiloc.model.proposals.rule import Floats

_SNIPPETS_COMPARED = 5
_SAME_SCORE, _SAME_LOUDNESS = 0.03, 0.08
_FLAT = 0.02
# A turning point keeps its place if its certainty is at least this share of the most certain moment's.
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
    of_video: defaultdict[str, list[Moment]] = field(default_factory=lambda: defaultdict(list))
    shown: defaultdict[Hashable, _Shown] = field(default_factory=lambda: defaultdict(_Shown))

    def fill(self, moments: Sequence[Moment], count: int) -> None:
        """Take the best of some moments until `count` are chosen, but none whose footage is already shown."""
        taken = set(self.moments)
        # The worth of a moment only falls while others are chosen, so its last value is an upper bound. Only the best
        # moments are computed again, because there may be a hundred thousand.
        bounds = [(-self.worth(one), place) for place, one in enumerate(moments) if one not in taken]
        heapq.heapify(bounds)
        while bounds and len(self.moments) < count:
            bound, place = heapq.heappop(bounds)
            best = moments[place]
            worth = -self.worth(best)
            if worth > bound:
                heapq.heappush(bounds, (worth, place))
            else:
                self._take(best)

    def worth(self, moment: Moment) -> float:
        """Strength after the reductions by the moments chosen so far."""
        same = self.of_video[moment.footage_id]
        # exp(-inf) is 0, so the first moment of a video loses nothing.
        gap = min((_gap(one, moment) for one in same), default=math.inf)
        near = self.spread.nearby * math.exp(-gap / self.spread.reach)
        return float(strength(moment) * self.spread.same_video ** len(same) * (1 - near))

    def _take(self, moment: Moment) -> None:
        """Choose a moment, unless a chosen one shows the same footage."""
        own = self.of_video[moment.footage_id]
        if any(_gap(one, moment) < self.spread.min_apart for one in own):
            return
        look = _look(self.footage[moment.footage_id], moment.peak)
        # Only looks of the same shape can be compared.
        shown = self.shown[moment.kind, look[0].shape, look[1].shape]
        if shown.has_similar(moment.footage_id, look):
            return
        shown.add(moment.footage_id, look)
        own.append(moment)
        self.moments.append(moment)


_Look = tuple[Floats, Floats]
"""Scores (2 k + 1, 3) and loudness (8 k + 1,) around a peak."""


@dataclass(slots=True)
class _Shown:
    """The looks of chosen moments of one kind, of one shape, for comparison with one more at a time."""

    videos: list[str] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)
    loudness: list[Floats] = field(default_factory=list)

    def add(self, video: str, look: _Look) -> None:
        """Add the look of a moment."""
        self.videos.append(video)
        self.scores.append(look[0])
        self.loudness.append(look[1])

    def has_similar(self, video: str, look: _Look) -> bool:
        """Whether another video shows the same footage, such as a copy or a re-encoding of one recording.

        Scores and loudness of the snippets around both peaks are compared. They must vary: two flat curves are similar
        without showing the same footage.
        """
        if not self.videos:
            return False
        scores, loudness = np.array(self.scores), np.array(self.loudness)
        varied = np.ptp(scores[:, :, :2], axis=1).max(axis=1, initial=0.0) >= _FLAT
        # The largest difference, not the mean: one snippet that differs clearly is another scene.
        seen = np.abs(scores - look[0]).max(axis=(1, 2), initial=0.0) <= _SAME_SCORE
        quieter = np.abs(loudness - look[1]).sum(axis=1) / max(1, len(look[1]))
        like = varied & seen & (quieter <= _SAME_LOUDNESS)
        return any(self.videos[place] != video for place in np.flatnonzero(like))


def _gap(one: Moment, other: Moment) -> float:
    """Seconds between two moments; 0 where they overlap."""
    return max(0.0, other.start - one.end, one.start - other.end)


def _look(footage: Footage, peak: float) -> _Look:
    return _window(footage, peak), _loudness(footage, peak)


def _window(footage: Footage, peak: float) -> Floats:
    """Scores (2 k + 1, 3) of the snippets around a peak: both labels and the saliency."""
    curve = footage.result.curve
    middle = int(peak / curve.step)
    inside = slice(max(0, middle - _SNIPPETS_COMPARED), middle + _SNIPPETS_COMPARED + 1)
    columns = [curve.negative[inside], curve.positive[inside], curve.saliency[inside]]
    return np.array(columns, np.float64).T


def _loudness(footage: Footage, peak: float) -> Floats:
    """Loudness around a peak relative to its maximum there, because it is stored relative to each video's maximum."""
    sound = footage.result.sound
    if sound is None:
        return np.zeros(0)
    # Loudness has four values per snippet.
    middle, reach = int(peak / sound.step), _SNIPPETS_COMPARED * 4
    values = np.array(sound.loudness[max(0, middle - reach) : middle + reach + 1], np.float64)
    loudest = float(values.max(initial=0.0))
    return values / loudest if loudest else values
