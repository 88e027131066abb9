"""Summarizes runs that differ only in their seed: mean and sample standard deviation of their metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import typer

from sentiloc.cli.training.train_options import LARGEST_SEED
from sentiloc.model.files import write_whole

FILE = "seeds.json"


def parse_seeds(text: str) -> list[int]:
    """Parse `0-4`, `0,3,7` or a mixture, in order and without duplicates; a usage error for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise typer.BadParameter(f"{text!r} is not of the form 0-4 or 0,3,7", param_hint="--seeds")
        largest = int(last if dash else first)
        if largest > LARGEST_SEED:
            raise typer.BadParameter(f"{largest} is larger than {LARGEST_SEED}", param_hint="--seeds")
        seeds += range(int(first), largest + 1)
    # A seed that is named twice is run once.
    return list(dict.fromkeys(seeds))


def aggregate(found: Mapping[int, Mapping[str, float]], run: Path) -> None:
    """Write seeds.json and print the table."""
    names = list(dict.fromkeys(name for metrics in found.values() for name in metrics))
    summary: dict[str, dict[str, Any]] = {}
    for name in names:
        values = [metrics[name] for metrics in found.values() if name in metrics]
        summary[name] = {
            "mean": mean(values),
            # A single run has no spread.
            "sd": stdev(values) if len(values) > 1 else None,
            "n": len(values),
        }
    content = {"seeds": {str(seed): dict(metrics) for seed, metrics in found.items()}, "summary": summary}
    write_whole(run / FILE, json.dumps(content, indent=2) + "\n")
    typer.echo("\t".join(("seed", *names)))
    for seed, metrics in found.items():
        typer.echo("\t".join((str(seed), *(f"{metrics[n]:.4f}" if n in metrics else "–" for n in names))))
    typer.echo("\t".join(("mean ± sd", *(_with_spread(row["mean"], row["sd"]) for row in summary.values()))))


def _with_spread(middle: float, spread: float | None) -> str:
    return f"{middle:.4f} ± " + ("–" if spread is None else f"{spread:.4f}")
