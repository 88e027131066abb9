"""FSENet weights with their configuration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.training.checkpoint import contents_of, load_checkpoint


def network_state(network: FSENet) -> dict[str, Any]:
    """Configuration and weights, as `load_fsenet` reads them."""
    return {"network": asdict(network.config), "weights": network.state_dict()}


def load_fsenet(path: Path, audio_encoder: nn.Module | None = None) -> FSENet:
    """The network of a `best.pt` or `last.pt`, in evaluation mode.

    A network that was trained with a caller's audio encoder needs one of the same kind here.
    """
    content = load_checkpoint(path)
    task = content.get("task", "sentiment")
    if task != "sentiment":
        raise SentilocError(
            ErrorCode.MODEL_UNAVAILABLE, f"{path}: a network of the task {task}, not an FSENet"
        )
    with contents_of(path, "this FSENet"):
        network = FSENet(network_config(content["network"]), audio_encoder)
        network.load_state_dict(content["weights"])
    return network.eval()


def network_config(raw: dict[str, Any]) -> FSENetConfig:
    """FSENetConfig from its `asdict` form, also after JSON."""
    # JSON has no tuples.
    audio = raw["audio_shape"]
    return FSENetConfig(**{**raw, "audio_shape": None if audio is None else tuple(audio)})
