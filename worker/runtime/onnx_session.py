"""Opens ONNX graphs on the requested device, or raises. No other module opens graphs."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import onnxruntime as ort

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.weights import cache_dir
from sentiloc.worker.runtime.cpu import available_cpus, cpu_info
from sentiloc.worker.runtime.device import GPUS, Device, Precision
from sentiloc.worker.runtime.stored_graphs import open_on_cpu

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
_PRECISIONS: dict[Device, tuple[Precision, ...]] = {
    "cpu": ("float32",),
    "openvino": ("float32", "bfloat16", "int8"),
    "cuda": ("float32",),
    "tensorrt": ("float32", "float16"),
}
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_NVIDIA = Path("/proc/driver/nvidia/gpus")


def create_session(
    network: Path,
    device: Device = "cpu",
    threads: int | None = None,
    precision: Precision = "float32",
    gpu_memory_bytes: int | None = None,
) -> ort.InferenceSession:
    """Open a graph on `device`, with `threads` threads (default: the processors this process may use).

    Raises device_unavailable, with advice, if the device's provider is not installed, does not start, or does not
    support `precision`; ONNX Runtime itself would silently fall back to the CPU. Raises model_unavailable for a missing
    or broken file.
    """
    check_precision(device, precision)
    require_installed(device)
    wanted = _PROVIDERS[device]
    threads = threads or available_cpus()
    # Finds CUDA and cuDNN in pip's nvidia packages, which the loader does not search (ONNX Runtime 1.21 and
    # later).
    if device in GPUS and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    try:
        session = _open(network, device, threads, precision, gpu_memory_bytes)
    except Exception as error:
        if device != "cpu" and network.is_file():
            raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, _not_started(device)) from error
        detail = f"the network {network.name} is missing or broken"
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail) from error
    # A provider that does not start is skipped with a warning only.
    if session.get_providers()[0] != wanted:
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, _not_started(device))
    # Otherwise a failing run would silently be repeated on the CPU.
    session.disable_fallback()
    return session


def _open(
    network: Path, device: Device, threads: int, precision: Precision, gpu_memory_bytes: int | None
) -> ort.InferenceSession:
    if device == "cpu":
        return open_on_cpu(network, lambda: _options(threads))
    chain = _chain(device, threads, precision, gpu_memory_bytes)
    return ort.InferenceSession(str(network), _options(threads), providers=chain)


def _options(threads: int) -> ort.SessionOptions:
    """Session options without spinning threads: the decoder needs the processors while a network waits for frames."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # The networks have no parallel branches worth a second pool of threads.
    options.inter_op_num_threads = 1
    # 3 is errors; warnings about graph details would fill the log.
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _chain(
    device: Device, threads: int, precision: Precision, gpu_memory_bytes: int | None
) -> list[str | tuple[str, dict[str, Any]]]:
    if device == "openvino":
        hint = {"CPU": {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32"}}
        options = {"device_type": "CPU", "num_of_threads": str(threads), "load_config": json.dumps(hint)}
        # The CPU stays in the list for operators that the device does not have.
        return [(_PROVIDERS[device], options), _CPU]
    cuda = (_PROVIDERS["cuda"], _cuda_options(gpu_memory_bytes))
    if device == "cuda":
        return [cuda, _CPU]
    return [(_PROVIDERS[device], _tensorrt_options(precision, gpu_memory_bytes)), cuda, _CPU]


def _cuda_options(gpu_memory_bytes: int | None) -> dict[str, Any]:
    """No TF32, so that float32 has full precision.

    Convolution algorithms are chosen by heuristics, because a search would delay every new shape.
    """
    limit = {} if gpu_memory_bytes is None else {"gpu_mem_limit": gpu_memory_bytes}
    return {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": 0,
        **limit,
    }


def _tensorrt_options(precision: Precision, gpu_memory_bytes: int | None) -> dict[str, Any]:
    """Engines take minutes to build, so they are cached next to the weights, by graph, shape and GPU model."""
    engines = cache_dir() / "tensorrt"
    limit = {} if gpu_memory_bytes is None else {"trt_max_workspace_size": gpu_memory_bytes}
    return {
        "trt_fp16_enable": precision == "float16",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(engines),
        **limit,
    }


def is_installed(device: Device) -> bool:
    """Whether this ONNX Runtime was built for the device; it may still fail to start."""
    _require_known(device)
    return _PROVIDERS[device] in ort.get_available_providers()


def require_installed(device: Device) -> None:
    """Raise `device_unavailable`, with what to install, unless this ONNX Runtime was built for the device."""
    if not is_installed(device):
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, _not_installed(device))


def check_precision(device: Device, precision: Precision) -> None:
    """Raise `device_unavailable` unless the device, and this processor, compute in `precision`."""
    _require_known(device)
    if precision not in _PRECISIONS[device]:
        known = ", ".join(_PRECISIONS[device])
        detail = f"SENTILOC_DEVICE={device} computes in {known}, not SENTILOC_PRECISION={precision}"
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, detail)
    if precision == "bfloat16" and not _BFLOAT16_FLAGS & _cpu_flags():
        detail = "this processor has no bfloat16 (avx512_bf16, amx_bf16) and would be slower: use float32"
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, f"SENTILOC_PRECISION=bfloat16: {detail}")


def _require_known(device: str) -> None:
    if device not in _PROVIDERS:
        detail = f"no device is called {device!r}; there are {', '.join(_PROVIDERS)}"
        raise SentilocError(ErrorCode.DEVICE_UNAVAILABLE, detail)


def _cpu_flags() -> set[str]:
    return set(cpu_info("flags").split())


def _not_installed(device: Device) -> str:
    build = _BUILDS[device]
    return (
        f"SENTILOC_DEVICE={device} needs the package {build}, and this ONNX Runtime is another build. Run: "
        f"pip uninstall -y onnxruntime onnxruntime-gpu onnxruntime-openvino && pip install {build}"
    )


def _not_started(device: Device) -> str:
    cuda = "the NVIDIA driver, CUDA and cuDNN (pip install 'onnxruntime-gpu[cuda,cudnn]' brings the last two)"
    hint = "the libraries of OpenVINO" if device == "openvino" else cuda
    return (
        f"SENTILOC_DEVICE={device} was asked for but does not start. Check {hint}, or set SENTILOC_DEVICE=cpu"
    )


def device_name(session: ort.InferenceSession) -> str:
    """The device on which the session really runs, with the processor's name: "cuda (NVIDIA H200)"."""
    provider = session.get_providers()[0]
    device = next((name for name, known in _PROVIDERS.items() if known == provider), provider)
    model = _gpu_name(session, provider) if device in GPUS else _cpu_name()
    return f"{device} ({model})" if model else device


def _cpu_name() -> str:
    return cpu_info("model name") or platform.processor() or platform.machine()


def _gpu_name(session: ort.InferenceSession, provider: str) -> str:
    """The model of the GPU in use from the driver's files; empty if they are not readable."""
    index = int(session.get_provider_options().get(provider, {}).get("device_id", 0))
    try:
        # Folders are named by PCI address, the order in which CUDA counts with
        # CUDA_DEVICE_ORDER=PCI_BUS_ID.
        text = (sorted(_NVIDIA.iterdir())[index] / "information").read_text(encoding="utf-8")
    except (OSError, IndexError):
        return ""
    return next(
        (line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Model:")), ""
    )
