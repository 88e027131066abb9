"""Any of the smaller networks -> ONNX, with its spec inside and its numbers checked before the file appears.

Batch and time are dynamic axes of every input; FSENet has its own export (`model/export.py`).
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import ErrorCode, SentilocError
from model.export import PARITY_TOLERANCE, SPEC_KEY
from model.spec import ModelSpec

LENGTHS = (1, 7, 40, 300)
_OPSET = 18
Examples = Callable[[int, int, int], list[Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What is exported: a module that takes and gives tensors by position, their names, and example inputs by
    batch, time and seed.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    examples: Examples


def export_graph(graph: Graph, spec: ModelSpec, path: Path) -> float:
    """Write the ONNX graph and return the largest |PyTorch - ONNX Runtime| over several lengths.

    Raises `internal` if the graph's numbers differ by more than 1e-4; then no file is written.
    """
    graph.module.cpu().eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder) / "graph.onnx"
        _trace(graph, partial)
        _add_spec(partial, spec)
        worst = max(_difference(graph, partial, batch, time) for time in LENGTHS for batch in (1, 2))
        if not worst <= PARITY_TOLERANCE:
            raise SentilocError(
                ErrorCode.INTERNAL, f"ONNX and PyTorch differ by {worst:.2g}, more than {PARITY_TOLERANCE:g}"
            )
        partial.replace(path)
    return worst


def _trace(graph: Graph, path: Path) -> None:
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            tuple(graph.examples(2, 24, 0)),
            str(path),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=tuple(axes for _ in graph.inputs),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _add_spec(path: Path, spec: ModelSpec) -> None:
    """Store the spec, and leave out what tells of the machine that exported."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {SPEC_KEY: spec.to_json()})
    model.doc_string = ""
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _difference(graph: Graph, path: Path, batch: int, time: int) -> float:
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
