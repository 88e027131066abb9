"""The calculated effect of a stride uses the same rule as the service."""

from __future__ import annotations

import numpy as np

from experiments.visual_stride import read_places, with_stride


def test_places_are_counted_anew_from_each_shot() -> None:
    assert read_places(10, 3, frozenset()) == [0, 3, 6, 9]
    assert read_places(10, 3, frozenset({4, 5})) == [0, 3, 4, 5, 8]
    assert read_places(3, 1, frozenset()) == [0, 1, 2]


def test_features_change_linearly_within_a_shot_and_stay_before_the_next() -> None:
    features = np.arange(9, dtype=np.float32)[:, None] ** 2
    cuts = frozenset({5})
    places = read_places(len(features), 3, cuts)
    assert places == [0, 3, 5, 8]
    assert with_stride(features, places, cuts)[:, 0].tolist() == [0, 3, 6, 9, 9, 25, 38, 51, 64]
    assert with_stride(features, places[:3], cuts)[:, 0].tolist() == [0, 3, 6, 9, 9, 25, 25, 25, 25]
    assert np.array_equal(with_stride(features, range(9), frozenset()), features)
