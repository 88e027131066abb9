"""Processor seconds that the benchmark's protocol and the serving rule take, on one core.

    python -m bench.protocol GROUND_TRUTH.json PREDICTIONS.json [--out FILE]

The table gives processor time, the best of several runs, so other processes hardly matter.
"""

from __future__ import annotations

import time
import timeit
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import benchmark_parser, save
from sentiloc.model.evaluation.diagnosis import error_breakdown
from sentiloc.model.evaluation.evaluate import read_ground_truth, read_predictions
from sentiloc.model.evaluation.metrics import evaluate_detections
from sentiloc.model.proposals.rule import select_segments
from sentiloc.model.proposals.tsl300 import tsl300_proposals, video_scores
from sentiloc.model.segments import FrameScores

RESULTS = Path(__file__).parent / "results" / "protocol.json"
STEP = 0.64


def wandering_scores(snippets: int, seed: int = 0) -> NDArray[np.float64]:
    """Scores and saliency (T, 4) that change often: a random walk that is pulled back to one half."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(snippets, 4)), axis=0)
    slow = np.stack([np.convolve(column, np.ones(51) / 51, "same") for column in walk.T], axis=1)
    values: NDArray[np.float64] = 1 / (1 + np.exp(slow - walk))
    return values


def measure(ground_truth: Path, predictions: Path) -> dict[str, Any]:
    """All times in seconds, by name."""
    truth, found = read_ground_truth(ground_truth), read_predictions(predictions)
    times: dict[str, Any] = {
        "proposals": sum(map(len, found.values())),
        "evaluate_detections": best(lambda: evaluate_detections(truth, found)),
        "error_breakdown": best(lambda: error_breakdown(truth, found)),
        "read_predictions": best(lambda: read_predictions(predictions)),
    }
    for minutes in (4, 60):
        values = wandering_scores(int(minutes * 60 / STEP))
        scores, saliency = values[:, :3], values[:, 3]
        frames = FrameScores(scores=scores.astype(np.float32), saliency=saliency.astype(np.float32))
        means = video_scores(scores)
        times[f"tsl300_proposals_{minutes}_min"] = best(
            lambda s=scores, m=means: tsl300_proposals(s, m, 25.0)
        )
        times[f"select_segments_{minutes}_min"] = best(
            lambda f=frames: select_segments(f, STEP, threshold=0.3)
        )
    return times


def best(work: Any, repeats: int = 15) -> float:
    """Shortest of several runs."""
    return round(min(timeit.repeat(work, time.process_time, number=1, repeat=repeats)), 4)


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("predictions", type=Path)
    arguments = parser.parse_args()
    times = measure(arguments.ground_truth, arguments.predictions)
    for name, value in times.items():
        print(f"{name:<28}{value:>10}")
    save(arguments.out, times)


if __name__ == "__main__":
    main()
