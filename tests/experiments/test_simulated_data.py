"""The simulated world is the frozen one, is drawn the same every time, and keeps what is annotated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments.simulated_data import STYLES, SimulationSpec, directions, features_hash, simulate_item
from experiments.simulated_tsl300 import ROWS, configure, table
from sentiloc.model.data.items import SegmentLabel
from sentiloc.model.fsenet.datasets import Annotations, Problems, read_annotations
from sentiloc.model.fsenet.network import FSENet
from tests.support.shared_files import data_folder

FROZEN = "f8f150cd2ae6cc7c"
SPEC = SimulationSpec()
LABELS = Annotations(
    fps={"one": 25.0, "two": 30.0},
    durations={"one": 200.0, "two": 90.0},
    segments={"one": (SegmentLabel(20.0, 60.0, 0), SegmentLabel(100.0, 150.0, 1)), "two": ()},
    points={"one": ((1000, 0), (3100, 1))},
)


def test_the_world_was_not_changed_after_training_began() -> None:
    assert SPEC.spec_hash == FROZEN


def test_a_video_is_drawn_the_same_whatever_came_before() -> None:
    first = simulate_item("one", LABELS, SPEC)
    simulate_item("two", LABELS, SPEC)
    assert features_hash([first]) == features_hash([simulate_item("one", LABELS, SPEC)])
    assert features_hash([first]) != features_hash([simulate_item("one", LABELS, replace(SPEC, seed=1))])


def test_shapes_labels_and_absent_faces() -> None:
    item = simulate_item("one", LABELS, SPEC)
    snippets = int(200 * 25 / 16)
    features = item.features
    assert [features.visual.shape, features.audio.shape, features.face.shape] == [  # type: ignore[union-attr]
        (snippets, 1024),
        (snippets, 512),
        (snippets, 256),
    ]
    assert features.face is not None
    assert not features.face[~features.face_present].any()
    assert item.points == ((1000 // 16, 0), (3100 // 16, 1))
    assert item.segments == LABELS.segments["one"]


@pytest.mark.parametrize("stream", ["visual", "audio", "face"])
def test_a_stream_shows_sentiment_only_partly(stream: str) -> None:
    """Even along the directions that positive sentiment is drawn in, it separates far from perfectly."""
    items = [simulate_item(name, replace(LABELS, **_copies(name)), SPEC) for name in "abcdef"]
    x = np.concatenate([getattr(item.features, stream) for item in items])
    positive = np.concatenate([item.segment_array()[:, 1] for item in items]) > 0.5
    shown = x @ directions(stream, SPEC)[STYLES : 2 * STYLES].sum(axis=0)
    assert 0.55 < (shown[positive][:, None] > shown[~positive]).mean() < 0.95


def _copies(name: str) -> dict[str, Any]:
    """The labels of the first video under another name."""
    return {
        field: {name: getattr(LABELS, field)["one"]} for field in ("fps", "durations", "segments", "points")
    }


def test_real_labels_are_kept() -> None:
    folder = data_folder("tsl300")
    problems = Problems()
    labels = read_annotations(folder, None, problems)
    problems.check()
    item = simulate_item("1_Ekman6_disgust_3", labels, SPEC)
    assert item.segments == labels.segments[item.name]
    assert {(point.snippet, point.class_index) for point in item.points} == {
        (frame // 16, index) for frame, index in labels.points[item.name]
    }


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_network_that_can_be_built(row: str) -> None:
    config = configure(row, seed=1)
    assert config.seed == 1
    FSENet(config.network)


def test_the_table_states_its_kind() -> None:
    runs = {
        f"{row}/{seed}": {"average_mAP": value, "recall": [0.5], "f2": [0.3]}
        for row, value in (("full", 0.2), ("no_gsp", 0.1))
        for seed in range(3)
    }
    text = table({"runs": runs})
    assert "not a claim about TSL300" in text
    assert "-10.00" in text
