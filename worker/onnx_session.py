"""The one place that opens ONNX graphs: on the device that was asked for, or not at all."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Literal

import onnxruntime as ort

from model.errors import ErrorCode, SentilocError
from worker.cpu import available_cpus

Device = Literal["cpu", "openvino", "cuda", "tensorrt"]

_CPU = "CPUExecutionProvider"
_PROVIDERS: dict[Device, str] = {
    "cpu": _CPU,
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_BUILDS: dict[Device, str] = {
    "cpu": "onnxruntime",
    "openvino": "onnxruntime-openvino",
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
}
_NVIDIA = Path("/proc/driver/nvidia/gpus")
_CPU_INFO = Path("/proc/cpuinfo")


def create_session(network: Path, device: Device = "cpu", threads: int | None = None) -> ort.InferenceSession:
    """Open a graph on `device`, with `threads` threads (default: the processors this process may use).

    Raises device_unavailable, with what to do, if the device's provider is not installed or does not start:
    ONNX Runtime alone would go on with the CPU. Raises model_unavailable for a missing or broken file.
    """
    wanted = _PROVIDERS[device]
    if wanted not in ort.get_available_providers():
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, _not_installed(device))
    threads = threads or available_cpus()
    try:
        session = ort.InferenceSession(str(network), _options(threads), providers=_chain(device, threads))
    except Exception as error:
        if device != "cpu" and network.is_file():
            raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, _not_started(device)) from error
        detail = f"the network {network.name} is missing or broken"
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail) from error
    if session.get_providers()[0] != wanted:
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, _not_started(device))
    session.disable_fallback()
    return session


def _options(threads: int) -> ort.SessionOptions:
    """No spinning: the decoder needs the same processors while a network waits for frames."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _chain(device: Device, threads: int) -> list[str | tuple[str, dict[str, Any]]]:
    if device == "cpu":
        return [_CPU]
    if device == "openvino":
        return [(_PROVIDERS[device], {"device_type": "CPU", "num_of_threads": str(threads)}), _CPU]
    cuda = (_PROVIDERS["cuda"], {"arena_extend_strategy": "kSameAsRequested"})
    if device == "cuda":
        return [cuda, _CPU]
    return [(_PROVIDERS[device], {"trt_fp16_enable": True, "trt_engine_cache_enable": False}), cuda, _CPU]


def _not_installed(device: Device) -> str:
    build = _BUILDS[device]
    return (
        f"SENTILOC_DEVICE={device} needs the package {build}, and this ONNX Runtime is another build. Run: "
        f"pip uninstall -y onnxruntime onnxruntime-gpu onnxruntime-openvino && pip install {build}"
    )


def _not_started(device: Device) -> str:
    hint = "the libraries of OpenVINO" if device == "openvino" else "the NVIDIA driver, CUDA 12 and cuDNN 9"
    return (
        f"SENTILOC_DEVICE={device} was asked for but does not start. Check {hint}, or set SENTILOC_DEVICE=cpu"
    )


def device_name(session: ort.InferenceSession) -> str:
    """What the session really runs on, with the processor's name: "cuda (NVIDIA H200)"."""
    provider = session.get_providers()[0]
    device = next((name for name, known in _PROVIDERS.items() if known == provider), provider)
    model = _gpu_name(session, provider) if device in {"cuda", "tensorrt"} else _cpu_name()
    return f"{device} ({model})" if model else device


def _cpu_name() -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), os.uname().machine
    )


def _gpu_name(session: ort.InferenceSession, provider: str) -> str:
    """Model of the GPU in use, as the driver's files tell it; empty where they are not to be seen."""
    index = int(session.get_provider_options().get(provider, {}).get("device_id", 0))
    try:
        text = (sorted(_NVIDIA.iterdir())[index] / "information").read_text()
    except (OSError, IndexError):
        return ""
    return next(
        (line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Model:")), ""
    )
