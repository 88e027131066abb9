"""Exports a network to ONNX with its spec, after comparing its outputs with PyTorch's.

Batch and time are dynamic axes of every input, with these names in the file; the time of some graphs is fixed.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.spec import ModelSpec

SPEC_KEY = "sentiloc.spec"
PARITY_LENGTHS = (1, 7, 8, 300)
PARITY_TOLERANCE = 1e-4
_OPSET = 18
Examples = Callable[[int, int, int], list[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph to export: a module whose `forward(*inputs)` returns a tuple, the names of inputs and outputs, example
    inputs by batch, time and seed, and the lengths at which it is compared with PyTorch. `time`: its only length, if it
    has one.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    examples: Examples
    lengths: tuple[int, ...] = PARITY_LENGTHS
    time: int | None = None


def export_graph(graph: Graph, spec: ModelSpec, path: Path) -> float:
    """Write the ONNX graph and return the largest |PyTorch - ONNX Runtime| over several lengths.

    Raises `internal` if the graph's numbers differ by more than 1e-4; then no file is written.
    """
    # On the CPU, because the comparison with ONNX Runtime runs there.
    graph.module.cpu().eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths = graph.lengths if graph.time is None else (graph.time,)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder) / "graph.onnx"
        _trace(graph, partial)
        _add_spec(partial, spec)
        worst = max(_difference(graph, partial, batch, time) for time in lengths for batch in (1, 3))
        # Written so that NaN fails, too.
        if not worst <= PARITY_TOLERANCE:
            raise SentilocError(
                ErrorCode.INTERNAL, f"ONNX and PyTorch differ by {worst:.2g}, more than {PARITY_TOLERANCE:g}"
            )
        partial.replace(path)
    return worst


def _trace(graph: Graph, path: Path) -> None:
    axes = {0: torch.export.Dim.DYNAMIC} | ({} if graph.time else {1: torch.export.Dim.DYNAMIC})
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            # Not 1: the exporter would specialize a dimension of size 1.
            tuple(graph.examples(2, graph.time or 24, 0)),
            str(path),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=(tuple(axes for _ in graph.inputs),),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _add_spec(path: Path, spec: ModelSpec) -> None:
    """Store the spec, and remove information about the exporting machine."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {SPEC_KEY: spec.to_json()})
    model.doc_string = ""
    _name_axes(model.graph)
    # PyTorch stores stack traces with the paths of the exporting machine in every node.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _name_axes(graph: Any) -> None:
    """Name the dynamic axes of inputs and outputs `batch` and `time`; drop intermediate shapes."""
    # They would state the example's sizes; ONNX Runtime infers them again.
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, ("batch", "time"), strict=False):
            if axis.HasField("dim_param"):
                axis.dim_param = name


def _difference(graph: Graph, path: Path, batch: int, time: int) -> float:
    """Largest absolute difference of any output on example inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = graph.examples(batch, time, time)
    with torch.inference_mode():
        expected: Sequence[Tensor] = graph.module(*inputs)
    found = session.run(
        list(graph.outputs), dict(zip(graph.inputs, (x.numpy() for x in inputs), strict=True))
    )
    return float(
        max(np.abs(ours.numpy() - theirs).max() for ours, theirs in zip(expected, found, strict=True))
    )
