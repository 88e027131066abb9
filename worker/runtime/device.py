"""Names of devices and precisions. This module does not load ONNX Runtime."""

from __future__ import annotations

from typing import Literal

Device = Literal["cpu", "openvino", "cuda", "tensorrt"]
Precision = Literal["float32", "bfloat16", "float16", "int8"]

GPUS: frozenset[str] = frozenset({"cuda", "tensorrt"})
"""Devices with their own memory."""
