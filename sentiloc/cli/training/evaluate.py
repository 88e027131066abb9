"""`sentiloc evaluate`: a run on a split, or predictions against ground truth, by a benchmark's protocol, beside
published metrics.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentiloc.cli.given import given_options, refuse
from sentiloc.cli.output import whole_file
from sentiloc.cli.training.tables import REFERENCES, SOURCE, Reference, counted
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import write_whole

if TYPE_CHECKING:
    from sentiloc.cli.training.runs import Run
    from sentiloc.model.evaluation.evaluate import Evaluation


def evaluate(
    context: typer.Context,
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run folder, or a checkpoint in one.")
    ] = None,
    ground_truth: Annotated[
        Path | None, typer.Option(help="Without RUN: annotated segments (gt.json).")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Without RUN: proposals of a model, in the benchmark's layout.")
    ] = None,
    split: Annotated[str, typer.Option(help="With RUN: the split of the data folder.")] = "test",
    data: Annotated[
        Path | None, typer.Option(help="With RUN: the data folder; default: the one of the training.")
    ] = None,
    protocol: Annotated[str, typer.Option(help=f"Evaluation protocol: {', '.join(REFERENCES)}.")] = "tsl300",
    subset: Annotated[str, typer.Option(help="Without RUN: videos of the ground truth to score.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as one JSON object.")] = False,
) -> None:
    """Score a run or predictions: mAP by tIoU and class, precision, recall, F2 and the kinds of error.

    With RUN, writes predictions.json, metrics.json and curves.png to RUN/evaluation/SPLIT.
    """
    from sentiloc.model.evaluation.evaluate import evaluate_files

    given = given_options(context)
    if protocol not in REFERENCES:
        raise typer.BadParameter(
            f"{protocol!r} is not one of {', '.join(REFERENCES)}", param_hint="--protocol"
        )
    if run is not None:
        if ground_truth or predictions:
            raise typer.BadParameter("give RUN, or both files", param_hint="--ground-truth, --predictions")
        refuse(given, {"subset"}, "with RUN, --split names the videos")
        evaluate_run(run, split, data, protocol, as_json, given)
        return
    refuse(given, {"split", "data"}, "needs RUN")
    if ground_truth is None or predictions is None:
        raise typer.BadParameter("needs RUN, or --ground-truth and --predictions", param_hint="RUN")
    found = evaluate_files(ground_truth, predictions, subset)
    _report(found, REFERENCES[protocol], as_json)


def evaluate_run(
    path: Path, split: str, data: Path | None, protocol: str, as_json: bool, given: set[str]
) -> None:
    """Score the selected network of a run on a split, whatever its task; `given` are the options that were given."""
    from sentiloc.cli.training.runs import open_run

    run = open_run(path)
    if run.task == "sentiment":
        _evaluate_fsenet(run, split, data, protocol, as_json)
        return
    from sentiloc.cli.training.evaluate_systems import score_run

    refuse(given, {"protocol"}, f"the run is of {run.task}, which has a protocol of its own")
    if run.task == "expression" and split != "test":
        refuse(
            given, {"split"}, "the data of expressions has no splits; test stands for the subjects left out"
        )
    metrics = score_run(run, split, data)
    folder = run.folder / "evaluation" / split
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    typer.echo(json.dumps(metrics) if as_json else "\n".join(f"{name}\t{v}" for name, v in metrics.items()))


def _evaluate_fsenet(run: Run, split: str, data: Path | None, protocol: str, as_json: bool) -> None:
    from sentiloc.cli.training.predict import predict_run
    from sentiloc.model.evaluation.curves import draw_curves
    from sentiloc.model.evaluation.evaluate import evaluate_predictions, to_json, write_predictions
    from sentiloc.model.fsenet.annotations import USUAL_SEGMENTS, find_segments
    from sentiloc.model.fsenet.scoring import ground_truth

    items, found = predict_run(run, split, data)
    truth = ground_truth(items)
    if not any(truth.values()):
        folder = run.data_folder(data)
        where = find_segments(folder)
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{where or folder / USUAL_SEGMENTS}: {'' if where else 'missing; '}no segment of any video of split "
            f"{split}; nothing to score against",
        )
    scored = evaluate_predictions(truth, found)
    folder = run.folder / "evaluation" / split
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "predictions.json") as path:
        write_predictions(path, found)
    content = {
        "protocol": protocol,
        "split": split,
        **to_json(scored.metrics),
        "errors": scored.errors.shares,
    }
    write_whole(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    draw_curves(truth, found, REFERENCES[protocol].tious, folder / "curves.png")
    _report(scored, REFERENCES[protocol], as_json)


def _report(found: Evaluation, reference: Reference, as_json: bool) -> None:
    from sentiloc.model.evaluation.evaluate import to_json

    for line in _doubts(found):
        typer.echo(line, err=True)
    if as_json:
        typer.echo(json.dumps(to_json(found.metrics)))
        return
    from rich.console import Console

    console = Console()
    console.print(f"{counted(found.proposals, 'proposal')} for {counted(found.videos, 'video')}")
    for table in (_metrics_table(found, reference), _class_table(found), _error_table(found)):
        console.print(table)


def _doubts(found: Evaluation) -> list[str]:
    """Sentences on predictions that may belong to other videos or to other labels than those of the ground truth."""
    from sentiloc.model.data.text import listed

    lines = []
    if found.unknown_videos:
        which = f"{counted(len(found.unknown_videos), 'video')} without ground truth: {listed(found.unknown_videos)}"
        lines.append(f"every proposal counts as wrong in {which}")
    if found.without_predictions:
        lines.append(f"{found.without_predictions} of {counted(found.videos, 'video')} without predictions")
    if left_out := found.proposals - found.errors.proposals:
        what = f"{counted(left_out, 'proposal')} left out of metrics and errors"
        lines.append(f"{what}: no true segment has their label")
    return lines


def _metrics_table(found: Evaluation, reference: Reference) -> object:
    """The published table with these predictions as its last row, in percent."""
    from rich import box
    from rich.table import Table

    metrics = found.metrics
    table = Table(
        title="mAP at tIoU, percent",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption=f"published rows: {SOURCE}, {reference.title}",
    )
    for heading in ("setting", "method", *map(str, reference.tious), *reference.columns):
        left = heading in ("setting", "method")
        # On a narrow terminal, and in a pipe, words may be wrapped, but numbers must not be cut.
        table.add_column(heading, justify="left" if left else "right", no_wrap=not left)
    for setting, method, values in reference.rows:
        table.add_row(setting, method, *(f"{value:.2f}" for value in values))
    # Means over all tIoUs of the protocol, also where a table prints columns for three of the five.
    recall, f2 = (sum(values) / len(values) for values in (metrics.recall, metrics.f2))
    named = {"recall": recall, "F2": f2, "mean mAP": metrics.average_map}
    at = dict(zip(metrics.tious, metrics.mean_ap, strict=True))
    own = (*(at[tiou] for tiou in reference.tious), *(named[column] for column in reference.columns))
    table.add_section()
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

    table = Table(title=f"The proposals by kind of error, at tIoU {found.errors.tiou}")
    table.add_column("kind")
    table.add_column("share", justify="right")
    table.add_column("meaning (α = match, β = 0.1)")
    for kind, share in found.errors.shares.items():
        table.add_row(kind.replace("_", " "), f"{100 * share:.1f} %", KINDS[kind])
    return table
