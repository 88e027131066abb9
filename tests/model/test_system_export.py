"""CTEN and GIM as ONNX: the same numbers as PyTorch at any length, and only under the spec they were trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from sentiloc.model.cten.export import emotion_spec, export_cten, load_cten, save_cten
from sentiloc.model.cten.network import CTEN, CTENConfig
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.fsenet.checkpoint import load_fsenet
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.gim.export import export_gim, load_gim, save_gim
from sentiloc.model.gim.network import GIM, GIMConfig
from sentiloc.model.gim.spec import expression_spec
from sentiloc.model.package import list_packages, load_package
from sentiloc.model.spec import AudioStream, FaceStream, FlowStream, ModelSpec, parse_spec
from sentiloc.model.training.checkpoint import load_checkpoint
from sentiloc.worker.pipelines.expression import ExpressionScorer

FEATURES = ModelSpec(
    name="tiny", version="1", visual=None, audio=AudioStream(frames=4, mels=3), face=FaceStream(dim=5)
)
EMOTIONS = emotion_spec(FEATURES, ("fear", "joy", "sadness"), "cten-tiny", "1")
EXPRESSIONS = expression_spec("gim-tiny", "1", FlowStream(grid=2))


def tiny_cten() -> CTEN:
    torch.manual_seed(0)
    network = CTEN(CTENConfig(visual_dim=5, audio_dim=6, classes=3, width=8))
    for part in (network.visual, network.audio):
        assert part is not None
        torch.nn.init.normal_(part.w_intra)
        torch.nn.init.normal_(part.w_inter)
    return network


def axes(path: Path) -> dict[str, list[str | int]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}


def test_both_networks_become_packages_with_pytorchs_numbers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cten, gim = tiny_cten(), GIM(GIMConfig(inputs=16, width=8))
    save_cten(cten, EMOTIONS.classes, tmp_path / "runs" / "cten.pt")
    save_gim(gim, tmp_path / "runs" / "gim.pt")
    loaded, classes = load_cten(tmp_path / "runs" / "cten.pt")
    assert classes == EMOTIONS.classes
    root = tmp_path / "packages"
    assert export_cten(loaded, EMOTIONS, root / "cten-tiny") <= 1e-4
    assert export_gim(load_gim(tmp_path / "runs" / "gim.pt"), EXPRESSIONS, root / "gim-tiny") <= 1e-4
    assert list_packages(root) == ["cten-tiny", "gim-tiny"]
    assert load_package("cten-tiny", root).network.name == "cten.onnx"
    assert load_package("gim-tiny", root).spec == EXPRESSIONS
    assert axes(root / "cten-tiny" / "cten.onnx") == {
        "visual": ["batch", "time", 5],
        "audio": ["batch", "time", 6],
        "video": ["batch", 3],
        "segments": ["batch", "time", 3],
        "attention": ["batch", "time", 2],
    }
    assert str(Path(__file__).parents[2]).encode() not in (root / "gim-tiny" / "gim.onnx").read_bytes()


def test_windows_of_expressions_have_no_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each window is computed with more frames on both sides than the network sees at once."""
    torch.manual_seed(0)
    export_gim(GIM(GIMConfig(inputs=16, width=8)), EXPRESSIONS, tmp_path / "gim-tiny")
    package = load_package("gim-tiny", tmp_path)
    scorer = ExpressionScorer(package, onnxruntime.InferenceSession(str(package.network)))
    flow = np.random.default_rng(0).normal(size=(650, 8)).astype(np.float32)
    whole = scorer.score(flow)
    monkeypatch.setattr("sentiloc.worker.pipelines.expression.WINDOW", 200)
    for found, expected in zip(scorer.score(flow), whole, strict=True):
        assert len(found) == 650
        assert np.allclose(found, expected, atol=1e-5)
    assert np.ptp(whole[0]) > 1e-3


