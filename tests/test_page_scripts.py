"""The page's scripts are linted and type-checked, if npm and its packages are available."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / "node_modules" / ".package-lock.json"
INSTALL_SECONDS = 200


@pytest.fixture(scope="module")
def npm() -> str:
    """npm with the tools installed. Skips the test on a machine without npm or a registry; the public CI has them."""
    program = shutil.which("npm")
    if program is None:
        pytest.skip("npm is not installed")
    if not INSTALLED.exists():
        try:
            done = subprocess.run(
                [program, "ci"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            pytest.skip("no packages from npm in time")
        if done.returncode:
            pytest.skip(f"npm ci did not work: {done.stderr.strip()[-200:]}")
    return program


@pytest.mark.parametrize("script", ["lint", "types"])
def test_the_page_s_scripts_are_clean(npm: str, script: str) -> None:
    done = subprocess.run(
        [npm, "run", "--silent", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
