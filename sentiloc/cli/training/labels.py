"""`sentiloc labels`: converts a benchmark's annotations to the files that `sentiloc train` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from sentiloc.cli.given import given_options, refuse

Benchmark = Literal["samm-lv", "casme2", "casme3", "videoemotion-8", "ekman-6", "caer", "caer-7"]


def labels(
    context: typer.Context,
    benchmark: Annotated[
        Benchmark,
        typer.Argument(
            metavar="BENCHMARK", help=f"The annotations' benchmark: {', '.join(get_args(Benchmark))}."
        ),
    ],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="Table as CSV (expressions); folder of classes or label list (emotions)."
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Feature folder written by `sentiloc extract`.")
    ],
    run: Annotated[
        int,
        typer.Option(min=0, help="Number of the random split (emotions) or draw of points (expressions)."),
    ] = 0,
) -> None:
    """Label an extracted folder with a benchmark's annotations (docs/other_systems.md)."""
    if not source.exists():
        raise typer.BadParameter(f"there is no {source}", param_hint="SOURCE")
    if benchmark in ("samm-lv", "casme2", "casme3"):
        from sentiloc.model.gim.annotations import LAYOUTS, read_expressions
        from sentiloc.model.gim.folder_labels import write_labels
        from sentiloc.model.gim.spec import FRAME_RATE

        missing = write_labels(folder, read_expressions(source, LAYOUTS[benchmark], FRAME_RATE), run)
    else:
        from sentiloc.model.cten import folder_labels
        from sentiloc.model.cten.benchmarks import BENCHMARKS, read_class_folders, read_folder_splits

        if source.is_dir() and read_folder_splits(read_class_folders(source)):
            refuse(given_options(context), {"run"}, f"the folders of {source} state the split")
        missing = folder_labels.write_labels(folder, source, BENCHMARKS[benchmark], run)
    if missing:
        # Five examples are enough; all names of a large set would fill the terminal.
        typer.echo(f"{len(missing)} annotated videos are not in {folder}: {', '.join(missing[:5])}", err=True)
