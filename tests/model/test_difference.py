"""The comparison of two results' segments: the same as by trying all pairs, but in much less time."""

from __future__ import annotations

import time

import numpy as np

from sentiloc.model.results import difference
from sentiloc.model.results.difference import compare_segments
from sentiloc.model.segments import Segment


def drawn(count: int, seconds: float, seed: int, longest: float = 3.0) -> list[Segment]:
    """Segments of random places and lengths, some without length, in no order."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.random(count) * seconds, rng.random(count).round(1) * longest
    labels = rng.choice(["negative", "positive"], count)
    return [
        Segment(start=start, end=start + length, label=str(label), confidence=0.5, peak=start)
        for start, length, label in zip(starts.round(1), lengths, labels, strict=True)
    ]


def all_pairs(before: list[Segment], after: list[Segment]) -> dict[int, int]:
    found = [
        (-difference._overlap(one, other), i, j)
        for i, one in enumerate(before)
        for j, other in enumerate(after)
        if one.label == other.label and difference._overlap(one, other) > 0
    ]
    matched: dict[int, int] = {}
    for _, i, j in sorted(found):
        if i not in matched and j not in matched.values():
            matched[i] = j
    return matched


def test_it_finds_what_a_comparison_of_all_pairs_finds() -> None:
    for seed in range(30):
        before, after = drawn(40, 30.0, seed, longest=6.0), drawn(40, 30.0, 100 + seed)
        found = compare_segments(before, after)
        expected = all_pairs(before, after)
        matches = {(id(one.before), id(one.after)) for one in (*found.kept, *found.moved)}
        assert matches == {(id(before[i]), id(after[j])) for i, j in expected.items()}
        assert len(found.lost) == len(before) - len(expected)
        assert len(found.new) == len(after) - len(expected)


def test_thousands_of_segments_take_no_time_for_each_pair() -> None:
    before, after = drawn(6000, 18_000.0, 1), drawn(6000, 18_000.0, 2)
    began = time.process_time()
    compare_segments(before, after)
    # Trying 36 million pairs takes about ten seconds.
    assert time.process_time() - began < 2.0
