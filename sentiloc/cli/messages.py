"""The messages of a command on standard error. The module loads nothing, so that every subcommand can use it."""

from __future__ import annotations

import sys
from typing import NoReturn


def say(line: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"{line}\n")


def stop(line: str) -> NoReturn:
    """End the process with one line on standard error."""
    say(f"sentiloc: {line}")
    raise SystemExit(1)


def wrong_usage(detail: str, option: str) -> Exception:
    """The `typer.BadParameter` for an option or argument; the exit status is 2."""
    import typer

    return typer.BadParameter(detail, param_hint=option)
