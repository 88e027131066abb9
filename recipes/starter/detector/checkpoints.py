"""The weight average and the checkpoint of a detector's training, whatever it learns from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sentiloc.model.extractors.face_detector import FaceDetector


def averaged(model: FaceDetector, decay: float) -> AveragedModel:
    """An exponential average of the weights and buffers of `model`."""
    return AveragedModel(
        model,
        multi_avg_fn=get_ema_multi_avg_fn(decay),  # type: ignore[no-untyped-call]
        # The statistics of batch norms are averaged as well, so that they fit the averaged weights.
        use_buffers=True,
    )


def inner(average: AveragedModel) -> FaceDetector:
    """The detector that holds the averaged weights."""
    detector = average.module
    if not isinstance(detector, FaceDetector):
        raise TypeError(f"expected a FaceDetector, got {type(detector).__name__}")
    return detector


def save(
    path: Path, step: int, model: FaceDetector, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> None:
    """Write the whole state after `step` steps, atomically."""
    partial = path.with_suffix(".partial")
    states = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save({"step": step, **states}, partial)
    partial.replace(path)


def resume(path: Path, model: FaceDetector, average: AveragedModel, optimizer: torch.optim.Optimizer) -> int:
    """Load the state at `path`, if there is one; returns the number of steps that are done."""
    if not path.exists():
        return 0
    stored = torch.load(path, weights_only=True)
    model.load_state_dict(stored["model"])
    average.load_state_dict(stored["average"])
    optimizer.load_state_dict(stored["optimizer"])
    return int(stored["step"])
