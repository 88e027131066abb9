"""A package of the full spec (pictures, sound, faces) with random weights: right for speed, meaningless else."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from model.export import export_onnx
from model.fsenet import FSENet, FSENetConfig
from model.i3d import I3D, export_i3d
from model.package import extractor_id, shipped_models_dir
from model.spec import FaceStream, ModelSpec

NAME = "random-i3d"


def make_models(folder: Path) -> tuple[Path, Path]:
    """Writes the package NAME, unless it is there as it would be now, and `i3d-rgb.onnx`; returns models_dir and
    cache_dir.
    """
    torch.manual_seed(0)
    models, cache = folder / "models", folder / "cache"
    encoder = extractor_id(shipped_models_dir() / "expression")
    spec = ModelSpec(name=NAME, version="0.0.0", face=FaceStream(encoder=encoder))
    if not (cache / "i3d-rgb.onnx").exists():
        export_i3d(I3D().state_dict(), cache / "i3d-rgb.onnx")
    written = models / NAME / "spec.json"
    if not written.exists() or written.read_text() != spec.to_json():
        export_onnx(FSENet(FSENetConfig.for_spec(spec)), spec, models / NAME / "fsenet.onnx")
        shipped = json.loads((shipped_models_dir() / "fsenet-starter" / "calibration.json").read_text())
        (models / NAME / "calibration.json").write_text(json.dumps(shipped))
        written.write_text(spec.to_json())
    return models, cache
