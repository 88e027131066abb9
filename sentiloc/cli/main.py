"""The `sentiloc` command: starts a subcommand, and turns expected errors into one line.

`sentiloc localize FILE...` without options skips the parser of options: importing it takes as long as the whole work on
a short video. Errors on the command line are left to the parser, so that all messages come from one place.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from sentiloc.cli.messages import about_error, stop, unexpected
from sentiloc.model.errors import SentilocError


def main() -> None:
    """Entry point. Expected errors are one line on stderr; SENTILOC_DEBUG=1 shows the traceback."""
    _open_standard_files()
    try:
        _run(sys.argv[1:])
    except SentilocError as error:
        _raise_or_stop(error, error.detail)
    except ModuleNotFoundError as error:
        _raise_or_stop(
            error, f"this needs {error.name}; run this in Sentiloc's folder: pip install '.[train]'"
        )
    except KeyboardInterrupt:
        # 128 + SIGINT, the status of a command that Ctrl-C ended in a shell.
        sys.exit(130)
    except MemoryError as error:
        _raise_or_stop(error, f"out of memory: {error}" if str(error) else "out of memory")
    except RuntimeError as error:
        # PyTorch has no separate error class for this on CPUs.
        no_memory = "allocate memory" in str(error) or "out of memory" in str(error)
        _raise_or_stop(error, f"out of memory: {error}" if no_memory else unexpected(error))
    except Exception as error:
        _raise_or_stop(error, about_error(error))


def _open_standard_files() -> None:
    """Open `/dev/null` for each standard file that the caller has closed, because the next opened file would get its
    number.
    """
    # In order, because a file gets the lowest free number.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            file = open(os.devnull, mode)  # noqa: PTH123, SIM115 - pathlib is not loaded yet; it stays open
            os.set_inheritable(file.fileno(), True)
            setattr(sys, name, file)


def _run(words: list[str]) -> None:
    if names_only_files(words):
        from sentiloc.cli.localizing import localize_files

        sys.exit(0 if localize_files(words[1:]) else 1)
    from sentiloc.cli.verbs import root

    root()


def names_only_files(words: list[str]) -> bool:
    """Whether the command is `localize` with files that exist, and nothing else."""
    verb, *names = words or [""]
    return verb == "localize" and bool(names) and all(_is_file(name) for name in names)


def _is_file(name: str) -> bool:
    # An option, standard input or a home folder is left to the parser.
    return not name.startswith(("-", "~")) and os.path.isfile(name)  # noqa: PTH113 - pathlib is not loaded yet


def _raise_or_stop(error: Exception, line: str) -> NoReturn:
    if os.environ.get("SENTILOC_DEBUG"):
        raise error
    stop(line)


if __name__ == "__main__":
    main()
