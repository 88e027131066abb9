"""Starts fresh interpreters with nothing of the service in their environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sentiloc

_ROOT = Path(sentiloc.__file__).resolve().parents[1]
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONHOME")


def start_confined(module: str, task: dict[str, Any], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """A fresh interpreter that runs `module` on `task`, with these open files and a bare environment."""
    return start_bare(module, [json.dumps(task)], fds)


def start_bare(module: str, arguments: Sequence[str], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """A fresh interpreter that runs `module` with a bare environment and these open files."""
    return subprocess.Popen(  # noqa: S603
        # -s and -P: neither the user's packages nor the current folder can replace a module in the child.
        [sys.executable, "-s", "-P", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=bare_environment(),
        pass_fds=fds,
        process_group=0,
    )


def bare_environment() -> dict[str, str]:
    """An environment without the service's keys and addresses."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": str(_ROOT), "MALLOC_ARENA_MAX": "2", "LC_ALL": "C.UTF-8", **threads}


def open_pipe(*, reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """The two ends of a pipe.

    Each is closed exactly once, because a number that is closed twice may already belong to another file.
    """
    read_fd, write_fd = os.pipe()
    reader.callback(os.close, read_fd)
    writer.callback(os.close, write_fd)
    return read_fd, write_fd
