"""Sessions run on the requested device with the right number of threads, or fail."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.runtime.cpu import available_cpus
from sentiloc.worker.runtime.device import Device, Precision
from sentiloc.worker.runtime.onnx_session import create_session, device_name

ABSENT: list[tuple[Device, str]] = [
    ("openvino", "OpenVINOExecutionProvider"),
    ("cuda", "CUDAExecutionProvider"),
    ("tensorrt", "TensorrtExecutionProvider"),
]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A graph that doubles its input."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "double.onnx")
    return tmp_path / "double.onnx"


def test_runs_on_the_processor_by_default(network: Path) -> None:
    session = create_session(network)
    assert session.run(["y"], {"x": np.array([1, 2], np.float32)})[0].tolist() == [2, 4]
    assert device_name(session).startswith("cpu (")


@pytest.mark.parametrize(("device", "provider"), ABSENT)
def test_a_missing_device_is_an_error_with_instructions(network: Path, device: Device, provider: str) -> None:
    if provider in ort.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {provider}")
    with pytest.raises(SentilocError) as caught:
        create_session(network, device)
    assert caught.value.code == ErrorCode.DEVICE_UNAVAILABLE
    assert "pip install onnxruntime-" in caught.value.detail
    assert device in caught.value.detail


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("cpu", "bfloat16"),
        ("cpu", "float16"),
        ("openvino", "float16"),
        ("cuda", "bfloat16"),
        ("tensorrt", "bfloat16"),
    ],
)
def test_a_precision_that_the_device_does_not_compute_in_is_an_error(
    network: Path, device: Device, precision: Precision
) -> None:
    with pytest.raises(SentilocError) as caught:
        create_session(network, device, precision=precision)
    assert caught.value.code == ErrorCode.DEVICE_UNAVAILABLE
    assert "float32" in caught.value.detail


@pytest.mark.parametrize("content", [None, b"", b"not a graph"])
def test_a_missing_or_broken_file_is_an_unavailable_model(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "network.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SentilocError) as caught:
        create_session(path)
    assert caught.value.code == ErrorCode.MODEL_UNAVAILABLE
    assert str(tmp_path) not in caught.value.detail


@pytest.mark.parametrize("threads", [1, 2])
def test_sessions_use_the_requested_threads(network: Path, threads: int) -> None:
    options = create_session(network, "cpu", threads).get_session_options()
    assert options.intra_op_num_threads == threads


def test_threads_by_default_are_the_processors_of_this_process(network: Path) -> None:
    assert create_session(network).get_session_options().intra_op_num_threads == available_cpus()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "100000000 100000"}, None),
        ({}, None),
    ],
)
def test_a_container_quota_counts(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert available_cpus(tmp_path) == (expected or len(os.sched_getaffinity(0)))
