"""Small real graphs with the inputs and outputs of I3D and of a FSENet with the visual stream alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sentiloc.model.spec import ModelSpec, VisualStream

DIM = 8
SPEC = ModelSpec(name="tiny", version="1", visual=VisualStream(dim=DIM), audio=None, face=None)


def write_visual(path: Path, seed: int = 0, dim: int = DIM) -> Path:
    """I3D's inputs and outputs around one convolution."""
    rng = np.random.default_rng(seed)
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 16, 224, 224, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", dim])
    kernels = rng.standard_normal((dim, 3, 1, 8, 8)).astype(np.float32) / 1000
    axes = numpy_helper.from_array(np.array([2, 3, 4]), "axes")
    nodes = [
        helper.make_node("Cast", ["frames"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["clips"], perm=[0, 4, 1, 2, 3]),
        helper.make_node("Conv", ["clips", "weights"], ["maps"], strides=[4, 8, 8]),
        helper.make_node("ReduceMean", ["maps", "axes"], ["features"], keepdims=0),
    ]
    weights = [numpy_helper.from_array(kernels, "weights"), axes]
    return _save(helper.make_graph(nodes, "tiny", [frames], [features], weights), path)


def write_package(models: Path) -> None:
    """A package of SPEC: scores and saliency are a linear function of the visual features."""
    rng = np.random.default_rng(1)
    folder = models / SPEC.name
    folder.mkdir(parents=True)
    visual = helper.make_tensor_value_info("visual", TensorProto.FLOAT, ["batch", "time", DIM])
    present = helper.make_tensor_value_info("visual_present", TensorProto.BOOL, ["batch", "time"])
    outputs = {"scores": 3, "saliency": 1}
    nodes, weights = [], []
    for name, width in outputs.items():
        weights.append(
            numpy_helper.from_array(rng.standard_normal((DIM, width)).astype(np.float32), f"w_{name}")
        )
        nodes += [
            helper.make_node("MatMul", ["visual", f"w_{name}"], [f"logits_{name}"]),
            helper.make_node("Sigmoid", [f"logits_{name}"], [name]),
        ]
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "time", width])
        for name, width in outputs.items()
    ]
    graph = helper.make_graph(nodes, "tiny", [visual, present], results, weights)
    _save(graph, folder / "fsenet.onnx", {"sentiloc.spec": SPEC.to_json()})
    (folder / "spec.json").write_text(SPEC.to_json(), encoding="utf-8")
    (folder / "calibration.json").write_text("{}", encoding="utf-8")


def _save(graph: onnx.GraphProto, path: Path, metadata: dict[str, str] | None = None) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path
