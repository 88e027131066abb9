"""GIM on synthetic videos with planted expressions: are they found from one point each, and do soft labels beat hard
ones?

    python -m experiments.gim_planted [--strategies gim,hard] [--seeds 3]
    python -m experiments.gim_planted --overlaps [--seeds 3]

`--overlaps` runs Table 4 instead: three rules for a frame that two expressions of a class claim, in a world of twice as
many expressions, whose proposals meet; results in experiments/results/gim_overlaps.json.

All data are synthetic (model/gim/synthetic.py). The protocol is leave-one-subject-out, as in MEGC2021. Hyperparameters
(lambda_2, learning rate, decay, resolutions of the flow) were chosen on the fold of subject s00 with seed 0 and "gim".
Each finished run is stored at once in experiments/results/gim_planted.json and is not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from sentiloc.model.gim.evaluation import evaluate_items
from sentiloc.model.gim.items import ExpressionItem
from sentiloc.model.gim.labels import Overlap, Strategy
from sentiloc.model.gim.leave_one_out import leave_one_subject_out
from sentiloc.model.gim.network import GIMConfig
from sentiloc.model.gim.spotting import DEFAULT_RULE, add_counts
from sentiloc.model.gim.synthetic import PlantedExpressions, planted_expressions
from sentiloc.model.gim.training import GIMTrainConfig

RESULT = Path(__file__).parent / "results" / "gim_planted.json"
OVERLAPS = RESULT.with_name("gim_overlaps.json")
CROWDED = PlantedExpressions(macro_count=(5, 8), micro_count=(2, 4), apart=0)
SUBJECTS, VIDEOS, WIDTH = 4, 4, 32


def measure(config: GIMTrainConfig, items: list[ExpressionItem]) -> dict[str, Any]:
    """F1 over all subjects, and the mean distance from pseudo-apex to apex by epoch (Fig. 7)."""
    begun = time.process_time()
    counts, runs, _ = leave_one_subject_out(config, items)
    errors = np.mean([run.apex_errors for run in runs], axis=0)
    subjects = sorted({item.subject for item in items})
    together = [
        evaluate_items(
            run.network, [i for i in items if i.subject == subject], replace(DEFAULT_RULE, class_wise=False)
        )
        for run, subject in zip(runs, subjects, strict=True)
    ]
    return {
        "strategy": config.labels.strategy,
        "overlap": config.labels.overlap,
        "seed": config.seed,
        "f1": {name: round(row.f1, 4) for name, row in counts.items()},
        "f1_one_nms": {name: round(add_counts(row[name] for row in together).f1, 4) for name in counts},
        "counts": {name: row._asdict() for name, row in counts.items()},
        "apex_error_frames": [round(float(value), 2) for value in errors],
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


def summary(runs: list[dict[str, Any]], key: str, value: str) -> str:
    """One row of a table: mean and deviation over the seeds, in the order of the columns."""
    rows = [run for run in runs if run[key] == value]
    points, least, last = (
        spread([take(row["apex_error_frames"]) for row in rows])
        for take in (lambda e: e[0], min, lambda e: e[-1])
    )
    f1 = [spread([row["f1"][name] for row in rows]) for name in ("overall", "macro", "micro")]
    one = spread([row["f1_one_nms"]["overall"] for row in rows if "f1_one_nms" in row] or [float("nan")])
    apex = f"apex off by {points} -> {least} -> {last}"
    return f"{value:<11} F1 {' / '.join(f1)}, one NMS {one}; {apex}; seeds {len(rows)}"


def spread(values: list[float]) -> str:
    """Mean ± sample deviation."""
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f} ± {deviation:.3f}"


def run_missing(result: Path, world: PlantedExpressions, key: str, values: list[str], seeds: int) -> None:
    """Run what is missing of the values of one label option; print and store the figures."""
    items = planted_expressions(world, SUBJECTS, VIDEOS)
    base = GIMTrainConfig(network=GIMConfig(inputs=items[0].flow.shape[1], width=WIDTH)).quick()
    header = json.loads(json.dumps({"data": "synthetic", "world": asdict(world), "recipe": asdict(base)}))
    stored = json.loads(result.read_text()) if result.exists() else {}
    runs = stored["runs"] if {name: stored.get(name) for name in header} == header else []
    done = {(run[key], run["seed"]) for run in runs}
    for seed, value in ((seed, value) for seed in range(seeds) for value in values):
        if (value, seed) in done:
            continue
        options: dict[str, Any] = {key: value}
        labels = replace(base.labels, **options)
        runs.append(measure(replace(base, labels=labels, seed=seed), items))
        result.write_text(json.dumps(header | {"runs": runs}, indent=1) + "\n")
        print(json.dumps(runs[-1]), flush=True)
    for value in dict.fromkeys(run[key] for run in runs):
        print(summary(runs, key, value))


def main() -> None:
    """Run Table 3, or Table 4."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--strategies", default=",".join(get_args(Strategy)))
    parser.add_argument("--overlaps", action="store_true", help="Table 4 instead of Table 3")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.overlaps:
        run_missing(OVERLAPS, CROWDED, "overlap", list(get_args(Overlap)), arguments.seeds)
    else:
        strategies = arguments.strategies.split(",")
        run_missing(RESULT, PlantedExpressions(), "strategy", strategies, arguments.seeds)


if __name__ == "__main__":
    main()
