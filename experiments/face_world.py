"""A simulated task in which the face determines which scene or voice counts, and FSENet's ablations on it.

    python -m experiments.face_world [--seeds 0,1,2,3,4] [--rows full,no_stage1]

There are four signs. The first snippets of each video define what each sign means in this video: two are defined in the
scene (visual), two in the voice (audio). Later the face shows one sign at a time, for four snippets each, and these
snippets have the sentiment that the sign means: negative, positive or none. The face alone does not contain the
meaning, and scene and voice alone do not contain the time. So a label can only be found by comparing the face at that
snippet with scene and voice at other snippets, which is equation 1; means over time are not enough. Training is fully
supervised, so that only the attention is tested. A run takes about twelve seconds on one thread. The data are
simulated: they show what the network can learn, and nothing about people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from experiments.mean_attention import STAGES, face_matters, without_attention
from sentiloc.model.data.items import Item, SegmentLabel
from sentiloc.model.fsenet.diagnostics import attention_entropy
from sentiloc.model.fsenet.losses import LossConfig
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.fsenet.scoring import evaluate_items
from sentiloc.model.fsenet.train import TrainConfig, train
from sentiloc.model.segments import FloatArray, SnippetFeatures

Doubles = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results" / "face_world.json"
# Signs, snippets that a sign is shown for, how many are shown in a video, and frames per second.
SIGNS, SPELL, SPELLS, FPS = 4, 4, 9, 25.0
SNIPPET_SECONDS = 16 / FPS
MEANINGS = (0, 1, None)
# Features of each stream, and a sign's size beside the noise: reading a sign is easy, so only comparing is
# hard.
DIMENSIONS, STRENGTH, NOISE = 16, 3.0, 0.3
VIDEOS, TEST_VIDEOS = 400, 40

NETWORK = FSENetConfig(
    visual_dim=DIMENSIONS,
    audio_shape=(DIMENSIONS,),
    face_dim=DIMENSIONS,
    width=32,
    heads=2,
    dropout=0.0,
    projection_kernel=1,
    saliency_width=8,
    class_width=16,
)
PROTOCOL = TrainConfig(
    network=NETWORK,
    loss=LossConfig(supervision="full", base="bce", sc=False),
    learning_rate=3e-3,
    batch_size=16,
    epochs=25,
    schedule="cosine",
    clip=1.0,
    precision="fp32",
)
PLAIN = {"attention": "plain", "position": "none"}
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "full": ({}, {}),
    "no_stage1": ({"stage1": False}, {}),
    "no_stage2": ({"stage2": False}, {}),
    "no_attention": ({"stage1": False, "stage2": False}, {}),
    "no_face": ({"face_dim": None}, {}),
    "plain_adamw": (PLAIN, {}),
    "plain_adam": (PLAIN, {"optimizer": "adam"}),
}


def make_videos(count: int, seed: int) -> list[Item]:
    """Make videos of 4 + 36 snippets."""
    rng = np.random.default_rng(seed)
    return [_video(f"{seed}-{index}", rng) for index in range(count)]


def _video(name: str, rng: Generator) -> Item:
    length = SIGNS + SPELL * SPELLS
    visual, audio, face = (NOISE * rng.normal(size=(length, DIMENSIONS)) for _ in range(3))
    # Each meaning at least once, or a video would have segments of one label only.
    meanings = [MEANINGS[index] for index in rng.permutation([0, 1, 2, int(rng.integers(3))])]
    told = rng.permutation([0, 0, 1, 1])
    for step, sign in enumerate(rng.permutation(SIGNS)):
        stream = audio if told[sign] else visual
        stream[step] += _shown(sign, meanings[sign])
    segments = []
    for start in range(SIGNS, length, SPELL):
        sign = int(rng.integers(SIGNS))
        face[start : start + SPELL, sign] += STRENGTH
        label = meanings[sign]
        if label is not None:
            span = (start * SNIPPET_SECONDS, (start + SPELL) * SNIPPET_SECONDS)
            segments.append(SegmentLabel(*span, label))
    return Item(name=name, features=_features(visual, audio, face), fps=FPS, segments=tuple(segments))


def _shown(sign: int, meaning: int | None) -> FloatArray:
    """Features of one snippet (DIMENSIONS,): a sign and its meaning."""
    values = np.zeros(DIMENSIONS, np.float32)
    values[sign] = values[SIGNS + MEANINGS.index(meaning)] = STRENGTH
    return values


def _features(visual: Doubles, audio: Doubles, face: Doubles) -> SnippetFeatures:
    here = np.ones(len(face), bool)
    return SnippetFeatures(
        visual=visual.astype(np.float32),
        audio=audio.astype(np.float32),
        face=face.astype(np.float32),
        visual_present=here,
        audio_present=here,
        face_present=here,
    )


def run_row(row: str, seed: int, items: Sequence[Item], test: Sequence[Item]) -> dict[str, Any]:
    """Train one row.

    Returns the mAP on test videos, the attention entropy and, for the full network, the effect of its attention.
    """
    network, options = ROWS[row]
    config = replace(PROTOCOL, seed=seed, network=replace(NETWORK, **network), **options)
    trained = train(config, items, [], device="cpu").network
    found: dict[str, Any] = {
        "mAP": evaluate_items(trained, test).average_map,
        "entropy": attention_entropy(trained, test[:8]),
    }
    if row == "full":
        found["face_changes_stage1"] = face_matters(trained, test[:8])
        for stage, names in STAGES.items():
            with without_attention(trained, names):
                found[f"mean_{stage}"] = evaluate_items(trained, test).average_map
    return found


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"label": "simulated", "protocol": asdict(PROTOCOL), "runs": {}}
    for row in arguments.rows.split(","):
        for seed in map(int, arguments.seeds.split(",")):
            items, test = make_videos(VIDEOS, seed), make_videos(TEST_VIDEOS, 1000 + seed)
            report["runs"][f"{row}/{seed}"] = run_row(row, seed, items, test)
            arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        runs = [run for name, run in report["runs"].items() if name.startswith(f"{row}/")]
        values = 100 * np.array([run["mAP"] for run in runs])
        deviation = values.std(ddof=1) if values.size > 1 else 0.0
        entropy = {name: _mean(run["entropy"][name] for run in runs) for name in runs[0]["entropy"]}
        others = {
            name: _mean(run[name] for run in runs) for name in runs[0] if name not in ("mAP", "entropy")
        }
        print(f"{row:<14}{values.mean():5.1f} ± {deviation:4.1f}  entropy {entropy} {others}", flush=True)


if __name__ == "__main__":
    main()