def test_a_network_is_not_exported_under_another_spec(tmp_path: Path) -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: export_cten(tiny_cten(), replace(EMOTIONS, classes=("fear", "joy")), tmp_path),
        lambda: export_cten(tiny_cten(), FEATURES, tmp_path),
        lambda: export_gim(GIM(GIMConfig(inputs=12, width=8)), EXPRESSIONS, tmp_path),
    )
    for attempt in attempts:
        with pytest.raises(SentilocError) as error:
            attempt()
        assert error.value.code is ErrorCode.SPEC_MISMATCH
    assert not list(tmp_path.iterdir())


def test_checkpoints_are_not_confused(tmp_path: Path) -> None:
    save_gim(GIM(GIMConfig(inputs=16, width=8)), tmp_path / "gim.pt")
    with pytest.raises(SentilocError):
        load_cten(tmp_path / "gim.pt")


@pytest.mark.parametrize("load", [load_fsenet, load_cten, load_gim])
def test_foreign_contents_are_no_checkpoint(tmp_path: Path, load: Callable[[Path], object]) -> None:
    path = tmp_path / "best.pt"
    raw = asdict(FSENetConfig(visual_dim=None, audio_shape=None, face_dim=8, width=16))
    contents: tuple[dict[str, Any], ...] = (
        {"network": 3},
        {"network": raw | {"width": 7}, "weights": {}},
        {"network": raw | {"heads": 0}, "weights": {}},
        {"network": raw, "weights": {1: 2}},
        {"network": {}, "weights": {"a": "b"}},
    )
    for content in contents:
        torch.save(content, path)
        with pytest.raises(SentilocError, match=r"best\.pt: not a checkpoint of ") as caught:
            load(path)
        assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE


def test_damaged_pickles_are_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    for content in (b"\x80\x02K\x01", b"\x80\x02a", b"\x80\x02]K\x01s.", b"\x80\x02J\x00", b"\x80\x02X\xff"):
        path.write_bytes(content)
        with pytest.raises(SentilocError, match=r"best\.pt: not a checkpoint, or damaged"):
            load_checkpoint(path)


def test_ten_segments_are_part_of_the_graph_and_of_the_spec(tmp_path: Path) -> None:
    """CTEN's section 4.2: the network takes ten segments of any video, and no other number."""
    any_number = tiny_cten()
    ten, spec = CTEN(replace(any_number.config, segments=10)), replace(EMOTIONS, segments=10)
    save_cten(ten, spec.classes, tmp_path / "ten.pt")
    assert export_cten(load_cten(tmp_path / "ten.pt")[0], spec, tmp_path / "ten") <= 1e-4
    assert axes(tmp_path / "ten" / "cten.onnx")["visual"] == ["batch", 10, 5]
    package = load_package("ten", tmp_path)
    assert (package.spec.segments, package.spec.features_hash) == (10, EMOTIONS.features_hash)
    assert "segments" not in EMOTIONS.to_json()
    for network, other in ((ten, EMOTIONS), (any_number, spec)):
        with pytest.raises(SentilocError, match="not of this spec"):
            export_cten(network, other, tmp_path / "no")


def test_a_flow_stream_changes_only_the_hash_of_specs_that_have_it() -> None:
    assert parse_spec(EXPRESSIONS.to_json()) == EXPRESSIONS
    assert "flow" not in FEATURES.to_json()
    other = replace(EXPRESSIONS, flow=FlowStream(grid=3))
    assert other.features_hash != EXPRESSIONS.features_hash


def test_the_graph_of_one_modality_takes_both(tmp_path: Path) -> None:
    """So that whatever serves CTEN serves it."""
    for shown in ("A", "V"):
        network = CTEN(CTENConfig(visual_dim=5, audio_dim=6, classes=3, width=8, modalities=shown))
        folder = tmp_path / shown
        folder.mkdir()
        assert export_cten(network.eval(), EMOTIONS, folder) <= 1e-4
        assert {"visual", "audio"} <= set(axes(next(folder.glob("*.onnx"))))
