"""I3D-RGB against the reference: names, shapes, features, logits; and the exported graph against PyTorch."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentiloc.cli.weights.weights import pull_weights
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.i3d import I3D, load_i3d, pad_same, read_state
from sentiloc.model.extractors.i3d_kinetics import class_names, read_kinetics_state
from sentiloc.model.weights import WEIGHTS, git_blob_sha1, require_weights
from sentiloc.worker.features.visual import VisualExtractor
from sentiloc.worker.runtime.onnx_session import create_session
from tests.support.shared_files import golden_folder


def filled_state() -> dict[str, Tensor]:
    """The golden filling rule, on the network's own names and shapes (checked against the reference below)."""
    state = I3D().state_dict()
    return {name: torch.from_numpy(_fill(i, name, tensor)) for i, (name, tensor) in enumerate(state.items())}


def _fill(index: int, name: str, tensor: Tensor) -> NDArray[Any]:
    if name.endswith("num_batches_tracked"):
        return np.array(0, np.int64)
    shape = tuple(tensor.shape)
    j = np.arange(tensor.numel(), dtype=np.uint64)
    u = ((j * 2654435761 + 40503 * index) % 2**32) / 2**32 - 0.5
    if name.endswith("conv3d.weight"):
        values = u * 2 * np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith("bn.weight"):
        values = 1 + 0.2 * u
    elif name.endswith("running_var"):
        values = 1 + 0.5 * np.abs(u)
    else:
        values = 0.2 * u
    return np.asarray(values.reshape(shape), np.float32)


def golden_clip() -> Tensor:
    c, t, y, x = np.meshgrid(np.arange(3), np.arange(16), np.arange(224), np.arange(224), indexing="ij")
    return torch.from_numpy(np.sin(0.05 * x + 0.07 * y + 0.4 * t + 1.3 * c)[None].astype(np.float32))


def relative_error(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def test_state_dict_has_the_public_names_and_shapes() -> None:
    reference = json.loads((golden_folder("i3d") / "i3d.json").read_text(encoding="utf-8"))["state_dict"]
    ours = [
        [name, list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in I3D().state_dict().items()
    ]
    assert ours == reference


def test_features_and_logits_match_the_reference() -> None:
    golden = np.load(golden_folder("i3d") / "features.npz")
    network = load_i3d(filled_state())
    clip = golden_clip()
    with torch.inference_mode():
        features, logits = network(clip).numpy(), network.classify(clip).numpy()
    assert features.shape == (1, 1024)
    assert relative_error(features, golden["features"]) < 1e-3
    assert relative_error(logits[0, :10], golden["logits_first10"]) < 1e-3


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(16, 7, 2), (15, 7, 2), (7, 3, 1), (8, 2, 2), (9, 2, 2)]
)
def test_same_padding_gives_the_ceiling(size: int, kernel: int, stride: int) -> None:
    padded = pad_same(torch.ones(1, 1, size, size, size), (kernel,) * 3, (stride,) * 3)
    outputs = (padded.shape[-1] - kernel) // stride + 1
    assert outputs == -(-size // stride)
    total = padded.shape[-1] - size
    assert padded[0, 0, :, 0, 0].nonzero().numel() in {0, size}
    first = int(padded[0, 0, padded.shape[2] // 2, padded.shape[3] // 2].nonzero()[0])
    assert first == total // 2


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The graph in the cache, as made from a checkpoint. A graph that differs from PyTorch is refused."""
    folder = tmp_path_factory.mktemp("i3d")
    checkpoint = folder / "state.pt"
    torch.save(filled_state(), checkpoint)
    i3d = replace(WEIGHTS["i3d"], git_blob_sha1=(git_blob_sha1(checkpoint),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENTILOC_CACHE_DIR", str(folder / "cache"))
        yield pull_weights(i3d, checkpoint)


def test_a_checked_checkpoint_is_converted_and_required(pulled: Path) -> None:
    assert require_weights("i3d") == pulled
    assert sorted(path.name for path in pulled.parent.iterdir()) == ["i3d-rgb.onnx", "i3d-rgb.pt"]


def test_the_exported_graph_serves_frames_of_any_number(pulled: Path) -> None:
    extractor = VisualExtractor(create_session(pulled, "cpu", 1))
    assert (extractor.snippet_frames, extractor.dim) == (16, 1024)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (5, 16, 224, 224, 3), dtype=np.uint8)
    clips = torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    with torch.inference_mode():
        expected = load_i3d(filled_state())(clips[3:]).numpy()
    features = extractor.extract(list(frames))
    assert features.shape == (5, 1024)
    assert relative_error(features[3:], expected) < 1e-3
    assert extractor.extract([]).shape == (0, 1024)


def test_a_checkpoint_of_the_old_and_new_file_format_is_read(tmp_path: Path) -> None:
    state = {"logits.conv3d.bias": torch.arange(400.0)}
    for zipped in (True, False):
        torch.save(state, tmp_path / "state.pt", _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_state(tmp_path / "state.pt")["logits.conv3d.bias"], torch.arange(400.0))


class Opener:
    """A pickle that would touch a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"x": Opener(tmp_path / "touched")}, tmp_path / "state.pt")
    with pytest.raises(SentilocError) as caught:
        read_state(tmp_path / "state.pt")
    assert caught.value.code == ErrorCode.INVALID_DATA
    assert not (tmp_path / "touched").exists()


def test_other_weights_are_refused() -> None:
    with pytest.raises(SentilocError) as caught:
        load_i3d({"logits.conv3d.bias": torch.zeros(400)})
    assert caught.value.code == ErrorCode.INVALID_DATA


def test_weights_from_before_batch_counters_load() -> None:
    state = {name: tensor for name, tensor in filled_state().items() if "num_batches" not in name}
    assert isinstance(load_i3d(state), I3D)


class Command:
    """A pickle that would run a program when it is loaded."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.name,)


@pytest.mark.parametrize(
    "content", [Command("touch touched"), {"params": {}}, [1, 2], {"params": {"x": 1}, "batch_stats": {}}]
)
def test_another_pickle_is_not_the_kinetics_checkpoint(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "i3d.ckpt").write_bytes(pickle.dumps(content))
    with pytest.raises(SentilocError, match="not the Kinetics checkpoint") as caught:
        read_kinetics_state(tmp_path / "i3d.ckpt")
    assert caught.value.code == ErrorCode.INVALID_DATA
    assert not (tmp_path / "touched").exists()


def test_four_hundred_class_names() -> None:
    names = class_names()
    assert len(set(names)) == 400
    assert names[227] == "playing cricket"
