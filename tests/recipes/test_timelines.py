"""Timelines follow the given statistics, and points are distributed as those of annotators."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recipes.starter.timelines import Span, TimelineStatistics, draw_points, read_statistics, sample_timeline
from sentiloc.model.spec import NEGATIVE, POSITIVE


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    rows = [("10.0", "14.0", "p"), ("2.0", "5.0", "p"), ("20.0", "21.0", "n"), ("30.0", "90.0", "n")]
    videos = {"a": {"annotations": [{"segment": [start, end], "label": label} for start, end, label in rows]}}
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({"database": videos}), encoding="utf-8")
    return path


def test_statistics_are_read_in_order_of_time(annotated: Path) -> None:
    statistics = read_statistics(annotated)
    assert statistics.lengths.tolist() == [3.0, 4.0, 1.0], "60 s is beyond the longest"
    assert statistics.gaps.tolist() == [5.0, 6.0, 9.0]
    assert statistics.repeat == pytest.approx(2 / 3)
    assert statistics.positive == pytest.approx(0.5)


def test_timelines_have_no_overlap_and_only_known_lengths(annotated: Path) -> None:
    statistics = read_statistics(annotated)
    for seed in range(50):
        spans = sample_timeline(np.random.default_rng(seed), statistics, 60.0)
        assert all(span.end <= 60 for span in spans)
        assert all(b.start - a.end >= 5 - 1e-4 for a, b in pairwise(spans))
        assert {round(span.end - span.start, 3) for span in spans} <= {1.0, 3.0, 4.0}


def test_a_seed_is_a_timeline(annotated: Path) -> None:
    statistics = read_statistics(annotated)
    first, again, other = (sample_timeline(np.random.default_rng(s), statistics, 90.0) for s in (3, 3, 4))
    assert first == again != other


def test_labels_repeat_as_often_as_in_the_statistics() -> None:
    statistics = TimelineStatistics(
        lengths=np.ones(1, np.float32), gaps=np.ones(1, np.float32), repeat=0.85, positive=0.6
    )
    spans = sample_timeline(np.random.default_rng(0), statistics, 8000.0)
    assert np.mean([a.label == b.label for a, b in pairwise(spans)]) == pytest.approx(0.85, abs=0.02)


def test_points_lie_around_the_middle_and_some_beside() -> None:
    spans = [Span(10.0 * i, 10.0 * i + 4, POSITIVE if i % 2 else NEGATIVE) for i in range(2000)]
    points = draw_points(np.random.default_rng(0), spans, outside=0.1)
    assert [point.label for point in points] == [span.label for span in spans]
    inside = np.array([s.start <= p.time <= s.end for s, p in zip(spans, points, strict=True)])
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    offsets = np.array([p.time - s.start for s, p in zip(spans, points, strict=True)])[inside]
    assert offsets.mean() == pytest.approx(2.0, abs=0.1)
    assert min(point.time for point in points) >= 0
