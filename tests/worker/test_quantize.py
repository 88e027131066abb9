"""An 8-bit twin of a network comes with its measured error, and only where there is something to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model.errors import ErrorCode, SentilocError
from tests.media import make_clip
from worker.decode import DecodeLimits
from worker.quantize import quantize, sample_snippets


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """I3D's inputs and outputs around one convolution."""
    rng = np.random.default_rng(0)
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 16, 224, 224, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 8])
    weights = numpy_helper.from_array(
        rng.standard_normal((8, 3, 1, 8, 8)).astype(np.float32) / 1000, "weights"
    )
    axes = numpy_helper.from_array(np.array([2, 3, 4]), "axes")
    nodes = [
        helper.make_node("Cast", ["frames"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["clips"], perm=[0, 4, 1, 2, 3]),
        helper.make_node("Conv", ["clips", "weights"], ["maps"], strides=[4, 8, 8]),
        helper.make_node("ReduceMean", ["maps", "axes"], ["features"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "tiny", [frames], [features], [weights, axes])
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_quantizes_and_states_the_error(network: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    snippets = [rng.integers(0, 256, (16, 224, 224, 3), dtype=np.uint8) for _ in range(4)]
    error = quantize(network, tmp_path / "int8.onnx", snippets)
    kinds = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert "QuantizeLinear" in kinds
    assert 0 < error.relative < 0.05
    assert 0.99 < error.cosine <= 1.0001
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.onnx", "int8.onnx"}


def test_one_snippet_is_too_little_to_calibrate_and_measure(network: Path, tmp_path: Path) -> None:
    with pytest.raises(SentilocError) as caught:
        quantize(network, tmp_path / "int8.onnx", [np.zeros((16, 224, 224, 3), np.uint8)])
    assert caught.value.code == ErrorCode.INVALID_DATA
    assert not (tmp_path / "int8.onnx").exists()


def test_samples_every_fifth_snippet_of_each_video(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=5.0)
    snippets = sample_snippets([tmp_path / "clip.mp4"] * 2, DecodeLimits(threads=1))
    assert [snippet.shape for snippet in snippets] == [(16, 224, 224, 3)] * 4
