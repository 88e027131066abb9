"""The messages of a command on standard error. The module loads nothing, so that every subcommand can use it."""

from __future__ import annotations

import os
import sys
from errno import ENOSPC
from typing import NoReturn

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def plain(text: str) -> str:
    """A text of a file or a server, whose control characters would move the cursor of a terminal, or worse."""
    return text.translate(_ESCAPED)


def say(line: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"{plain(line)}\n")


def stop(line: str) -> NoReturn:
    """End the process with one line on standard error."""
    say(f"sentiloc: {line}")
    raise SystemExit(1)


def wrong_usage(detail: str, option: str) -> Exception:
    """The `typer.BadParameter` for an option or argument; the exit status is 2."""
    import typer

    return typer.BadParameter(detail, param_hint=option)


def about_error(error: Exception) -> str:
    """The system's message about a file, without the names of Python's classes; else `unexpected`."""
    if isinstance(error, OSError) and error.errno == ENOSPC and error.filename is None:
        # A write to an open file does not name it; it may be standard output.
        return f"a file could not be written: {error.strerror}"
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return unexpected(error)
    names = [
        os.fsdecode(name)
        for name in (error.filename, error.filename2)
        # A number denotes an open file, which means nothing to a user.
        if not isinstance(name, (int, type(None)))
    ]
    return f"{' and '.join(names) or error.filename}: {error.strerror}"


def unexpected(error: Exception) -> str:
    """An unexpected error, in one line."""
    return f"{type(error).__name__}: {error} (SENTILOC_DEBUG=1 shows where)"
