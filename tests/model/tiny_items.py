"""Small labelled videos whose features carry their labels, for tests of training."""

from __future__ import annotations

import numpy as np

from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.fsenet.train import TrainConfig
from sentiloc.model.segments import SnippetFeatures

WIDTHS = {"visual": 6, "audio": 5, "face": 4}
TINY_TRAINING = TrainConfig(
    network=FSENetConfig(
        visual_dim=6, audio_shape=(5,), face_dim=4, width=16, heads=2, saliency_width=8, class_width=8
    ),
    learning_rate=1e-3,
    epochs=2,
    batch_size=4,
)
LONG_TRAINING = TrainConfig(
    network=TINY_TRAINING.network,
    learning_rate=1e-3,
    epochs=12,
    batch_size=2,
    validate_every=2,
    checkpoint_seconds=0.0,
    stream_dropout=0.2,
)


def tiny_items(count: int, seed: int) -> list[Item]:
    """Videos of 30 to 50 snippets at 25 fps with one or two segments of 8 snippets."""
    rng = np.random.default_rng(seed)
    return [_tiny_item(f"video{index:02d}", rng) for index in range(count)]


def _tiny_item(name: str, rng: np.random.Generator) -> Item:
    time = int(rng.integers(30, 50))
    activity = np.zeros((time, 2), np.float32)
    segments, points = [], []
    for place in range(int(rng.integers(1, 3))):
        start, index = int(rng.integers(2, 6)) + 14 * place, int(rng.integers(0, 2))
        activity[start : start + 8, index] = 1
        segments.append(SegmentLabel(start * 0.64, (start + 8) * 0.64, index))
        points.append(PointLabel(start + 4, index))
    directions = np.random.default_rng(0)
    streams = {}
    for stream, width in WIDTHS.items():
        signal = 3 * activity @ directions.normal(size=(2, width))
        streams[stream] = (signal + rng.normal(size=(time, width))).astype(np.float32)
    features = SnippetFeatures(
        visual=streams["visual"],
        audio=streams["audio"],
        face=streams["face"],
        visual_present=rng.random(time) > 0.1,
        audio_present=rng.random(time) > 0.1,
        face_present=rng.random(time) > 0.1,
    )
    return Item(name=name, features=features, fps=25.0, points=tuple(points), segments=tuple(segments))
