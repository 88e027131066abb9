"""`--from` of `sentiloc train`: the network of a package or a run, with which another run starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sentiloc.cli.training.unread import CHANGEABLE, check_start
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.model.fsenet.network import FSENet, FSENetConfig


def load_start(path: Path) -> FSENet:
    """The network of a package, a run folder or a checkpoint; raises `model_unavailable` if there is none."""
    from sentiloc.cli.training.runs import open_run
    from sentiloc.model.fsenet.checkpoint import load_fsenet
    from sentiloc.model.package import WEIGHTS_FILE

    # Only a package has this file.
    weights = path / WEIGHTS_FILE
    return load_fsenet(weights if weights.exists() else open_run(path).checkpoint)


def started_network(path: Path, found: FSENetConfig, given: set[str]) -> FSENetConfig:
    """The configuration of the starting network, with the given options that no weight depends on.

    Raises `spec_mismatch` if its streams are not those of the data, and a usage error for an option that asks for
    another network. `found` is the network that the options and the recipe describe.
    """
    network = load_start(path).config
    if network.stream_shapes != found.stream_shapes:
        raise SentilocError(
            ErrorCode.SPEC_MISMATCH,
            f"{path}: takes {network.stream_shapes}, the features are {found.stream_shapes}",
        )
    kept = check_start(given, path, network, found)
    if kept:
        stated = ", ".join(f"{name} {getattr(network, name)}" for name in kept)
        typer.echo(f"{path}: its network is kept, not the recipe's: {stated}", err=True)
    return replace(network, **{name: getattr(found, name) for name in CHANGEABLE & given})
