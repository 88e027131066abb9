"""`sentiloc predict RUN`: writes a run's proposals on a split to the benchmark's predictions file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentiloc.cli.destinations import output_file
from sentiloc.cli.output import whole_file
from sentiloc.cli.training.tables import counted
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.cli.training.runs import Run
    from sentiloc.model.data.items import Item
    from sentiloc.model.segments import Proposal


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a checkpoint in one.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", parser=output_file, metavar="FILE", help="Predictions file to write (JSON)."
        ),
    ],
    split: Annotated[str, typer.Option(help="The split of the data folder.")] = "test",
    data: Annotated[
        Path | None, typer.Option(help="The data folder; default: the one of the training.")
    ] = None,
) -> None:
    """Write proposals by the benchmark's rule; `sentiloc evaluate --predictions` and the benchmark read the file."""
    from sentiloc.cli.training.runs import open_run
    from sentiloc.model.evaluation.evaluate import write_predictions

    opened = open_run(run)
    if opened.task != "sentiment":
        raise SentilocError(
            ErrorCode.INVALID_DATA,
            f"{opened.checkpoint}: only FSENet has predictions files, and this run is of {opened.task}",
        )
    _, found = predict_run(opened, split, data)
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as path:
        write_predictions(path, found)
    proposals = sum(map(len, found.values()))
    typer.echo(f"{output}: {counted(proposals, 'proposal')} for {counted(len(found), 'video')}")


def predict_run(run: Run, split: str, data: Path | None) -> tuple[list[Item], dict[str, list[Proposal]]]:
    """The items of a split and the benchmark's proposals for them, labels "n" and "p"."""
    from sentiloc.model.fsenet.checkpoint import load_fsenet
    from sentiloc.model.fsenet.datasets import load_items
    from sentiloc.model.fsenet.scoring import detect, score_items

    network = load_fsenet(run.checkpoint)
    items = load_items(run.data_folder(data), split, network.config)
    return items, detect(score_items(network, items), items)
