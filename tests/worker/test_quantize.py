"""An int8 version of a network has a measured error, and needs snippets to calibrate on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.weights import sha256
from sentiloc.worker.decoder.decode import DecodeLimits
from sentiloc.worker.features.visual import VisualExtractor
from sentiloc.worker.precision.quantize import quantize, sample_snippets
from sentiloc.worker.runtime.onnx_session import create_session
from tests.support.media import make_clip
from tests.worker.tiny_networks import write_visual


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """I3D's inputs and outputs around one convolution."""
    return write_visual(tmp_path / "tiny.onnx")


def test_quantizes_and_states_the_error(network: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    snippets = [rng.integers(0, 256, (16, 224, 224, 3), dtype=np.uint8) for _ in range(4)]
    error = quantize(network, tmp_path / "int8.onnx", snippets)
    kinds = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert "QuantizeLinear" in kinds
    assert 0 < error.relative < 0.05
    assert 0.99 < error.cosine <= 1.0001
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.onnx", "int8.onnx"}


def test_remembers_the_videos_that_set_its_ranges(network: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    make_clip(video, seconds=5.0)
    quantize(network, tmp_path / "int8.onnx", sample_snippets([video], DecodeLimits(threads=1)), [video])
    assert VisualExtractor(create_session(tmp_path / "int8.onnx")).calibrated_on == frozenset([sha256(video)])
    assert VisualExtractor(create_session(network)).calibrated_on is None


def test_one_snippet_is_too_little_to_calibrate_and_measure(network: Path, tmp_path: Path) -> None:
    with pytest.raises(SentilocError) as caught:
        quantize(network, tmp_path / "int8.onnx", [np.zeros((16, 224, 224, 3), np.uint8)])
    assert caught.value.code == ErrorCode.INVALID_DATA
    assert not (tmp_path / "int8.onnx").exists()


def test_samples_every_fifth_snippet_of_each_video(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=5.0)
    snippets = sample_snippets([tmp_path / "clip.mp4"] * 2, DecodeLimits(threads=1))
    assert [snippet.shape for snippet in snippets] == [(16, 224, 224, 3)] * 4
