"""Networks between two exported ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from recipes.starter.detector.blend import blend
from sentiloc.model.extractors.face_detector import FaceDetector, export_onnx


def _exported(file: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    export_onnx(FaceDetector(16).eval(), file)
    return file


def _answer(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96)).astype(np.uint8)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": image})[0], np.float32)


def test_the_ends_are_the_two_networks_and_the_middle_is_neither(tmp_path: Path) -> None:
    old, new = (_exported(tmp_path / f"{seed}.onnx", seed) for seed in (1, 2))
    answers = []
    for share in (0.0, 0.5, 1.0):
        blend(old, new, share, tmp_path / "blend.onnx")
        answers.append(_answer(tmp_path / "blend.onnx"))
    assert np.allclose(answers[0], _answer(old), atol=1e-4)
    assert np.allclose(answers[2], _answer(new), atol=1e-4)
    assert not np.allclose(answers[1], answers[0], atol=1e-3)


def test_networks_of_different_shapes_are_refused(tmp_path: Path) -> None:
    old, new = tmp_path / "old.onnx", tmp_path / "new.onnx"
    for size, file in ((2, old), (3, new)):
        weights = onnx.numpy_helper.from_array(np.zeros(size, np.float32), "weights")
        onnx.save(helper.make_model(helper.make_graph([], "net", [], [], [weights])), file)
    with pytest.raises(ValueError, match="different shapes"):
        blend(old, new, 0.5, tmp_path / "blend.onnx")
