"""Checks the options that were given: one that has no effect, or can only fail, is a usage error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sentiloc.cli.messages import wrong_usage

if TYPE_CHECKING:
    import typer

    from sentiloc.api import Model
    from sentiloc.worker.config import RuntimeConfig

# Names of click's sources: the command line, and the file of `--config`.
_GIVEN = {"COMMANDLINE", "DEFAULT_MAP"}


def given_options(context: typer.Context) -> set[str]:
    """Names of the parameters that the command line or a file of options sets."""
    return {
        name for name in context.params if getattr(context.get_parameter_source(name), "name", "") in _GIVEN
    }


def flag(name: str) -> str:
    """A parameter's name on the command line."""
    return FLAGS.get(name) or "--" + name.replace("_", "-")


FLAGS = {"start": "--from", "states": "--state"}
"""Options whose name on the command line is not that of their parameter."""


def refuse(given: set[str], names: Iterable[str], reason: str) -> None:
    """Raise a usage error if one of the options `names` was given."""
    for name in sorted(given & {*names}):
        raise wrong_usage(reason, flag(name))


def time_range(start: float, end: float | None) -> tuple[float, float | None] | None:
    """The part of a video that `--start` and `--end` name; None for the whole video.

    Raises:
        typer.BadParameter: The end is not after the start.
    """
    if end is not None and end <= start:
        raise wrong_usage(f"{end:g} s is not after --start, {start:g} s", "--end")
    # A range from 0 without an end is the whole video.
    return (start, end) if start or end is not None else None


@contextmanager
def naming(model: str | None) -> Iterator[None]:
    """Work that loads the package of `--model`; raises `typer.BadParameter` if there is none of this name."""
    from sentiloc.model.package import UnknownPackageError

    try:
        yield
    except UnknownPackageError as error:
        # A wrong name in a setting is not a usage error.
        if model is None:
            raise
        raise wrong_usage(error.detail, "--model") from error


def load_model(name: str | None, default: str, config: RuntimeConfig, labels: Iterable[str] = ()) -> Model:
    """The model of `--model`, else the default one, which has the labels of `--label`.

    Raises:
        typer.BadParameter: There is no package `name`, or it has no such label.
        SentilocError: The model cannot be loaded.
    """
    import sentiloc

    with naming(name):
        model = sentiloc.load_model(name or default, config=config)
    if unknown := sorted({*labels} - {*model.labels} if labels else ()):
        raise wrong_usage(
            f"no label {', '.join(unknown)}; the model has: {', '.join(model.labels)}", "--label"
        )
    return model


def finite(value: float | None) -> float | None:
    """The callback of an option for a number: Click only checks the limits, which nan and inf can pass.

    Raises:
        typer.BadParameter: The number is not finite.
    """
    import typer

    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value
