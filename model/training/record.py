"""The origin of a run: hashes of its data, versions of the libraries, and the commit.

It is stored in the run's config.json next to the options, so that runs on different data can be distinguished.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

DATA, VERSIONS, COMMIT = "data", "versions", "commit"
WANDB = "wandb"
"""The project of Weights & Biases to which a run's log goes as well; it is no part of config.json."""
FIRST_BYTES = 1024 * 1024
_LIBRARIES = ("sentiloc", "torch", "numpy", "onnx", "onnxruntime")


def make_record(folder: Path, files: Iterable[Path], features: Iterable[Path]) -> dict[str, Any]:
    """`data` (folder, hash per file, one hash of all feature files), `versions` and `commit`.

    files: label and split files; absent ones are skipped. The hash of a feature file covers its name, its size and its
        first MiB.
    """
    digests = {_name(path, folder): _sha256(path) for path in files if path.is_file()}
    whole = hashlib.sha256()
    for path in sorted(features):
        whole.update(f"{_name(path, folder)} {path.stat().st_size} ".encode())
        with path.open("rb") as file:
            # Whole files would take minutes for a benchmark of 100 GB.
            whole.update(file.read(FIRST_BYTES))
    data = {"folder": str(folder.resolve()), "files": digests, "features": whole.hexdigest()}
    return {DATA: data, VERSIONS: _versions(), COMMIT: _commit()}


def changed_data(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Names of the data files of two records that differ, are new or are gone."""
    before, after = old.get("files", {}), new.get("files", {})
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return names + (["features"] if old.get("features") != new.get("features") else [])


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def _commit() -> str:
    """The commit of the checkout that contains this code; "unknown" outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"],  # noqa: S607
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
