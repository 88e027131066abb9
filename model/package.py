"""Model packages: a folder with a network, `spec.json` and `calibration.json` under `exported/`.

The name of the network's file states the task: `fsenet.onnx` is for sentiment, `cten.onnx` for emotions, `gim.onnx` for
expressions.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import sentiloc
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import write_whole
from sentiloc.model.proposals.calibration import Calibration, parse_calibration
from sentiloc.model.spec import ModelSpec, load_spec

NETWORK_FILE, CALIBRATION_FILE, EVIDENCE_FILE = "fsenet.onnx", "calibration.json", "evidence.json"
"""The third file states how much lower confidence is without a face. It is separate because older releases refuse a
`calibration.json` with fields that they do not know.
"""
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


class UnknownPackageError(SentilocError):
    """There is no package of this name or at this place."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.MODEL_UNAVAILABLE, detail)


def load_package(name: str, models_dir: Path | None = None) -> ModelPackage:
    """Open a package by folder name; raises `model_unavailable` with the names that exist."""
    root = models_dir or shipped_models_dir()
    folder = root / name
    # Compared with the list, so that a name from a request cannot lead out of the folder.
    if name not in list_packages(root):
        known = ", ".join(list_packages(root)) or "none"
        why = f"available: {known}" if root.is_dir() else f"there is no folder {root}"
        raise UnknownPackageError(f"no model package {name!r}; {why}")
    spec = load_spec(folder / "spec.json")
    if not (folder / NETWORK_FILES.get(spec.task, "")).is_file():
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{name}: no network for the task {spec.task!r}")
    return ModelPackage(folder=folder, spec=spec, calibration=_calibration(folder))


def _calibration(folder: Path) -> Calibration:
    """The calibration; without a file confidences are raw scores, and are marked as such."""
    path, evidence = folder / CALIBRATION_FILE, folder / EVIDENCE_FILE
    # Not exists(), which is also False for a dangling or circular link.
    found = read_calibration(path) if os.path.lexists(path) else Calibration()
    return replace(found, without_face=_without_face(evidence)) if os.path.lexists(evidence) else found


def read_calibration(path: Path) -> Calibration:
    """Read a `calibration.json`; raises `spec_mismatch` or `model_unavailable` that names the file."""
    try:
        return parse_calibration(_text(path))
    except SentilocError as error:
        where = "" if str(path) in error.detail else f"{path}: "
        raise SentilocError(error.code, f"{where}{error.detail}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: not UTF-8 text") from error


def _without_face(path: Path) -> float:
    try:
        shift = float(json.loads(_text(path))["without_face"])
    except RecursionError as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: nested too deeply") from error
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: {error}") from error
    if not math.isfinite(shift):
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{path}: {shift} is not a shift of log-odds")
    return shift


def write_calibration(calibration: Calibration, folder: Path) -> None:
    """Write a package's `calibration.json` and, if confidence is lower without a face, `evidence.json`."""
    evidence = folder / EVIDENCE_FILE
    write_whole(folder / CALIBRATION_FILE, replace(calibration, without_face=0.0).to_json() + "\n")
    if calibration.without_face:
        write_whole(evidence, json.dumps({"without_face": calibration.without_face}) + "\n")
    else:
        evidence.unlink(missing_ok=True)


def list_packages(root: Path) -> list[str]:
    """Names of the localizer packages in a folder, sorted."""
    return sorted({path.parent.name for file in NETWORK_FILES.values() for path in root.glob(f"*/{file}")})


def extractor_id(folder: Path) -> str:
    """Identity of an extractor package, as `name-version-sha`: what a ModelSpec names as its encoder."""
    try:
        raw = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        return f"{raw['name']}-{raw['version']}-{raw['sha256'][:8]}"
    except (OSError, ValueError, KeyError) as error:
        raise SentilocError(
            ErrorCode.MODEL_UNAVAILABLE, f"no extractor package in {folder}: {error}"
        ) from error
