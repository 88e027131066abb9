"""Exports GIM to ONNX and a package for serving. Input `flow` (B, T, inputs), the motion into and out of each frame;
outputs `intensity` (B, T) and `actions` (B, T, C).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import write_whole
from sentiloc.model.gim.network import GIM, GIMConfig
from sentiloc.model.gim.spec import TASK
from sentiloc.model.package import NETWORK_FILES
from sentiloc.model.spec import ModelSpec
from sentiloc.model.training.checkpoint import contents_of, load_checkpoint, save_atomic
from sentiloc.model.training.graph_export import Graph, export_graph


class _Serving(nn.Module):
    def __init__(self, network: GIM) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """flow (B, T, inputs) -> intensity (B, T), actions (B, T, C)."""
        output = self.network(*inputs)
        return output.intensity, output.actions


def export_gim(network: GIM, spec: ModelSpec, package: Path) -> float:
    """Write a package's network and spec; returns the largest difference from PyTorch.

    Raises `spec_mismatch` if the network does not fit the spec.
    """
    if spec.task != TASK or spec.flow is None or network.config.inputs != spec.flow.inputs:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{spec.name}: the network is not of this spec")

    def examples(batch: int, time: int, seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(batch, time, network.config.inputs, generator=generator)]

    graph = Graph(
        module=_Serving(network), inputs=("flow",), outputs=("intensity", "actions"), examples=examples
    )
    worst = export_graph(graph, spec, package / NETWORK_FILES[TASK])
    write_whole(package / "spec.json", spec.to_json() + "\n")
    return worst


def save_gim(network: GIM, path: Path) -> None:
    """A checkpoint that `load_gim` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomic({"task": TASK, "network": asdict(network.config), "weights": network.state_dict()}, path)


def load_gim(path: Path) -> GIM:
    """The network; raises `model_unavailable` for another kind of checkpoint."""
    content: dict[str, Any] = load_checkpoint(path)
    with contents_of(path, "GIM"):
        raw = content["network"]
        network = GIM(GIMConfig(**{**raw, "dilations": tuple(raw["dilations"])}))
        network.load_state_dict(content["weights"])
    return network.eval()
