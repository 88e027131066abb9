"""Scene and motion features of snippets: I3D-RGB through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.errors import ErrorCode, SentilocError
from model.segments import FloatArray

BATCH = 4
VISUAL_SIZE = 224


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that is used here."""

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Named inputs to named outputs."""

    def get_inputs(self) -> list[Any]:
        """Declared inputs."""

    def get_outputs(self) -> list[Any]:
        """Declared outputs."""


class VisualExtractor:
    """Snippets of frames in, (time, 1024) out. Keeps nothing between calls."""

    def __init__(self, session: Session) -> None:
        self._session = session
        frames, features = session.get_inputs()[0], session.get_outputs()[0]
        if (frames.name, frames.type, features.name) != ("frames", "tensor(uint8)", "features"):
            raise SentilocError(ErrorCode.SPEC_MISMATCH, "the visual network does not take frames")
        self.snippet_frames, self.dim = int(frames.shape[1]), int(features.shape[1])

    def extract(self, frames: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """T snippets of frames (16, 224, 224, 3) RGB -> features (T, 1024), T >= 0."""
        batches = (np.stack(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH))
        parts = [self._session.run(["features"], {"frames": batch})[0] for batch in batches]
        return np.concatenate([np.zeros((0, self.dim), np.float32), *parts])
