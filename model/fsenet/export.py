"""FSENet -> ONNX, with its spec inside and its numbers checked against PyTorch before the file appears.

Inputs, for the streams that the spec has: `visual` (B, T, dim), `audio` (B, T, frames, mels) or (B, T,
dim), `face` (B, T, dim), float32; `visual_present`, `audio_present`, `face_present` (B, T), bool. Outputs:
`scores` (B, T, C + 1) by the config's fusion and `saliency` (B, T, 1). B and T are dynamic. Training heads
are not part of FSENet.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.ensemble import Ensemble
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.spec import ModelSpec
from sentiloc.model.training.graph_export import Graph, export_graph

# One step, odd and even short videos, and a long one: a graph that fixed a length fails at another.
PARITY_LENGTHS = (1, 7, 8, 500)


class ServingGraph(nn.Module):
    """FSENet with positional inputs for its own streams only: features first, then their masks."""

    def __init__(self, network: FSENet | Ensemble) -> None:
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


def export_onnx(network: FSENet | Ensemble, spec: ModelSpec, path: Path) -> float:
    """Write the ONNX graph and return the largest |PyTorch - ONNX Runtime| over T = 1, 7, 8, 500.

    Raises `spec_mismatch` if the network does not fit the spec, `internal` if the graph's numbers differ by
    more than 1e-4; then no file is written.
    """
    check_spec(network.config, spec)
    graph = Graph(
        module=ServingGraph(network),
        inputs=tuple(input_names(network.config)),
        outputs=("scores", "saliency"),
        examples=partial(example_inputs, network.config),
        lengths=PARITY_LENGTHS,
    )
    return export_graph(graph, spec, path)


def example_inputs(config: FSENetConfig, batch: int, time: int, seed: int = 0) -> list[Tensor]:
    """Random inputs in `input_names` order; about a third of the steps absent, different ones in each
    stream.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = config.stream_shapes.values()
    features = [torch.randn(batch, time, *shape, generator=generator) for shape in shapes]
    masks = [torch.rand(batch, time, generator=generator) > 1 / 3 for _ in config.streams]
    return [*features, *masks]
