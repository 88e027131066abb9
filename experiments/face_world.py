"""A simulated world where the face tells which scene or voice to trust, and what each part of FSENet makes of it.

    python -m experiments.face_world [--seeds 0,1,2,3,4] [--rows full,no_stage1]

Four signs. Each video opens by showing what each sign means today: two of them in the scene (visual), two in the voice
(audio). Later the face shows one sign at a time, in spells of four snippets, and a spell conveys what its sign means:
negative, positive or nothing. The face alone knows no meaning; scene and voice alone know no time. A snippet's label
follows only from comparing the face there with scene and voice elsewhere, which is equation 1; means over time cannot
tell. Full supervision, so that the attention is measured and not the labels; about twelve seconds of one thread a run.
Simulated: it says what the network can learn, nothing about people.
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
SIGNS, SPELL, SPELLS, FPS = 4, 4, 9, 25.0
SNIPPET_SECONDS = 16 / FPS
MEANINGS = (0, 1, None)
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
    """Videos of 4 + 36 snippets."""
    rng = np.random.default_rng(seed)
    return [_video(f"{seed}-{index}", rng) for index in range(count)]


def _video(name: str, rng: Generator) -> Item:
    length = SIGNS + SPELL * SPELLS
    visual, audio, face = (NOISE * rng.normal(size=(length, DIMENSIONS)) for _ in range(3))
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
    """One step's features (DIMENSIONS,): a sign and what it means."""
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
    """Train one row; mAP on other videos, attention entropy, and for the full network what its attention is worth."""
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
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")
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
