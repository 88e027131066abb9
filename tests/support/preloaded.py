"""Many `sentiloc` commands, each in a process of its own that starts with the slow libraries imported.

A process imports them once and is forked for each command. The commands are otherwise run as from a shell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.support.services import ROOT, sentiloc_environment


class Commands:
    """Runs commands one by one."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._output = process, folder / "output"

    def run(self, *words: str, cwd: Path = ROOT, **settings: object) -> str:
        """What a command writes to stdout and stderr; it must succeed."""
        request = {
            "words": words,
            "cwd": str(cwd),
            "environment": sentiloc_environment(**settings) | {"OMP_NUM_THREADS": "1"},
            "output": str(self._output),
        }
        asked: IO[str] | None = self._process.stdin
        answers: IO[str] | None = self._process.stdout
        assert asked is not None and answers is not None
        asked.write(json.dumps(request) + "\n")
        asked.flush()
        status = answers.readline().strip()
        said = self._output.read_text(encoding="utf-8")
        assert status == "0", f"{' '.join(words)}: status {status}: {said}"
        return said


@contextmanager
def preloaded_commands() -> Iterator[Commands]:
    """Start the process that is forked, and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="sentiloc-commands-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            # PyTorch reads the number of threads when it is imported.
            env=sentiloc_environment() | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        with process:
            yield Commands(process, Path(folder))
            # At the end of its input the process ends.
            assert process.stdin is not None
            process.stdin.close()


def _serve() -> int:
    """Fork for each request on stdin and report the exit status; a child returns the status of its command."""
    import onnxscript  # noqa: F401
    import torch._dynamo  # noqa: F401
    import torch.onnx  # noqa: F401

    import sentiloc.model.fsenet.train  # noqa: F401

    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            return _run(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return 0


def _run(request: dict[str, Any]) -> int:
    from sentiloc.cli.main import main

    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["sentiloc", *request["words"]]
    main()
    return 0


if __name__ == "__main__":
    sys.exit(_serve())
