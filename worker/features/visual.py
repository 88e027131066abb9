"""Scene and motion features of snippets: I3D-RGB through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.errors import ErrorCode, SentilocError
from model.segments import FloatArray

BATCH = 4
GPU_BATCH = 8
"""As many snippets as the decoder hands over at a time."""
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
    """Snippets of frames in, (time, 1024) out. Keeps nothing between calls.

    With `fixed_batch` every call of the network has that many snippets, filled up with black ones: a GPU plans
    once for a shape, and its memory does not grow.
    """

    def __init__(self, session: Session, fixed_batch: int | None = None) -> None:
        self._session, self._fixed_batch = session, fixed_batch
        frames, features = session.get_inputs()[0], session.get_outputs()[0]
        if (frames.name, frames.type, features.name) != ("frames", "tensor(uint8)", "features"):
            raise SentilocError(ErrorCode.SPEC_MISMATCH, "the visual network does not take frames")
        self.snippet_frames, self.dim = int(frames.shape[1]), int(features.shape[1])

    def warm_up(self) -> None:
        """Let a device plan and allocate now rather than in the first job; nothing on a CPU."""
        if self._fixed_batch:
            shape = (self.snippet_frames, VISUAL_SIZE, VISUAL_SIZE, 3)
            self.extract([np.zeros(shape, np.uint8)])

    def extract(self, frames: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """T snippets of frames (16, 224, 224, 3) RGB -> features (T, 1024), T >= 0."""
        size = self._fixed_batch or BATCH
        parts = [self._run(np.stack(frames[start : start + size])) for start in range(0, len(frames), size)]
        return np.concatenate([np.zeros((0, self.dim), np.float32), *parts])

    def _run(self, batch: NDArray[np.uint8]) -> FloatArray:
        count, missing = len(batch), max(0, (self._fixed_batch or 0) - len(batch))
        filled = (
            np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.uint8)]) if missing else batch
        )
        return self._session.run(["features"], {"frames": filled})[0][:count]
