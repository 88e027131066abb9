"""Exports CTEN to ONNX and a package for serving. Inputs `visual` and `audio` (B, T, dim); outputs `video` (B, M),
`segments` (B, T, M), both softmax probabilities, and `attention` (B, T, 2).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sentiloc.model.cten.inputs import modality_dims
from sentiloc.model.cten.losses import class_probabilities
from sentiloc.model.cten.network import CTEN, CTENConfig
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import write_whole
from sentiloc.model.package import NETWORK_FILES
from sentiloc.model.spec import ModelSpec
from sentiloc.model.training.checkpoint import contents_of, load_checkpoint, save_atomic
from sentiloc.model.training.graph_export import Graph, export_graph

TASK = "emotion"
CONFIDENCE_THRESHOLD = 0.3
"""Default minimum confidence of a segment, if the package does not state one."""


class _Serving(nn.Module):
    """The network without erasing: the original video, section 4.2."""

    def __init__(self, network: CTEN) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """visual and audio (B, T, dim) -> video (B, M), segments (B, T, M), attention (B, T, 2)."""
        output = self.network(*inputs)
        return class_probabilities(output.activations), class_probabilities(output.segments), output.attention


def emotion_spec(
    spec: ModelSpec, classes: tuple[str, ...], name: str, version: str, segments: int | None = None
) -> ModelSpec:
    """The spec of a package whose features are those of `spec`; `segments` of every video, if their number is fixed."""
    return replace(
        spec,
        name=name,
        version=version,
        task=TASK,
        classes=classes,
        proposal_rule="cten",
        confidence_threshold=CONFIDENCE_THRESHOLD,
        segments=segments,
    )


def export_cten(network: CTEN, spec: ModelSpec, package: Path) -> float:
    """Write a package's network and spec; returns the largest difference from PyTorch.

    Raises `spec_mismatch` if the network does not fit the spec.
    """
    config = network.config
    fits = (config.visual_dim, config.audio_dim) == modality_dims(spec) and config.classes == len(
        spec.classes
    )
    if not fits or spec.task != TASK or spec.segments != config.segments:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"{spec.name}: the network is not of this spec")

    def examples(batch: int, time: int, seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        sizes = (config.visual_dim, config.audio_dim)
        return [torch.randn(batch, time, size, generator=generator) for size in sizes]

    graph = Graph(
        module=_Serving(network),
        inputs=("visual", "audio"),
        outputs=("video", "segments", "attention"),
        examples=examples,
        time=config.segments,
    )
    worst = export_graph(graph, spec, package / NETWORK_FILES[TASK])
    write_whole(package / "spec.json", spec.to_json() + "\n")
    return worst


def save_cten(network: CTEN, classes: tuple[str, ...], path: Path) -> None:
    """A checkpoint that `load_cten` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"task": TASK, "network": asdict(network.config), "weights": network.state_dict()}
    save_atomic({**content, "classes": list(classes)}, path)


def load_cten(path: Path) -> tuple[CTEN, tuple[str, ...]]:
    """The network and its classes; raises `model_unavailable` for another kind of checkpoint."""
    content: dict[str, Any] = load_checkpoint(path)
    with contents_of(path, "CTEN"):
        network = CTEN(CTENConfig(**content["network"]))
        network.load_state_dict(content["weights"])
        return network.eval(), tuple(content["classes"])
