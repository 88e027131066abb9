"""Export a trained expression net: `python -m recipes.starter.faces.export --run DIR --out DIR`.

Writes `expression.onnx` (input `faces`, outputs `OUTPUTS`; any batch) and `spec.json`, after a check that the graph's
outputs equal the network's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from sentiloc.model.extractors.expression import (
    BLENDSHAPES,
    CROP_MARGIN,
    EMBEDDING_DIM,
    EMOTIONS,
    FACE_SIZE,
    PIXEL_MEAN,
    PIXEL_STD,
    SENTIMENTS,
    ServedExpression,
    build_net,
)

NETWORK_FILE = "expression.onnx"
NAME, VERSION = "sentiloc-expression", "2.1.0"
OUTPUTS = ("embedding", "emotion", "sentiment", "blendshapes", "face")
TOLERANCE = 1e-4
OPSET = 17


def load_net(checkpoint: Path) -> nn.Module:
    """The averaged net of a training run's checkpoint, ready to infer."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    net = build_net(json.loads(state["recipe"])["net"])
    net.load_state_dict(state["averaged"])
    return net.eval()


def export_onnx(net: nn.Module, path: Path, mirror: bool) -> None:
    """Write the graph; raises RuntimeError if it differs from the net by more than `TOLERANCE`.

    With `mirror`, the graph gives averages over each face and its mirror image.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    served = ServedExpression(net, mirror).eval()
    names = {name: {0: "batch"} for name in ("faces", *OUTPUTS)}
    torch.onnx.export(
        served,
        (torch.zeros(2, 1, FACE_SIZE, FACE_SIZE),),
        path,
        input_names=["faces"],
        output_names=list(OUTPUTS),
        dynamic_axes=names,
        opset_version=OPSET,
        # `load_folded` finds the folded convolutions by the names that this exporter gives them.
        dynamo=False,
    )
    gap = _largest_gap(served, path)
    if gap > TOLERANCE:
        raise RuntimeError(f"the exported graph is off by {gap:.1e}")


def _largest_gap(served: nn.Module, path: Path) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    gaps = [0.0]
    # Other sizes of the batch than the one that was traced.
    for count in (1, 5):
        faces = torch.rand(count, 1, FACE_SIZE, FACE_SIZE)
        found = session.run(None, {"faces": faces.numpy()})
        with torch.inference_mode():
            expected = served(faces)
        gaps += [float(np.abs(a - b.numpy()).max()) for a, b in zip(found, expected, strict=True)]
    return max(gaps)


def spec_of(network: Path, mirror: bool) -> dict[str, Any]:
    """The graph's input specification for callers; `margin` is relative to the longer side of a face box."""
    return {
        "name": NAME,
        "version": VERSION,
        "input": {"name": "faces", "size": FACE_SIZE, "channels": 1, "range": [0.0, 1.0]},
        "normalisation": {"mean": PIXEL_MEAN, "std": PIXEL_STD, "inside_graph": True},
        "margin": CROP_MARGIN,
        "mirror_averaged": mirror,
        "embedding_dim": EMBEDDING_DIM,
        "emotions": list(EMOTIONS),
        "sentiments": list(SENTIMENTS),
        "blendshapes": list(BLENDSHAPES),
        "network": NETWORK_FILE,
        "sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
    }


def export_package(checkpoint: Path, out: Path, mirror: bool = True) -> None:
    """Write `expression.onnx` and `spec.json` into `out` from a training run's checkpoint."""
    export_onnx(load_net(checkpoint), out / NETWORK_FILE, mirror)
    spec = spec_of(out / NETWORK_FILE, mirror)
    (out / "spec.json").write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Export the run's last checkpoint."""
    parser = argparse.ArgumentParser(description="Export a trained expression net to ONNX.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, help="package folder to write")
    parser.add_argument(
        "--no-mirror", action="store_true", help="half the cost; serving reads every other frame mirrored"
    )
    arguments = parser.parse_args()
    export_package(arguments.run / "last.pt", arguments.out, not arguments.no_mirror)


if __name__ == "__main__":
    main()
