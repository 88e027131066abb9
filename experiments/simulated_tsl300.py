"""FSENet's ablations on simulated features over TSL300's real timelines, labels and split.

    python -m experiments.simulated_tsl300 DATA/tsl300 [--rows full,no_pssc] [--seeds 0,1,2] [--out FILE]

Each finished run is stored at once and is not repeated, so the command can be interrupted and started again. Each
process uses one thread. The features are simulated (`experiments/simulated_data.py`) and were fixed before the first
training. The network is small (width 64, attention within 32 snippets), so that all rows take about an hour of one
core. Attention and optimiser are as printed in the paper, and PSSC is near it, because the stored runs used them;
`experiments.real_ablations` uses the current ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.simulated_data import SimulationSpec, features_hash, load_simulated
from sentiloc.model.data.items import Item
from sentiloc.model.evaluation.evaluate import to_json
from sentiloc.model.evaluation.metrics import evaluate_detections
from sentiloc.model.fsenet.losses import LossConfig
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.fsenet.scoring import detect, ground_truth, score_items
from sentiloc.model.fsenet.train import TrainConfig, split_items, train
from sentiloc.model.proposals.rule import serving_proposals
from sentiloc.model.proposals.tsl300 import LABELS

LABEL = "simulated features: a regression test of the learning, not a claim about TSL300"
RESULTS = Path(__file__).parent / "results" / "simulated_tsl300.json"
SPLIT_SEED = 0

NETWORK = FSENetConfig(
    visual_dim=1024,
    audio_shape=(512,),
    face_dim=256,
    width=64,
    heads=4,
    projection_kernel=1,
    attention="plain",
    position="none",
    attention_window=32,
    saliency_width=64,
    class_width=32,
)
PROTOCOL = TrainConfig(
    network=NETWORK,
    loss=LossConfig(add_inside=False, base="bce", prototypes="video", disjoint=False, temperature=1.0),
    optimizer="adam",
    learning_rate=2e-3,
    batch_size=4,
    epochs=6,
    schedule="cosine",
    clip=1.0,
    validate_every=3,
    precision="fp32",
)
ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "full": {},
    "no_pssc": {"loss": {"sc": False}},
    "bspg_threshold": {"loss": {"pseudo_label": "threshold"}},
    "bspg_step": {"loss": {"pseudo_label": "step"}},
    "bspg_none": {"loss": {"pseudo_label": "none"}},
    "bspg_gaussian": {"loss": {"pseudo_label": "gaussian"}},
    "no_gsp": {"network": {"gsp": False}},
    "no_stage1": {"network": {"stage1": False}},
    "no_stage2": {"network": {"stage2": False}},
    "audio": {"network": {"visual_dim": None, "face_dim": None}},
    "visual": {"network": {"audio_shape": None, "face_dim": None}},
    "face": {"network": {"audio_shape": None, "visual_dim": None}},
    "audio_visual": {"network": {"face_dim": None}},
    "audio_face": {"network": {"visual_dim": None}},
    "visual_face": {"network": {"audio_shape": None}},
    "video_supervision": {"loss": {"supervision": "video"}},
    "video_erasing": {"loss": {"supervision": "video", "erasing": 0.7}},
    "full_supervision": {"loss": {"supervision": "full", "base": "paper"}},
}


def configure(row: str, seed: int) -> TrainConfig:
    """The protocol with one row's changes."""
    changes = ROWS[row]
    return replace(
        PROTOCOL,
        seed=seed,
        network=replace(NETWORK, **changes.get("network", {})),
        loss=replace(PROTOCOL.loss, **changes.get("loss", {})),
    )


def run_row(row: str, seed: int, items: Sequence[Item], test: Sequence[Item]) -> dict[str, Any]:
    """Train one row, select the epoch on held-out training videos, and score it on the test videos."""
    config = configure(row, seed)
    started = time.perf_counter()
    result = train(config, *split_items(items, config.val_fraction, SPLIT_SEED), device="cpu")
    trained = time.perf_counter()
    scores = score_items(result.network, test)
    truth = ground_truth(test)
    metrics = to_json(evaluate_detections(truth, detect(scores, test)))
    names = dict(zip(("negative", "positive"), LABELS, strict=True))
    served = {
        item.name: [
            proposal._replace(label=names[proposal.label])
            for proposal in serving_proposals(
                scores[item.name].scores, scores[item.name].saliency, item.snippet_seconds
            )
        ]
        for item in test
    }
    return metrics | {
        "serving_rule_average_mAP": evaluate_detections(truth, served).average_map,
        "held_out_mAP": result.best_map,
        "best_epoch": result.best_epoch,
        "train_seconds": round(trained - started, 1),
        "test_seconds": round(time.perf_counter() - trained, 1),
    }


def load_results(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """Load stored runs; exits with an error if the file holds runs of another protocol or of other features."""
    if not path.exists():
        return header | {"runs": {}}
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for key, value in header.items():
        if stored.get(key) != json.loads(json.dumps(value)):
            raise SystemExit(f"{path.name} holds runs with another {key}: move it away first")
    return stored


def store(path: Path, results: dict[str, Any]) -> None:
    """Replace the results file atomically, so that an interruption leaves a complete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def table(results: dict[str, Any]) -> str:
    """Mean ± sd over seeds of every row in per cent, and its difference to the full network."""
    full = _values(results, "full", "average_mAP")
    lines = [LABEL, "", f"{'row':<20}{'average mAP':>14}{'recall':>14}{'F2':>14}{'Δ mAP':>9}  seeds"]
    for row in ROWS:
        values = _values(results, row, "average_mAP")
        if not values.size:
            continue
        shown = [_spread(values), *(_spread(_values(results, row, key)) for key in ("recall", "f2"))]
        delta = f"{100 * (values.mean() - full.mean()):+.2f}" if full.size else ""
        lines.append(f"{row:<20}{shown[0]:>14}{shown[1]:>14}{shown[2]:>14}{delta:>9}  {values.size}")
    return "\n".join(lines)


def _values(results: dict[str, Any], row: str, key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    runs = [run for name, run in results["runs"].items() if name.rpartition("/")[0] == row]
    return np.array([float(np.mean(run[key])) for run in runs])


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    deviation = values.std(ddof=1) if values.size > 1 else 0.0
    return f"{100 * values.mean():.2f} ± {100 * deviation:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the TSL300 annotations")
    parser.add_argument("--rows", default=",".join(ROWS), help="rows to run, in this order")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spec = SimulationSpec()
    items, test = (load_simulated(arguments.data, split, spec) for split in ("train", "test"))
    header = {
        "label": LABEL,
        "spec_hash": spec.spec_hash,
        "features_hash": features_hash([*items, *test]),
        "simulation": asdict(spec),
        "protocol": asdict(PROTOCOL),
    }
    print(f"spec {header['spec_hash']}, features {header['features_hash']}", flush=True)
    results = load_results(arguments.out, header)
    for seed in map(int, arguments.seeds.split(",")):
        for row in arguments.rows.split(","):
            if f"{row}/{seed}" in results["runs"]:
                continue
            run = run_row(row, seed, items, test)
            results["runs"][f"{row}/{seed}"] = run
            store(arguments.out, results)
            print(f"{row}/{seed}: {run['average_mAP']:.4f} in {run['train_seconds']} s", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
