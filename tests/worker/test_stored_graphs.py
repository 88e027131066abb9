"""A network opens from its stored optimized graph with the same numbers, and without one where that cannot be used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import shipped_models_dir
from sentiloc.worker.runtime import stored_graphs
from sentiloc.worker.runtime.onnx_session import create_session

NETWORKS = sorted(shipped_models_dir().glob("*/*.onnx"))
SNIPPETS, SIDE = 40, 96


@pytest.fixture(autouse=True)
def graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache's graphs."""
    monkeypatch.setenv("SENTILOC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A copy of the face detector."""
    return Path(shutil.copy(shipped_models_dir() / "face-detector" / "detector.onnx", tmp_path))


def some_inputs(session: ort.InferenceSession) -> dict[str, Any]:
    """Random values for each input, named dimensions chosen by place."""
    random = np.random.default_rng(3)
    found: dict[str, Any] = {}
    kinds = {"tensor(bool)": np.bool_, "tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    for one in session.get_inputs():
        free = {"image": (2, SIDE, SIDE), "faces": (2, 1, SIDE, SIDE)}.get(one.name, (1, SNIPPETS))
        shape = [size if isinstance(size, int) else free[place] for place, size in enumerate(one.shape)]
        largest = 255 if kinds[one.type] == np.uint8 else 1.2
        found[one.name] = (random.random(shape) * largest).astype(kinds[one.type])
        if kinds[one.type] == np.bool_:
            found[one.name] = random.random(shape) > 0.2
    return found


def opens_stored(monkeypatch: pytest.MonkeyPatch, network: Path) -> bool:
    """Whether the network opens without being read."""
    opened = []

    def record(path: str, *given: Any, **named: Any) -> ort.InferenceSession:
        opened.append(path)
        return session(path, *given, **named)

    session = ort.InferenceSession
    with monkeypatch.context() as patch:
        patch.setattr(ort, "InferenceSession", record)
        create_session(network)
    return str(network) not in opened


@pytest.mark.parametrize("network", NETWORKS, ids=lambda path: path.parent.name)
def test_a_stored_graph_gives_the_same_numbers_and_notes(network: Path, graphs: Path) -> None:
    plain = ort.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    first, second = create_session(network), create_session(network)
    assert len(list(graphs.iterdir())) == 1
    given = some_inputs(plain)
    expected = plain.run(None, given)
    for session in (first, second):
        assert all(map(np.array_equal, expected, session.run(None, given)))
        assert session.get_modelmeta().custom_metadata_map == plain.get_modelmeta().custom_metadata_map


def test_the_second_start_reads_the_stored_graph(monkeypatch: pytest.MonkeyPatch, network: Path) -> None:
    assert not opens_stored(monkeypatch, network)
    assert opens_stored(monkeypatch, network)


def test_a_changed_network_is_optimized_again(monkeypatch: pytest.MonkeyPatch, network: Path) -> None:
    create_session(network)
    before = network.stat()
    other = shutil.copy(network, network.with_name("other.onnx"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    Path(other).replace(network)
    assert network.stat().st_mtime_ns == before.st_mtime_ns
    assert not opens_stored(monkeypatch, network)


@pytest.mark.parametrize("change", ["version", "processor"])
def test_another_runtime_or_processor_has_a_graph_of_its_own(
    monkeypatch: pytest.MonkeyPatch, network: Path, graphs: Path, change: str
) -> None:
    create_session(network)
    if change == "version":
        monkeypatch.setattr(ort, "__version__", "0.0.1")
    else:
        monkeypatch.setattr(stored_graphs, "cpu_info", lambda _name: "another")
    assert not opens_stored(monkeypatch, network)
    assert len(list(graphs.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"not a graph", None], ids=["empty", "other", "cut off"])
def test_a_damaged_graph_is_replaced(
    monkeypatch: pytest.MonkeyPatch, network: Path, graphs: Path, content: bytes | None
) -> None:
    create_session(network)
    (stored,) = graphs.iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert not opens_stored(monkeypatch, network)
    assert opens_stored(monkeypatch, network)


def test_a_cache_that_cannot_be_written_is_left_out(
    monkeypatch: pytest.MonkeyPatch, network: Path, graphs: Path
) -> None:
    graphs.parent.write_text("a file where the folder should be", encoding="utf-8")
    assert not opens_stored(monkeypatch, network)
    assert not opens_stored(monkeypatch, network)


def test_a_broken_network_leaves_no_files(network: Path, graphs: Path) -> None:
    network.write_bytes(b"not a network")
    with pytest.raises(SentilocError) as caught:
        create_session(network)
    assert caught.value.code == ErrorCode.MODEL_UNAVAILABLE
    assert list(graphs.iterdir()) == []


def test_only_the_newest_graphs_are_kept(
    monkeypatch: pytest.MonkeyPatch, network: Path, graphs: Path
) -> None:
    monkeypatch.setattr(stored_graphs, "_KEPT", 2)
    for count in range(4):
        create_session(Path(shutil.copy(network, network.with_name(f"copy{count}.onnx"))))
    assert sorted(path.name.partition("-")[0] for path in graphs.iterdir()) == ["copy2", "copy3"]


@pytest.mark.parametrize("place", ["folder", "graph"])
def test_a_graph_of_another_user_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, network: Path, graphs: Path, place: str
) -> None:
    create_session(network)
    (stored,) = graphs.iterdir()
    given_away = graphs if place == "folder" else stored
    if os.geteuid() == 0:
        os.chown(given_away, 12345, 12345)
    else:
        another = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: another)
    assert not opens_stored(monkeypatch, network)
    assert not opens_stored(monkeypatch, network)
    assert list(graphs.iterdir()) == [stored]


def test_what_a_killed_process_left_is_removed(network: Path, graphs: Path) -> None:
    graphs.mkdir(parents=True)
    old, new = (graphs / f"net-{'0' * 32}.{name}.part" for name in ("aaaaaaaa", "bbbbbbbb"))
    for path in (old, new):
        path.write_bytes(b"half a graph")
    os.utime(old, (0, 0))
    create_session(network)
    assert not old.exists()
    assert new.exists()


def test_graphs_of_the_user_stay(monkeypatch: pytest.MonkeyPatch, network: Path, graphs: Path) -> None:
    monkeypatch.setattr(stored_graphs, "_KEPT", 1)
    graphs.mkdir(parents=True)
    foreign = [graphs / name for name in ("mine.ort", "download.part")]
    for path in foreign:
        path.write_bytes(b"own")
        os.utime(path, (0, 0))
    create_session(network)
    assert all(path.exists() for path in foreign)
