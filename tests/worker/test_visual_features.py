"""Snippets go to the visual network in batches; padding of a fixed batch changes no feature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.visual import BATCH, VisualExtractor
from sentiloc.worker.runtime.onnx_session import create_session
from tests.worker.tiny_networks import write_visual


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of I3D's inputs and outputs: the mean colour of a snippet's frames."""
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", 16, 224, 224, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3])
    axes = numpy_helper.from_array(np.array([1, 2, 3]), "axes")
    nodes = [
        helper.make_node("Cast", ["frames"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["features"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "mean", [frames], [features], [axes])
    path = tmp_path_factory.mktemp("network") / "mean.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _snippets(count: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    return [np.full((16, 224, 224, 3), 10 * index, np.uint8) for index in range(count)]


def _means(extractor: VisualExtractor, count: int) -> FloatArray:
    return extractor.extract(_snippets(count))[:, 0]


@pytest.mark.parametrize("fixed", [None, 3])
@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1])
def test_every_snippet_in_order_whatever_the_batch(network: Path, fixed: int | None, count: int) -> None:
    extractor = VisualExtractor(create_session(network), fixed)
    extractor.warm_up()
    np.testing.assert_allclose(_means(extractor, count), 10.0 * np.arange(count), rtol=1e-4)


def test_bound_buffers_give_identical_features_and_keep_no_state(
    tmp_path: Path,
) -> None:
    session = create_session(write_visual(tmp_path / "tiny.onnx"))
    rng = np.random.default_rng(0)
    snippets = [rng.integers(0, 256, (16, 224, 224, 3), dtype=np.uint8) for _ in range(BATCH + 1)]
    plain, bound = VisualExtractor(session), VisualExtractor(session, BATCH)
    first = bound.extract(snippets)
    assert np.array_equal(first, plain.extract(snippets))
    kept = first.copy()
    assert np.array_equal(bound.extract(snippets[::-1]), plain.extract(snippets[::-1]))
    assert np.array_equal(first, kept)
