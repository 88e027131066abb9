"""Compares the segments of two results: kept, moved, lost or new. Does not use numpy."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from sentiloc.model.segments import Segment

TOLERANCE_SECONDS = 0.05
"""Edges that differ by at most this many seconds are equal: an edge lies between snippets of 0.64 s."""


@dataclass(frozen=True, slots=True)
class Match:
    """A segment of the first result, and the matching segment of the second."""

    before: Segment
    after: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All segments of two results, each once. `kept` ones have the same edges; `moved` ones overlap."""

    kept: tuple[Match, ...]
    moved: tuple[Match, ...]
    lost: tuple[Segment, ...]
    new: tuple[Segment, ...]


def compare_segments(
    before: Sequence[Segment], after: Sequence[Segment], tolerance: float = TOLERANCE_SECONDS
) -> Difference:
    """Match segments of the same label, those that overlap most first, each with one other at most.

    Args:
        before: Segments of the first result.
        after: Segments of the second result.
        tolerance: Seconds that an edge may differ in a segment that counts as kept.

    Returns:
        The matches in the order of the first result's segments, and what has no match.
    """
    neighbours = _Neighbours(after)
    pairs = [
        (overlap, i, j)
        for i, one in enumerate(before)
        for j in neighbours.candidates(one)
        if (overlap := _overlap(one, after[j])) > 0
    ]
    matched: dict[int, int] = {}
    taken: set[int] = set()
    # Ties by position, so that the comparison is the same in every run.
    for _, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if i not in matched and j not in taken:
            matched[i] = j
            taken.add(j)
    matches = [Match(before[i], after[j]) for i, j in sorted(matched.items())]
    return Difference(
        kept=tuple(match for match in matches if _is_same(match, tolerance)),
        moved=tuple(match for match in matches if not _is_same(match, tolerance)),
        lost=tuple(one for i, one in enumerate(before) if i not in matched),
        new=tuple(one for j, one in enumerate(after) if j not in taken),
    )


class _Neighbours:
    """Finds the segments of a label that may overlap one, without looking at all of them."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        places: dict[str, list[int]] = {}
        for place, segment in enumerate(segments):
            places.setdefault(segment.label, []).append(place)
        self._of_label: dict[str, tuple[list[int], list[float], list[float]]] = {}
        for label, of_label in places.items():
            of_label.sort(key=lambda place: segments[place].start)
            starts = [segments[place].start for place in of_label]
            # The latest end up to each segment never decreases, so it can be searched like the starts.
            ends = list(accumulate((segments[place].end for place in of_label), max))
            self._of_label[label] = (of_label, starts, ends)

    def candidates(self, one: Segment) -> list[int]:
        """The places of all that overlap a segment or touch it, and maybe of some that end before it."""
        places, starts, ends = self._of_label.get(one.label, ([], [], []))
        return places[bisect_left(ends, one.start) : bisect_right(starts, one.end)]


def _overlap(one: Segment, other: Segment) -> float:
    """Temporal intersection over union."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    joined = max(one.end, other.end) - min(one.start, other.start)
    # Two segments without length cannot overlap; at the same moment they are the same.
    return shared / joined if joined > 0 else float(one.start == other.start)


def _is_same(match: Match, tolerance: float) -> bool:
    edges = (match.before.start - match.after.start, match.before.end - match.after.end)
    return all(abs(edge) <= tolerance for edge in edges)
