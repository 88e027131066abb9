"""Run lint, types, audit and tests; stop at the first failure: `python -m tests [pytest arguments]`.

Tests run in three processes, a file at a time: many of them wait for a server, a worker or a browser. Their order is
that of `tests/conftest.py`, which xdist would change to the number of tests in a file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run every check with this interpreter's tools; the exit status is the first failure's."""
    checks = (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["tests.support.audit"],
        ["pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", *sys.argv[1:]],
    )
    for check in checks:
        status = subprocess.run([sys.executable, "-m", *check], cwd=ROOT).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
