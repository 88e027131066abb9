"""`sentiloc datasets prepare NAME SOURCE DATA`: prepares a data folder from the user's download of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from sentiloc.cli.destinations import named_folder
from sentiloc.cli.given import given_options, refuse

Name = Literal["tsl300", "cmu-mosei", "ve8", "ekman-6", "caer", "samm-lv", "casme2", "casme3"]
datasets_app = typer.Typer(
    help="Prepare downloaded benchmark data sets.",
    no_args_is_help=True,
    add_completion=False,
)


# With a single command and no callback, typer would drop the name `prepare`.
@datasets_app.callback()
def _datasets() -> None:
    pass


@datasets_app.command("prepare")
def prepare(
    context: typer.Context,
    name: Annotated[
        Name, typer.Argument(metavar="NAME", help=f"Which data set: {', '.join(get_args(Name))}.")
    ],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", parser=named_folder, help="Folder with the download; nothing in it is changed."
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            parser=named_folder,
            help="Data folder to make; files are linked into it, not copied.",
        ),
    ],
    run: Annotated[int, typer.Option(min=0, help="Number of the random split or draw of points.")] = 0,
) -> None:
    """Link files to where `sentiloc train` reads them, check them, and report what is missing.

    checksums.json in DATA holds the SHA-256 of every label file. The exit status is 1 while something is missing.
    """
    from sentiloc.model.data.prepare import prepare_features, prepare_labelled, write_report

    if not source.is_dir():
        raise typer.BadParameter(f"there is no folder {source}", param_hint="SOURCE")
    if name in ("tsl300", "cmu-mosei"):
        refuse(given_options(context), {"run"}, f"{name} has one split and no draw")
        report = prepare_features(source, data)
    else:
        report = prepare_labelled(name, source, data, run)
    write_report(report, data)
    for line in report.lines():
        typer.echo(line)
    raise typer.Exit(code=1 if report.missing else 0)
