"""Scene and motion features of snippets: I3D-RGB through ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.segments import FloatArray

BATCH = 4
GPU_BATCH = 8
"""The number of snippets that the decoder hands over at a time."""
VISUAL_SIZE = 224
CALIBRATED_ON = "sentiloc.calibrated_on"
"""Metadata of an 8-bit network: SHA-256 of the videos that set its ranges, as a JSON list."""
Frames = NDArray[np.uint8]
Memory = Literal["cpu", "cuda"]


class VisualExtractor:
    """Converts snippets of frames to features (time, 1024). Keeps nothing between calls.

    With `fixed_batch` every call of the network has that many snippets, padded with black ones, in buffers that stay in
    `memory`. A GPU then plans for one shape only, allocates nothing per batch, and its memory does not grow.
    """

    def __init__(
        self, session: ort.InferenceSession, fixed_batch: int | None = None, memory: Memory = "cpu"
    ) -> None:
        frames, features = session.get_inputs()[0], session.get_outputs()[0]
        if (frames.name, frames.type, features.name) != ("frames", "tensor(uint8)", "features"):
            raise SentilocError(ErrorCode.SPEC_MISMATCH, "the visual network does not take frames")
        self.snippet_frames, self.dim = int(frames.shape[1]), int(features.shape[1])
        self.calibrated_on = _calibrated_on(session)
        self._session, self._size = session, fixed_batch or BATCH
        shape = (self._size, self.snippet_frames, VISUAL_SIZE, VISUAL_SIZE, 3)
        self._buffers = _Buffers(session, shape, self.dim, memory) if fixed_batch else None

    @property
    def batch(self) -> int:
        """The number of snippets that one run of the network takes."""
        return self._size

    def warm_up(self) -> None:
        """Let a device plan and allocate now rather than in the first job. Does nothing on a CPU."""
        if self._buffers:
            shape = (self.snippet_frames, VISUAL_SIZE, VISUAL_SIZE, 3)
            self.extract([np.zeros(shape, np.uint8)])

    def extract(self, frames: Sequence[Frames]) -> FloatArray:
        """T snippets of frames (16, 224, 224, 3) RGB -> features (T, 1024), T >= 0."""
        run = self._buffers.run if self._buffers else self._run
        parts = [run(frames[start : start + self._size]) for start in range(0, len(frames), self._size)]
        return np.concatenate([np.zeros((0, self.dim), np.float32), *parts])

    def _run(self, batch: Sequence[Frames]) -> FloatArray:
        found: FloatArray = self._session.run(["features"], {"frames": np.stack(batch)})[0]
        return found


class _Buffers:
    """A network's input (batch, 16, 224, 224, 3) and output (batch, dim) on its device, bound once for all calls."""

    def __init__(
        self, session: ort.InferenceSession, shape: tuple[int, ...], dim: int, memory: Memory
    ) -> None:
        self._session, self._filled = session, np.zeros(shape, np.uint8)
        self._input = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.uint8, memory, 0)
        self._output = ort.OrtValue.ortvalue_from_shape_and_type((shape[0], dim), np.float32, memory, 0)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input("frames", self._input)
        self._binding.bind_ortvalue_output("features", self._output)

    def run(self, batch: Sequence[Frames]) -> FloatArray:
        """Features (len(batch), dim) of at most as many snippets as the buffer holds; the rest is black."""
        for place, snippet in zip(self._filled, batch, strict=False):
            place[...] = snippet
        # Black instead of frames of the previous batch, so that the result does not depend on that batch.
        self._filled[len(batch) :] = 0
        self._input.update_inplace(self._filled)
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        # A copy, because the next call overwrites the buffer.
        return np.array(self._output.numpy()[: len(batch)])


def _calibrated_on(session: ort.InferenceSession) -> frozenset[str] | None:
    """The digests of the videos on which an 8-bit network was calibrated; None if the network does not state them."""
    stored: str | None = session.get_modelmeta().custom_metadata_map.get(CALIBRATED_ON)
    return None if stored is None else frozenset(json.loads(stored))
