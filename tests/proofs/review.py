"""What a review of release 1 found, row by row: the commands of docs/security.md, as root and as an ordinary user.

    python -m tests.proofs.review             all rows
    python -m tests.proofs.review 4 17        some of them

Started by root, each command runs as root and as a user without rights (with setpriv); started by anybody else, as that
user. Each row says how many tests passed; rows that were not asked for keep their earlier figures. Others must be able
to read the project's folder and to run this interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.proofs.faults.rig import RESULTS, save
from tests.support.services import ROOT

PAGE = ROOT / "docs" / "security.md"
ORDINARY = ("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs")
_ROW = re.compile(r"^\| (\d+) \|.*\| `pytest ([^`]+)` \|$", re.MULTILINE)
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def commands() -> dict[int, list[str]]:
    """The arguments of pytest by row."""
    return {int(row): shlex.split(text) for row, text in _ROW.findall(PAGE.read_text(encoding="utf-8"))}


def main() -> None:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", type=int, help="rows of the table; default: all")
    asked = parser.parse_args().rows
    users: dict[str, tuple[str, ...]] = {"ordinary user": ()}
    if os.geteuid() == 0:
        users = {"root": (), "ordinary user": ORDINARY}
    known = RESULTS / "review.json"
    rows = json.loads(known.read_text(encoding="utf-8"))["rows"] if known.exists() else {}
    for row, words in commands().items():
        if row in asked or not asked:
            rows[str(row)] = run(words, users)
            print(row, rows[str(row)], flush=True)
    rows = {str(row): rows[str(row)] for row in commands() if str(row) in rows}
    passed = all(end["ok"] for ends in rows.values() for end in ends.values())
    save("review", "python -m tests.proofs.review", {"rows": rows, "passed": passed})
    raise SystemExit(not passed)


def run(words: list[str], users: dict[str, tuple[str, ...]]) -> dict[str, dict[str, Any]]:
    """What a row's tests say, by user."""
    return {user: _as_user(words, wrapper) for user, wrapper in users.items()}


def _as_user(words: list[str], wrapper: tuple[str, ...]) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="review"))
    # Sockets of Redis have short paths only, and the user must own the folder.
    folder.chmod(0o777)
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    flags = ["-p", "no:cacheprovider", "--basetemp", str(folder / "t")]
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*wrapper, sys.executable, "-m", "pytest", *flags, *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # The last line, such as "9 passed, 1 skipped in 3.21s".
    last = done.stdout.strip().rpartition("\n")[2]
    counts = {kind: int(count) for count, kind in _COUNT.findall(last)}
    end: dict[str, Any] = {"ok": done.returncode == 0, **counts, "seconds": round(time.monotonic() - began)}
    if done.returncode:
        end["output"] = (done.stdout + done.stderr)[-2000:]
    return end


if __name__ == "__main__":
    main()
