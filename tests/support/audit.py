"""Check the locked dependencies for known vulnerabilities: `python -m tests.support.audit`.

Asks the advisory service through pip-audit (`pip install -e ".[audit]"`) about the versions in `requirements.lock`.
Fails if it reports a vulnerability. If pip-audit is not installed or its service cannot be reached, it prints the
reason and succeeds. `tests/test_lock.py` checks what needs no network.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements.lock"
_SECONDS = 300
_FOUND = "known vulnerabilit"


def main() -> int:
    """Exit status: 1 for a vulnerability, else 0."""
    if importlib.util.find_spec("pip_audit") is None:
        return _say(
            'audit: pip-audit is not installed (pip install -e ".[audit]"); versions are not looked up'
        )
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", str(LOCK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _say("audit: the advisory service does not answer; versions are not looked up")
    output = done.stdout + done.stderr
    if done.returncode and _FOUND not in output:
        last = (output.strip().splitlines() or [""])[-1]
        return _say(f"audit: pip-audit could not look the versions up: {last}")
    _say(output.strip())
    return min(done.returncode, 1)


def _say(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
