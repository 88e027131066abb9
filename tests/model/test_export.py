"""The ONNX graph: same numbers at any length, only the inputs that the spec has, the spec inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.export import check_spec, example_inputs, export_onnx, input_names
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec, VisualStream, parse_spec
from sentiloc.model.training.graph_export import SPEC_KEY

SMALL = {"width": 16, "heads": 2, "saliency_width": 8, "class_width": 8}
SPEC = ModelSpec(
    name="tiny",
    version="1",
    visual=VisualStream(dim=6),
    audio=AudioStream(frames=8, mels=6),
    face=FaceStream(dim=4),
)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (SPEC, {}),
        # The four attentions of both stages are alike, and an export takes longer the more there are: all are exported
        # once, and each other kind in one stage.
        (replace(SPEC, visual=None), {"attention_window": 5, "fusion": "mean", "stage1": False}),
        (
            replace(SPEC, face=None),
            {"attention": "plain", "position": "none", "attention_window": 5, "stage2": False},
        ),
        (replace(SPEC, visual=None, audio=None), {"gsp": False, "stage2": False}),
    ],
    ids=["all", "banded-without-visual", "plain-without-face", "ablated-face-alone"],
)
def test_onnx_gives_pytorchs_numbers_at_any_length(
    tmp_path: Path, spec: ModelSpec, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    network = FSENet(FSENetConfig.for_spec(spec, **SMALL, **options))
    path = tmp_path / "fsenet.onnx"
    assert export_onnx(network, spec, path) <= 1e-4
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == input_names(network.config)
    assert [entry.shape[:2] for entry in session.get_inputs()] == [["batch", "time"]] * len(
        session.get_inputs()
    )
    graph = onnx.load(str(path))
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()
    assert [entry.key for entry in graph.metadata_props] == [SPEC_KEY]
    assert list(tmp_path.iterdir()) == [path]
    assert parse_spec(session.get_modelmeta().custom_metadata_map[SPEC_KEY]) == spec
    for time in (1, 7, 8, 500):
        inputs = example_inputs(network.config, 2, time, seed=time + 1)
        with torch.inference_mode():
            named = dict(zip(input_names(network.config), inputs, strict=True))
            streams = {name: named.pop(name, None) for name in ("visual", "audio", "face")}
            output = network(**streams, **named)
        feeds = {name: x.numpy() for name, x in zip(input_names(network.config), inputs, strict=True)}
        scores, saliency = session.run(["scores", "saliency"], feeds)
        assert np.abs(output.served(network.config.fusion).numpy() - scores).max() <= 1e-4
        assert np.abs(output.saliency.numpy() - saliency).max() <= 1e-4


def test_a_network_that_does_not_fit_the_spec_is_refused(tmp_path: Path) -> None:
    network = FSENet(FSENetConfig.for_spec(SPEC, **SMALL))
    with pytest.raises(SentilocError, match="face_dim: the network has 4") as caught:
        export_onnx(network, replace(SPEC, face=FaceStream(dim=5)), tmp_path / "fsenet.onnx")
    assert caught.value.code == ErrorCode.SPEC_MISMATCH
    assert not list(tmp_path.iterdir())
    check_spec(network.config, SPEC)


def test_a_graph_with_other_numbers_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentiloc.model.training.graph_export.PARITY_TOLERANCE", -1.0)
    spec = replace(SPEC, visual=None, audio=None)
    options = {**SMALL, "gsp": False, "stage1": False, "stage2": False}
    with pytest.raises(SentilocError, match="differ"):
        export_onnx(FSENet(FSENetConfig.for_spec(spec, **options)), spec, tmp_path / "fsenet.onnx")
    assert not list(tmp_path.iterdir())
