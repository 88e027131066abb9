"""What the images are built from is what the package is made of, and the compose file is one."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_dockerfile_copies_every_package() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    assert set(build["targets"]["wheel"]["packages"]) <= copied


def test_compose_accepts_the_file() -> None:
    """By version 2 (`docker compose`); version 1 knows no top-level `name`, so it is given the rest."""
    text, command = (ROOT / "docker-compose.yml").read_text(), ["docker", "compose"]
    version = shutil.which("docker") and subprocess.run(
        [*command, "version"], capture_output=True, check=False
    )
    if not version or version.returncode:
        if shutil.which("docker-compose") is None:
            pytest.skip("neither `docker compose` nor `docker-compose` is installed")
        command = ["docker-compose"]
        text = "\n".join(line for line in text.splitlines() if not line.startswith("name:"))
    arguments = ["-f", "-", "--project-directory", str(ROOT), "--profile", "gpu", "config", "-q"]
    done = subprocess.run([*command, *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
