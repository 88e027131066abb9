"""Model packages: a folder with a network, `spec.json` and `calibration.json` under `exported/`.

The network's file tells the task: `fsenet.onnx` finds sentiment, `cten.onnx` emotions, `gim.onnx` expressions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import sentiloc
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.proposals.calibration import Calibration, parse_calibration
from sentiloc.model.spec import ModelSpec, load_spec

NETWORK_FILE, CALIBRATION_FILE = "fsenet.onnx", "calibration.json"
WEIGHTS_FILE = "weights.pt"
"""PyTorch weights next to an exported network, for `sentiloc train --from PACKAGE`. Serving does not need them."""
NETWORK_FILES = {"sentiment": NETWORK_FILE, "emotion": "cten.onnx", "expression": "gim.onnx"}
"""File of the network by the spec's task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """A localizer on disk, its spec and how its scores become probabilities."""

    folder: Path
    spec: ModelSpec
    calibration: Calibration

    @property
    def network(self) -> Path:
        """Path of the ONNX graph."""
        return self.folder / NETWORK_FILES[self.spec.task]


def shipped_models_dir() -> Path:
    """Folder of the shipped packages."""
    return Path(sentiloc.__file__).parent / "exported"


def load_package(name: str, models_dir: Path | None = None) -> ModelPackage:
    """Open a package by folder name; raises `model_unavailable` with the names that exist."""
    root = models_dir or shipped_models_dir()
    folder = root / name
    if name not in list_packages(root):
        known = ", ".join(list_packages(root)) or "none"
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"no model package {name!r}; available: {known}")
    spec = load_spec(folder / "spec.json")
    if not (folder / NETWORK_FILES.get(spec.task, "")).is_file():
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{name}: no network for the task {spec.task!r}")
    return ModelPackage(folder=folder, spec=spec, calibration=_calibration(folder))


def _calibration(folder: Path) -> Calibration:
    """The calibration; without a file confidences are raw scores, and are marked as such."""
    path = folder / CALIBRATION_FILE
    return parse_calibration(path.read_text()) if path.exists() else Calibration()


def list_packages(root: Path) -> list[str]:
    """Names of the localizer packages in a folder, sorted."""
    return sorted({path.parent.name for file in NETWORK_FILES.values() for path in root.glob(f"*/{file}")})


def extractor_id(folder: Path) -> str:
    """Identity of an extractor package, as `name-version-sha`: what a ModelSpec names as its encoder."""
    try:
        raw = json.loads((folder / "spec.json").read_text())
        return f"{raw['name']}-{raw['version']}-{raw['sha256'][:8]}"
    except (OSError, ValueError, KeyError) as error:
        raise SentilocError(
            ErrorCode.MODEL_UNAVAILABLE, f"no extractor package in {folder}: {error}"
        ) from error
