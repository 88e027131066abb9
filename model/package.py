"""Model packages: a folder with `fsenet.onnx`, `spec.json` and `calibration.json` under `exported/`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from model.calibration import Calibration, parse_calibration
from model.errors import ErrorCode, SentilocError
from model.spec import ModelSpec, load_spec

NETWORK_FILE = "fsenet.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """A localizer on disk, its spec and how its scores become probabilities."""

    folder: Path
    spec: ModelSpec
    calibration: Calibration

    @property
    def network(self) -> Path:
        """Path of the ONNX graph."""
        return self.folder / NETWORK_FILE


def shipped_models_dir() -> Path:
    """Folder of the packages that come with Sentiloc."""
    return Path(__file__).resolve().parents[1] / "exported"


def load_package(name: str, models_dir: Path | None = None) -> ModelPackage:
    """Open a package by folder name; raises `model_unavailable` with the names that exist."""
    root = models_dir or shipped_models_dir()
    folder = root / name
    if name not in list_packages(root):
        known = ", ".join(list_packages(root)) or "none"
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"no model package {name!r}; available: {known}")
    return ModelPackage(
        folder=folder,
        spec=load_spec(folder / "spec.json"),
        calibration=parse_calibration((folder / "calibration.json").read_text()),
    )


def list_packages(root: Path) -> list[str]:
    """Names of the localizer packages in a folder, sorted."""
    return sorted(path.parent.name for path in root.glob(f"*/{NETWORK_FILE}"))


def extractor_id(folder: Path) -> str:
    """Identity of an extractor package, as `name-version-sha`: what a ModelSpec names as its encoder."""
    try:
        raw = json.loads((folder / "spec.json").read_text())
        return f"{raw['name']}-{raw['version']}-{raw['sha256'][:8]}"
    except (OSError, ValueError, KeyError) as error:
        raise SentilocError(
            ErrorCode.MODEL_UNAVAILABLE, f"no extractor package in {folder}: {error}"
        ) from error
