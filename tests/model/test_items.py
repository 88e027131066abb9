"""Items: labels on the snippet grid."""

from __future__ import annotations

import numpy as np
import pytest

from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.segments import SnippetFeatures


def item(**labels: object) -> Item:
    present = np.ones(10, bool)
    features = SnippetFeatures(
        visual=None,
        audio=None,
        face=np.zeros((10, 2), np.float32),
        visual_present=~present,
        audio_present=~present,
        face_present=present,
    )
    return Item(name="x", features=features, fps=25.0, **labels)  # type: ignore[arg-type]


def test_a_snippet_is_in_a_segment_if_its_middle_is() -> None:
    labels = item(segments=(SegmentLabel(0.64, 1.9, 1), SegmentLabel(3.3, 4.48, 0))).segment_array()
    assert np.flatnonzero(labels[:, 1]).tolist() == [1, 2]
    assert np.flatnonzero(labels[:, 0]).tolist() == [5, 6]
    assert np.flatnonzero(labels[:, 2]).tolist() == [0, 3, 4, 7, 8, 9]


def test_a_segment_shorter_than_a_snippet_keeps_one_and_one_past_the_end_is_clipped() -> None:
    labels = item(segments=(SegmentLabel(1.3, 1.4, 1), SegmentLabel(60.0, 70.0, 0))).segment_array()
    assert np.flatnonzero(labels[:, 1]).tolist() == [2]
    assert np.flatnonzero(labels[:, 0]).tolist() == [9]


def test_video_classes_come_from_points_and_only_without_them_from_segments() -> None:
    segments = (SegmentLabel(0.0, 1.0, 0),)
    assert item(points=(PointLabel(3, 1),), segments=segments).video_classes().tolist() == [False, True]
    assert item(segments=segments).video_classes().tolist() == [True, False]
    assert item().video_classes().tolist() == [False, False]


def test_labels_outside_the_video_are_refused() -> None:
    with pytest.raises(ValueError, match="point in snippet 10 of 10"):
        item(points=(PointLabel(10, 1),))
    with pytest.raises(ValueError, match="ignored"):
        item(ignored=np.zeros(9, bool))
