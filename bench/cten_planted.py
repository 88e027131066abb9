"""CTEN on planted emotions: does training from one label per video find them, and does erasing help?

    python -m bench.cten_planted [--seeds 3]

All data are synthetic (model/cten/synthetic.py). The rule that makes segments was chosen on the split "val"; this
trains on "train" and measures on "test". Writes bench/results/cten_planted.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.cten.items import EmotionItem
from model.cten.network import CTENConfig
from model.cten.synthetic import PlantedEmotions, planted_emotions
from model.cten.training import CTENTrainConfig, accuracy, detection, score_items, train_cten

RESULT = Path(__file__).parent / "results" / "cten_planted.json"
TRAIN, TEST, WIDTH, EPOCHS = 240, 240, 32, 30


def recipe(world: PlantedEmotions, *, erasing: bool, seed: int) -> CTENTrainConfig:
    """The run that is measured: theta 0.7, Adam, the same epochs with and without erasing."""
    network = CTENConfig(
        visual_dim=world.visual_dim, audio_dim=world.audio_dim, classes=world.classes, width=WIDTH
    )
    return replace(CTENTrainConfig(network=network, erasing=erasing, seed=seed).quick(), epochs=EPOCHS)


def measure(config: CTENTrainConfig, train: list[EmotionItem], test: list[EmotionItem]) -> dict[str, Any]:
    """Accuracy, mAP per tIoU, share of segments that equation 9 would erase, CPU seconds of training."""
    begun = time.process_time()
    network = train_cten(config, train).network
    seconds = time.process_time() - begun
    erased = [(scores.attention >= config.theta).all(axis=1).mean() for scores in score_items(network, test)]
    return {
        "seed": config.seed,
        "erasing": config.erasing,
        "accuracy": round(accuracy(network, test), 4),
        "mAP": {str(tiou): round(value, 4) for tiou, value in detection(network, test).items()},
        "erasable_share": round(float(np.mean(erased)), 4),
        "cpu_seconds": round(seconds, 1),
    }


def mean_row(rows: list[dict[str, Any]], erasing: bool) -> dict[str, float]:
    """Means over the seeds."""
    chosen = [row for row in rows if row["erasing"] is erasing]
    tious = chosen[0]["mAP"]
    return {"accuracy": float(np.mean([row["accuracy"] for row in chosen]))} | {
        f"mAP@{tiou}": float(np.mean([row["mAP"][tiou] for row in chosen])) for tiou in tious
    }


def main() -> None:
    """Train with and without erasing for each seed; print and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    world = PlantedEmotions()
    train, test = planted_emotions(world, TRAIN, "train"), planted_emotions(world, TEST, "test")
    rows = []
    for seed in range(seeds):
        for erasing in (True, False):
            rows.append(measure(recipe(world, erasing=erasing, seed=seed), train, test))
            print(json.dumps(rows[-1]), flush=True)
    summary = {"with": mean_row(rows, True), "without": mean_row(rows, False)}
    result = {"data": "synthetic", "world": asdict(world), "runs": rows, "mean": summary}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    for name, figures in summary.items():
        print(name, " ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
