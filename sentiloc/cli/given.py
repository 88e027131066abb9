"""Options that a command was given: one that would have no effect is a usage error, not silence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sentiloc.cli.messages import wrong_usage

if TYPE_CHECKING:
    import typer

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


def finite(value: float | None) -> float | None:
    """The callback of an option for a number: Click only checks the limits, which nan and inf can pass.

    Raises:
        typer.BadParameter: The number is not finite.
    """
    import typer

    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value
