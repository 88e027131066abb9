"""A package of the full spec (pictures, sound, faces) with random weights, for measurements of speed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.drawn_shots import draw_shot
from sentiloc.model.extractors.i3d import I3D, export_i3d
from sentiloc.model.fsenet.export import export_onnx
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.package import extractor_id, shipped_models_dir
from sentiloc.model.spec import FaceStream, ModelSpec
from sentiloc.worker.precision.quantize import quantize

NAME = "random-i3d"
SHOTS = 8


def make_models(folder: Path, with_int8: bool = False) -> tuple[Path, Path]:
    """Write the package NAME and `i3d-rgb.onnx`; returns models_dir and cache_dir."""
    return make_package(folder / "models"), make_i3d(folder / "cache", with_int8)


def make_package(models: Path) -> Path:
    """Write the package NAME into the folder `models`, unless an identical one exists; returns `models`."""
    torch.manual_seed(0)
    encoder = extractor_id(shipped_models_dir() / "expression")
    spec = ModelSpec(name=NAME, version="0.0.0", face=FaceStream(encoder=encoder))
    written = models / NAME / "spec.json"
    if not written.exists() or written.read_text(encoding="utf-8") != spec.to_json():
        export_onnx(FSENet(FSENetConfig.for_spec(spec)), spec, models / NAME / "fsenet.onnx")
        shipped = json.loads(
            (shipped_models_dir() / "fsenet-starter" / "calibration.json").read_text(encoding="utf-8")
        )
        (models / NAME / "calibration.json").write_text(json.dumps(shipped), encoding="utf-8")
        written.write_text(spec.to_json(), encoding="utf-8")
    return models


def make_i3d(cache: Path, with_int8: bool = False) -> Path:
    """Write `i3d-rgb.onnx` into the folder `cache`, unless it exists; returns `cache`.

    On request, also write its int8 version, calibrated on drawn shots.
    """
    torch.manual_seed(0)
    if not (cache / "i3d-rgb.onnx").exists():
        export_i3d(I3D().state_dict(), cache / "i3d-rgb.onnx")
    if with_int8 and not (cache / "i3d-rgb-int8.onnx").exists():
        shown = [draw_shot(index % 3, np.random.default_rng(index))[0] for index in range(SHOTS)]
        quantize(cache / "i3d-rgb.onnx", cache / "i3d-rgb-int8.onnx", shown)
    return cache


def as_clips(snippets: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Snippets (16, 224, 224, 3) in the layout of PyTorch's I3D: (snippets, 3, 16, 224, 224) in [-1, 1]."""
    return torch.from_numpy(np.stack(snippets)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def make_lively_i3d(path: Path, snippets: Sequence[NDArray[np.uint8]]) -> Path:
    """Write a random I3D with batch norms fitted to `snippets` (16, 224, 224, 3), unless it exists.

    With PyTorch's initialization activations fade with depth. Here those of each layer have mean 0 and variance 1
    before the ReLU, similar to a trained network.
    """
    if path.exists():
        return path
    torch.manual_seed(0)
    network = I3D().train()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm3d):
            # A plain mean over the batches, not a moving one that would keep the initial values.
            module.momentum = None
    with torch.inference_mode():
        network(as_clips(snippets))
    export_i3d(network.state_dict(), path)
    return path
