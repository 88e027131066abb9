"""FSENet -> ONNX, with its spec inside and its numbers checked against PyTorch before the file appears.

Inputs, for the streams that the spec has: `visual` (B, T, dim), `audio` (B, T, frames, mels) or (B, T,
dim), `face` (B, T, dim), float32; `visual_present`, `audio_present`, `face_present` (B, T), bool. Outputs:
`scores` (B, T, C + 1) by the config's fusion and `saliency` (B, T, 1). B and T are dynamic. Training heads
are not part of FSENet.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import ErrorCode, SentilocError
from model.fsenet import FSENet, FSENetConfig
from model.spec import ModelSpec

SPEC_KEY = "sentiloc.spec"
PARITY_LENGTHS = (1, 7, 8, 500)
PARITY_TOLERANCE = 1e-4
_OPSET = 18


class ServingGraph(nn.Module):
    """FSENet with positional inputs for its own streams only: features first, then their masks."""

    def __init__(self, network: FSENet) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """inputs as `input_names` -> scores (B, T, C + 1), saliency (B, T, 1)."""
        named: dict[str, Any] = {"visual": None, "audio": None, "face": None}
        named.update(zip(input_names(self.network.config), inputs, strict=True))
        output = self.network(**named)
        return output.served(self.network.config.fusion), output.saliency


def input_names(config: FSENetConfig) -> list[str]:
    """Names of the graph's inputs, in order."""
    return [*config.streams, *(f"{stream}_present" for stream in config.streams)]


def check_spec(config: FSENetConfig, spec: ModelSpec) -> None:
    """Raise `spec_mismatch` unless the network takes exactly the streams and sizes that the spec states."""
    wanted = FSENetConfig.for_spec(spec)
    for name in ("visual_dim", "audio_shape", "face_dim", "classes"):
        ours, theirs = getattr(config, name), getattr(wanted, name)
        if ours != theirs:
            raise SentilocError(
                ErrorCode.SPEC_MISMATCH, f"{name}: the network has {ours}, the spec {spec.name} says {theirs}"
            )


def export_onnx(network: FSENet, spec: ModelSpec, path: Path) -> float:
    """Write the ONNX graph and return the largest |PyTorch - ONNX Runtime| over T = 1, 7, 8, 500.

    Raises `spec_mismatch` if the network does not fit the spec, `internal` if the graph's numbers differ by
    more than 1e-4; then no file is written.
    """
    check_spec(network.config, spec)
    graph = ServingGraph(network.cpu().eval())
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder) / "graph.onnx"
        _trace(graph, partial)
        _add_metadata(partial, spec)
        worst = max(_parity(graph, partial, batch, time) for time in PARITY_LENGTHS for batch in (1, 3))
        if not worst <= PARITY_TOLERANCE:
            raise SentilocError(
                ErrorCode.INTERNAL, f"ONNX and PyTorch differ by {worst:.2g}, more than {PARITY_TOLERANCE:g}"
            )
        partial.replace(path)
    return worst


def example_inputs(config: FSENetConfig, batch: int, time: int, seed: int = 0) -> list[Tensor]:
    """Random inputs in `input_names` order; about a third of the steps absent, different ones in each
    stream.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = config.stream_shapes.values()
    features = [torch.randn(batch, time, *shape, generator=generator) for shape in shapes]
    masks = [torch.rand(batch, time, generator=generator) > 1 / 3 for _ in config.streams]
    return [*features, *masks]


def _trace(graph: ServingGraph, path: Path) -> None:
    names = input_names(graph.network.config)
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            tuple(example_inputs(graph.network.config, 2, 24)),
            str(path),
            input_names=names,
            output_names=["scores", "saliency"],
            dynamic_shapes=(tuple(axes for _ in names),),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _add_metadata(path: Path, spec: ModelSpec) -> None:
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {SPEC_KEY: spec.to_json()})
    model.doc_string = ""
    _name_axes(model.graph)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _name_axes(graph: Any) -> None:
    """Call the dynamic axes of inputs and outputs `batch` and `time`; intermediate shapes are dropped."""
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim[:2], ("batch", "time"), strict=True):
            axis.dim_param = name


def _parity(graph: ServingGraph, path: Path, batch: int, time: int) -> float:
    """Largest absolute difference of any output on random inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = example_inputs(graph.network.config, batch, time, seed=time)
    with torch.inference_mode():
        expected = graph(*inputs)
    feeds = {name: x.numpy() for name, x in zip(input_names(graph.network.config), inputs, strict=True)}
    found = session.run(["scores", "saliency"], feeds)
    return float(
        max(np.abs(ours.numpy() - theirs).max() for ours, theirs in zip(expected, found, strict=True))
    )
