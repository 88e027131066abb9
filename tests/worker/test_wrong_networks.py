"""A network that does not do what its package's spec says is refused with a typed error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import ModelPackage, load_package
from sentiloc.model.segments import SnippetFeatures
from sentiloc.worker.pipelines.localizer import Localizer
from sentiloc.worker.runtime.onnx_session import create_session

SNIPPETS = 4
SHAPES: dict[str, tuple[str | int, ...]] = {
    "audio": ("batch", "time", 32, 60),
    "face": ("batch", "time", 256),
    "audio_present": ("batch", "time"),
    "face_present": ("batch", "time"),
}
PACKAGE = load_package("fsenet-starter")


def localizer(
    folder: Path,
    inputs: Mapping[str, tuple[str | int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    kinds: Mapping[str, int] | None = None,
) -> Localizer:
    """A localizer with a network that takes these inputs and always gives zeros of these shapes."""
    types = {name: TensorProto.BOOL if name.endswith("present") else TensorProto.FLOAT for name in inputs}
    nodes = [
        helper.make_node(
            "Constant", [], [name], value=numpy_helper.from_array(np.zeros(shape, np.float32), name)
        )
        for name, shape in outputs.items()
    ]
    graph = helper.make_graph(
        nodes,
        "zeros",
        [
            helper.make_tensor_value_info(name, {**types, **(kinds or {})}[name], shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(made, {"sentiloc.spec": PACKAGE.spec.to_json()})
    package: ModelPackage = replace(PACKAGE, folder=folder)
    onnx.save(made, package.network)
    return Localizer(package, create_session(package.network, "cpu", 1))


def features() -> SnippetFeatures:
    present = np.ones(SNIPPETS, np.bool_)
    return SnippetFeatures(
        visual=None,
        audio=np.zeros((SNIPPETS, 32, 60), np.float32),
        face=np.zeros((SNIPPETS, 256), np.float32),
        visual_present=~present,
        audio_present=present,
        face_present=present,
    )


RIGHT = {"scores": (1, SNIPPETS, 3), "saliency": (1, SNIPPETS, 1)}


def test_a_network_that_fits_is_used(tmp_path: Path) -> None:
    assert localizer(tmp_path, SHAPES, RIGHT).score(features()).scores.shape == (SNIPPETS, 3)


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({**SHAPES, "pose": ("batch", "time", 9)}, RIGHT, "has an input 'pose'"),
        ({**SHAPES, "face": ("batch", "time", 13)}, RIGHT, "input 'face' has the shape"),
        ({**SHAPES, "face": ("batch", "time")}, RIGHT, "input 'face' has the shape"),
        ({**SHAPES, "face_present": ("batch", 7)}, RIGHT, "input 'face_present' has the shape"),
        (SHAPES, {"scores": (1, SNIPPETS, 3)}, "has no output saliency"),
        (SHAPES, {"found": (1,)}, "has no output saliency, scores"),
    ],
)
def test_wrong_inputs_and_outputs_are_named_when_a_package_is_loaded(
    tmp_path: Path,
    inputs: Mapping[str, tuple[str | int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    said: str,
) -> None:
    with pytest.raises(SentilocError, match=said) as raised:
        localizer(tmp_path, inputs, outputs)
    assert raised.value.code is ErrorCode.SPEC_MISMATCH


def test_an_input_of_another_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(SentilocError, match=r"input 'face' of tensor\(int64\)"):
        localizer(tmp_path, SHAPES, RIGHT, {"face": TensorProto.INT64})


@pytest.mark.parametrize("shape", [(1,), (1, 1, 3), (SNIPPETS, 3), (0, 3), (1, SNIPPETS, 4), ()])
def test_scores_of_another_shape_are_not_repeated_to_fit(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(SentilocError, match="gave an array of the shape") as raised:
        localizer(tmp_path, SHAPES, {**RIGHT, "scores": shape}).score(features())
    assert raised.value.code is ErrorCode.SPEC_MISMATCH
