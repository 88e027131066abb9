"""`sentiloc export`: a checkpoint becomes the ONNX graph of a model package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt of a run.")],
    package: Annotated[Path, typer.Argument(help="Package folder to write fsenet.onnx and spec.json into.")],
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

    from model.checkpoint import load_fsenet
    from model.export import export_onnx
    from model.feature_store import parse_stored_spec
    from model.package import NETWORK_FILE

    found = parse_stored_spec(spec / "spec.json" if spec.is_dir() else spec)
    found = replace(found, name=name or found.name, version=version or found.version)
    difference = export_onnx(load_fsenet(checkpoint), found, package / NETWORK_FILE)
    (package / "spec.json").write_text(found.to_json() + "\n")
    typer.echo(f"{package / NETWORK_FILE}: differs from PyTorch by at most {difference:.1e}")
