"""The expression network: grey face crops in, embeddings out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face_detection import read_spec
from sentiloc.worker.runtime.onnx_session import create_session

ENCODE_BATCH = 32


class FaceEncoder:
    """The expression package: grey face crops to embeddings.

    With `is_mirror_averaged`, outputs are means over a crop and its mirror image.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        *,
        size: int,
        margin: float,
        dim: int,
        is_mirror_averaged: bool = True,
    ) -> None:
        self._session = session
        self.is_mirror_averaged = is_mirror_averaged
        self.checks = "face" in {output.name for output in session.get_outputs()}
        self.size = size
        self.margin = margin
        self.dim = dim

    @classmethod
    def from_package(cls, package: Path, *, threads: int = 1) -> FaceEncoder:
        """Open folder `package`; SentilocError if it is incomplete or broken."""
        spec = read_spec(package)
        session = create_session(package / str(spec["network"]), threads=threads)
        return cls(
            session,
            size=spec["input"]["size"],
            margin=spec["margin"],
            dim=spec["embedding_dim"],
            is_mirror_averaged=spec["mirror_averaged"],
        )

    def encode(self, crops: Sequence[NDArray[np.uint8]]) -> FloatArray:
        """Crops (size, size), grey -> embeddings (n, dim)."""
        return self.read(crops)[0]

    def read(self, crops: Sequence[NDArray[np.uint8]]) -> tuple[FloatArray, FloatArray]:
        """Crops (size, size), grey -> embeddings (n, dim) and the probability (n,) that the crop shows a face.

        Networks before version 2 do not output it: then the probability is 0.5, and `checks` is False.
        """
        embeddings, faces = [np.zeros((0, self.dim), np.float32)], [np.zeros(0, np.float32)]
        names = ["embedding", "face"] if self.checks else ["embedding"]
        for start in range(0, len(crops), ENCODE_BATCH):
            pixels = np.stack(crops[start : start + ENCODE_BATCH])[:, None].astype(np.float32) / 255
            found = self._session.run(names, {"faces": pixels})
            embeddings.append(found[0])
            faces.append(found[1] if self.checks else np.full(len(pixels), 0.5, np.float32))
        return np.concatenate(embeddings), np.concatenate(faces)
