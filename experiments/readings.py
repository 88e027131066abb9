"""Compare interpretations of equation 8 and of the base loss: three seeds on small simulated data, two CPU minutes.

    python -m experiments.readings

The paper leaves both open (docs/training.md). The data are 64 training and 40 test videos of 100 snippets, with
simulated features of 12, 10 and 8 values. The network has no attention. The numbers only compare interpretations; they
are not results on TSL300.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.evaluation.metrics import evaluate_detections
from sentiloc.model.fsenet.losses import LossConfig
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.fsenet.scoring import detect, ground_truth, score_items
from sentiloc.model.fsenet.train import TrainConfig, train
from sentiloc.model.segments import SnippetFeatures

RESULTS = Path(__file__).parent / "results" / "readings.json"
SNIPPETS = 100
STRENGTH = {"visual": (12, 0.35), "audio": (10, 0.5), "face": (8, 0.6)}
CONFIG = TrainConfig(
    network=FSENetConfig(
        visual_dim=12,
        audio_shape=(10,),
        face_dim=8,
        width=16,
        heads=2,
        saliency_width=12,
        class_width=8,
        projection_kernel=1,
        stage1=False,
        stage2=False,
    ),
    learning_rate=5e-3,
    epochs=30,
    schedule="cosine",
    clip=1.0,
    precision="fp32",
    optimizer="adam",
)
# Close to the printed form, but with the anchor's prototype and unit length.
VIDEO_PSSC: dict[str, Any] = {"prototypes": "video", "disjoint": False, "temperature": 1.0}
READINGS = {
    "point: eq. 8 added inside windows, base as printed": LossConfig(
        **VIDEO_PSSC, add_inside=True, base="paper"
    ),
    "point: eq. 8 added inside windows, base two-sided": LossConfig(
        **VIDEO_PSSC, add_inside=True, base="bce"
    ),
    "point: 1 - s alone inside windows, base as printed": LossConfig(
        **VIDEO_PSSC, add_inside=False, base="paper"
    ),
    "point: 1 - s alone inside windows, base two-sided": LossConfig(
        **VIDEO_PSSC, add_inside=False, base="bce"
    ),
    "point: step only, base as printed": LossConfig(**VIDEO_PSSC, pseudo_label="step", base="paper"),
    "point: step only, base two-sided": LossConfig(**VIDEO_PSSC, pseudo_label="step", base="bce"),
    "full: base as printed": LossConfig(**VIDEO_PSSC, supervision="full", base="paper"),
    "full: base two-sided": LossConfig(**VIDEO_PSSC, supervision="full", base="bce"),
}


def simulate(videos: int, seed: int) -> list[Item]:
    """Videos with segments of 4 to 40 snippets, points scattered around their middles, and distractor
    bursts.
    """
    rng = np.random.default_rng(seed)
    return [_video(f"{seed}-{index}", rng) for index in range(videos)]


def _video(name: str, rng: np.random.Generator) -> Item:
    activity = np.zeros((SNIPPETS, 2))
    segments, points = [], []
    step, share = int(rng.integers(0, 20)), rng.choice([0.15, 0.5, 0.85])
    while step < SNIPPETS - 6:
        stop = min(SNIPPETS, step + int(np.clip(rng.lognormal(2.4, 0.6), 4, 40)))
        label = int(rng.random() < share)
        activity[step:stop, label] = 1
        segments.append(SegmentLabel(step * 0.64, stop * 0.64, label))
        place = rng.normal((step + stop) / 2, (stop - step) / 2)
        points.append(PointLabel(int(np.clip(place, 0, SNIPPETS - 1)), label))
        step = stop + int(rng.exponential(25)) + 2
    present = np.ones(SNIPPETS, bool)
    features = SnippetFeatures(
        visual=_stream("visual", activity, rng),
        audio=_stream("audio", activity, rng),
        face=_stream("face", activity, rng),
        visual_present=present,
        audio_present=present,
        face_present=present,
    )
    return Item(name=name, features=features, fps=25.0, points=tuple(points), segments=tuple(segments))


def _stream(
    name: str, activity: np.ndarray[tuple[int, int], np.dtype[np.float64]], rng: np.random.Generator
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    width, strength = STRENGTH[name]
    directions = np.random.default_rng(width).normal(size=(2, width)) * strength
    shown = np.repeat(rng.random(SNIPPETS // 4) < 0.75, 4)[:, None]
    noise = rng.normal(size=width) * 0.4 + rng.normal(size=(SNIPPETS, width))
    for start in rng.integers(0, SNIPPETS - 8, 2):
        noise[start : start + 6] += directions[rng.integers(0, 2)]
    return ((activity * shown) @ directions + noise).astype(np.float32)


def measure(loss: LossConfig, seed: int, items: Sequence[Item], test: Sequence[Item]) -> tuple[float, float]:
    """Train one interpretation. Returns the average mAP on the test videos, and the mean non-sentiment score."""
    network = train(replace(CONFIG, loss=loss, seed=seed), items, []).network
    scores = score_items(network, test)
    rest = float(np.mean([scores[item.name].scores[:, -1].mean() for item in test]))
    return evaluate_detections(ground_truth(test), detect(scores, test)).average_map, rest


def main() -> None:
    torch.set_num_threads(1)
    items, test = simulate(64, 1), simulate(40, 2)
    truth = float(np.mean([item.segment_array()[:, 2].mean() for item in test]))
    print(f"simulated; share of non-sentiment snippets: {truth:.2f}")
    rows = {}
    for name, loss in READINGS.items():
        found = np.array([measure(loss, seed, items, test) for seed in range(3)])
        rows[name] = {"average_mAP": found[:, 0].tolist(), "mean_non_sentiment": found[:, 1].tolist()}
        deviation = 100 * found[:, 0].std(ddof=1)
        print(
            f"{name:<52} mAP {100 * found[:, 0].mean():5.1f} ± {deviation:4.1f}"
            f"  non-sentiment {found[:, 1].mean():.2f}",
            flush=True,
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"label": "simulated", "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
