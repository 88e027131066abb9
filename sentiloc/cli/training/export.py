"""`sentiloc export`: a checkpoint becomes the ONNX graph of a model package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="best.pt of a run.")],
    package: Annotated[
        Path,
        typer.Argument(metavar="PACKAGE", help="Package folder to write the network and spec.json into."),
    ],
    spec: Annotated[
        Path, typer.Option(help="What the network was trained on: spec.json, or a folder that holds one.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the package, instead of the spec's.")] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the package, instead of the spec's.")
    ] = None,
) -> None:
    """Write a package's network; its numbers are checked against PyTorch first."""
    from dataclasses import replace

    from sentiloc.model.data.feature_store import parse_stored_spec
    from sentiloc.model.fsenet.checkpoint import load_fsenet
    from sentiloc.model.fsenet.export import export_onnx
    from sentiloc.model.package import NETWORK_FILE, NETWORK_FILES
    from sentiloc.model.training.checkpoint import load_checkpoint

    found = parse_stored_spec(spec / "spec.json" if spec.is_dir() else spec)
    task = load_checkpoint(checkpoint).get("task", "sentiment")
    found = replace(
        found, name=name or _own_name(found.name, task, package), version=version or found.version
    )
    if task != "sentiment":
        from sentiloc.cli.training.train_systems import export_system

        difference = export_system(task, checkpoint, found, package)
    else:
        difference = export_onnx(load_fsenet(checkpoint), found, package / NETWORK_FILE)
        (package / "spec.json").write_text(found.to_json() + "\n")
    typer.echo(f"{package / NETWORK_FILES[task]}: differs from PyTorch by at most {difference:.1e}")


def _own_name(name: str, task: str, package: Path) -> str:
    """A package of another task than its features' must not carry the name of the one they were extracted for."""
    return name if task == "sentiment" else package.name
