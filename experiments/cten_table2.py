"""CTEN's Table 2 on planted emotions: one modality or both, without and with each module.

    python -m experiments.cten_table2 [--seeds 3]

All data are synthetic; world and recipe are those of `experiments.cten_planted`. Each finished run is stored at once in
experiments/results/cten_table2.json and is not repeated.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from experiments.cten_planted import measure, recipe
from sentiloc.model.cten.synthetic import PlantedEmotions

RESULT = Path(__file__).parent / "results" / "cten_table2.json"


class Row(NamedTuple):
    """One row of Table 2."""

    modalities: Literal["AV", "A", "V"]
    intra: bool
    inter: bool
    erasing: bool

    def __str__(self) -> str:
        """Modalities and modules, as in the paper."""
        marks = (("intra", self.intra), ("inter", self.inter), ("erasing", self.erasing))
        return f"{self.modalities:<3}" + " ".join(name if on else "-" * len(name) for name, on in marks)


ALONE = ((False, False, False), (True, False, False), (True, False, True))
BOTH = (
    *ALONE[:2],
    (False, True, False),
    (True, True, False),
    ALONE[2],
    (False, True, True),
    (True, True, True),
)
ROWS = (
    *(Row("A", *modules) for modules in ALONE),
    *(Row("V", *modules) for modules in ALONE),
    *(Row("AV", *modules) for modules in BOTH),
)


def run(row: Row, seed: int, world: PlantedEmotions) -> dict[str, Any]:
    """Train and score one row with one seed."""
    config = recipe(world)
    network = replace(config.network, modalities=row.modalities, intra=row.intra, inter=row.inter)
    metrics = measure(replace(config, network=network, seed=seed, erasing=row.erasing), world)
    return metrics | row._asdict()


def line(row: Row, runs: list[dict[str, Any]]) -> str:
    """Mean and sample deviation of a row over its seeds."""
    own = [run for run in runs if all(run[key] == value for key, value in row._asdict().items())]
    parts = []
    for name in ("accuracy", "mAP@0.1", "mAP@0.3", "mAP@0.5"):
        values = np.array([run[name] for run in own])
        deviation = values.std(ddof=1) if len(values) > 1 else 0.0
        parts.append(f"{values.mean():.3f} ± {deviation:.3f}")
    return f"{row!s:<22} {' | '.join(parts)}  seeds {len(own)}"


def main() -> None:
    """Run the missing rows; print and store the metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    world = PlantedEmotions()
    header = {"data": "synthetic", "world": asdict(world), "recipe": asdict(recipe(world))}
    header = json.loads(json.dumps(header))
    stored = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    runs: list[dict[str, Any]] = stored["runs"] if {key: stored.get(key) for key in header} == header else []
    done = {(*(run[key] for key in Row._fields), run["seed"]) for run in runs}
    for seed in range(seeds):
        for row in ROWS:
            if (*row, seed) not in done:
                runs.append(run(row, seed, world))
                RESULT.write_text(json.dumps(header | {"runs": runs}, indent=1) + "\n", encoding="utf-8")
    for row in ROWS:
        print(line(row, runs))


if __name__ == "__main__":
    main()
