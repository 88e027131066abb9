"""Run lint, audit, types and tests: `python -m tests [pytest arguments]`. A failure before the tests ends the run.

Types are checked while the first tests run, because the type checker uses one processor; their errors are printed at
the end. Tests run in three processes, a file at a time: many of them wait for a server, a worker or a browser. Their
order is that of `tests/conftest.py`, which xdist would change to the number of tests in a file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUICK = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["tests.support.audit"])
TYPES = ["mypy"]
TESTS = ["pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]


def main() -> int:
    """Run every check with this interpreter's tools; the exit status is a failed check's."""
    for check in QUICK:
        status = subprocess.run(command(check), cwd=ROOT).returncode
        if status:
            return status
    with subprocess.Popen(command(TYPES), cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8") as types:
        tested = subprocess.run(command([*TESTS, *sys.argv[1:]]), cwd=ROOT).returncode
        said, _ = types.communicate()
    sys.stdout.write(said)
    return tested or types.returncode


def command(check: list[str]) -> list[str]:
    """The command line of a check."""
    return [sys.executable, "-m", *check]


if __name__ == "__main__":
    sys.exit(main())
