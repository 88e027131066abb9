"""`sentiloc evaluate`: predictions against ground truth by a benchmark's protocol, beside published figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.model.evaluation.evaluate import Evaluation

SOURCE = "FSENet, arXiv 2603.14750v1, Table 1 (TSL300)"
# setting, method, mAP at tIoU 0.1 / 0.15 / 0.2 / 0.25 / 0.3, recall, F2, average mAP; percent
TABLE_1 = (
    ("full", "VAANet", 28.01, 24.95, 20.68, 16.45, 12.50, 69.82, 39.59, 20.51),
    ("full", "AFSD", 33.44, 27.09, 21.78, 16.64, 11.76, 75.10, 31.78, 22.14),
    ("full", "FSENet", 28.02, 25.45, 22.63, 18.93, 14.33, 79.58, 30.37, 21.87),
    ("video", "CoLA", 11.87, 10.14, 8.11, 6.83, 4.98, 64.07, 21.19, 8.38),
    ("video", "UM", 14.77, 13.28, 10.77, 8.41, 6.54, 55.33, 23.94, 10.75),
    ("video", "DDG-Net", 16.13, 12.19, 9.91, 8.47, 6.93, 66.38, 23.82, 10.72),
    ("video", "ISSF", 13.83, 11.15, 9.30, 6.87, 5.14, 45.65, 25.17, 9.26),
    ("video", "TSL", 14.10, 11.35, 8.77, 6.36, 4.47, 31.84, 27.40, 9.01),
    ("video", "FSENet", 19.15, 15.12, 11.91, 9.35, 7.12, 58.11, 30.00, 12.53),
    ("point", "LACP", 17.25, 14.46, 12.47, 9.59, 7.76, 66.92, 25.01, 12.30),
    ("point", "SF-Net", 20.26, 18.09, 15.01, 12.38, 9.76, 59.55, 32.61, 15.10),
    ("point", "HR-Pro stage 1", 19.77, 17.10, 14.71, 11.38, 8.86, 62.23, 22.82, 14.36),
    ("point", "HR-Pro stage 2", 27.24, 23.13, 19.85, 15.96, 11.83, 73.60, 32.21, 19.60),
    ("point", "TSL", 28.72, 24.92, 20.46, 16.10, 11.83, 71.14, 35.36, 20.40),
    ("point", "FSENet", 29.31, 25.47, 22.49, 16.76, 13.24, 75.02, 33.67, 21.45),
)


def evaluate(
    ground_truth: Annotated[Path, typer.Option(help="Annotated segments (gt.json).")],
    predictions: Annotated[Path, typer.Option(help="Proposals of a model, in the benchmark's layout.")],
    protocol: Annotated[str, typer.Option(help="Evaluation protocol.")] = "tsl300",
    subset: Annotated[str, typer.Option(help="Videos of the ground truth to score.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Score predictions by the benchmark's protocol: mAP, precision, recall, F2 and the kinds of error."""
    from sentiloc.model.evaluation.evaluate import PROTOCOLS, evaluate_files, to_json

    if protocol not in PROTOCOLS:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"no protocol is called {protocol!r}; known: {', '.join(PROTOCOLS)}"
        )
    found = evaluate_files(ground_truth, predictions, subset)
    if as_json:
        typer.echo(json.dumps(to_json(found.metrics)))
    else:
        _print_tables(found)


def _print_tables(found: Evaluation) -> None:
    from rich.console import Console

    console = Console()
    console.print(f"{found.proposals} proposals for {found.videos} videos")
    for table in (_figures_table(found), _class_table(found), _error_table(found)):
        console.print(table)


def _figures_table(found: Evaluation) -> object:
    """Table 1 of the paper with these predictions as its last row, in percent."""
    from rich.table import Table

    metrics = found.metrics
    table = Table(title="mAP at tIoU, percent", caption=f"published rows: {SOURCE}")
    for heading in ("setting", "method", *map(str, metrics.tious), "recall", "F2", "mean mAP"):
        table.add_column(heading, justify="left" if heading in ("setting", "method") else "right")
    for setting, method, *figures in TABLE_1:
        table.add_row(setting, method, *(f"{value:.2f}" for value in figures))
    recall, f2 = (sum(values) / len(values) for values in (metrics.recall, metrics.f2))
    table.add_section()
    own = (*metrics.mean_ap, recall, f2, metrics.average_map)
    table.add_row("", "these predictions", *(f"{100 * value:.2f}" for value in own), style="bold")
    return table


def _class_table(found: Evaluation) -> object:
    from rich.table import Table

    metrics = found.metrics
    table = Table(title="These predictions by class and tIoU, percent")
    table.add_column("tIoU", justify="right")
    for heading in (*(f"AP {name}" for name in metrics.classes), "precision", "recall", "F2"):
        table.add_column(heading, justify="right")
    rows = zip(metrics.tious, metrics.ap, metrics.precision, metrics.recall, metrics.f2, strict=True)
    for tiou, ap, precision, recall, f2 in rows:
        table.add_row(f"{tiou}", *(f"{100 * value:.2f}" for value in (*ap, precision, recall, f2)))
    return table


def _error_table(found: Evaluation) -> object:
    from rich.table import Table

    from sentiloc.model.evaluation.diagnosis import KINDS

    table = Table(title=f"What the proposals are, at tIoU {found.errors.tiou}")
    table.add_column("kind")
    table.add_column("share", justify="right")
    table.add_column("meaning (α = match, β = 0.1)")
    for kind, share in found.errors.shares.items():
        table.add_row(kind.replace("_", " "), f"{100 * share:.1f} %", KINDS[kind])
    return table
