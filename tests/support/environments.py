"""Distributions built from this checkout, and virtual environments that contain only what a test installs.

Nothing is downloaded: dependencies are taken from the environment that runs the tests.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def build(source: Path, folder: Path, target: str = "wheel") -> Path:
    """Build the wheel or sdist of a project into `folder`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl" if target == "wheel" else "*.tar.gz"))


class Environment:
    """A virtual environment in `folder`."""

    def __init__(self, folder: Path) -> None:
        # The pip of the tests works in it: another one would take seconds to install.
        venv.create(folder)
        self._folder = folder
        self.python = folder / "bin" / "python"
        self.site = next(folder.glob("lib/python*/site-packages"))

    def see_packages_of_tests(self) -> None:
        """Make all packages of the tests' own environment importable, except those that a link file installs."""
        paths = [path for path in sys.path if path.endswith("site-packages")]
        (self.site / "zz_tests.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")

    def link(self, name: str) -> None:
        """Make one distribution of the tests' environment importable, with its requirements."""
        found, left = set[str](), [name]
        while left:
            current = canonicalize_name(left.pop())
            if current in found:
                continue
            found.add(current)
            distribution = metadata.distribution(current)
            for file in {path.parts[0] for path in distribution.files or () if path.parts[0] != ".."}:
                target = self.site / file
                if not target.exists() and file != "__pycache__":
                    target.symlink_to(Path(str(distribution.locate_file(file))))
            wanted = (Requirement(text) for text in distribution.requires or ())
            left += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]

    def pip(self, *arguments: str) -> None:
        """Run pip without an index."""
        done = self._call(*PIP, "--python", str(self.python), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, *what: str) -> None:
        """Install wheels or folders, without dependencies and without an index."""
        self.pip("install", "--no-deps", "--no-index", "--no-build-isolation", *what)

    def run(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python in a folder, without this process's variables for Python and Sentiloc."""
        return self._call(str(self.python), *arguments, cwd=cwd, **variables)

    def _call(
        self, *command: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        kept = {"PATH": f"{self._folder / 'bin'}:/usr/bin:/bin", "HOME": str(self._folder), **variables}
        return subprocess.run(
            command,
            cwd=cwd or self._folder,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
