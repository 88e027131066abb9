"""Checkpoints that a kill cannot tear, and FSENet weights with their configuration."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.network import FSENet, FSENetConfig


def save_atomic(content: dict[str, Any], path: Path) -> None:
    """torch.save that appears whole or not at all, also after a power cut."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU; raises `model_unavailable` that names the file."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"cannot read checkpoint {path}: {error}") from error
    return content


def network_state(network: FSENet) -> dict[str, Any]:
    """Configuration and weights, as `load_fsenet` reads them."""
    return {"network": asdict(network.config), "weights": network.state_dict()}


def load_fsenet(path: Path, audio_encoder: nn.Module | None = None) -> FSENet:
    """The network of a `best.pt` or `last.pt`, in evaluation mode.

    A network that was trained with an audio encoder of the caller's needs one of the same kind here.
    """
    content = load_checkpoint(path)
    try:
        network = FSENet(network_config(content["network"]), audio_encoder)
        network.load_state_dict(content["weights"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, f"{path} holds no such FSENet: {error}") from error
    return network.eval()


def network_config(raw: dict[str, Any]) -> FSENetConfig:
    """FSENetConfig from its `asdict` form, also after JSON."""
    audio = raw["audio_shape"]
    return FSENetConfig(**{**raw, "audio_shape": None if audio is None else tuple(audio)})
