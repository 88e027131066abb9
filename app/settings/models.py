"""The model and the hardware that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from sentiloc.model.arguments import MOST_THREADS


class ModelSettings(BaseSettings):
    """The model and the hardware that runs it."""

    models_dir: Path | None = Field(
        None, description="Folder of model packages; default: the shipped packages"
    )
    model: str = Field("fsenet-starter", description="Model package of jobs that do not name one")
    device: Literal["cpu", "openvino", "cuda", "tensorrt"] = Field(
        "cpu", description="The device that runs the networks; there is no fallback to the CPU"
    )
    precision: Literal["float32", "bfloat16", "float16", "int8"] = Field(
        "float32",
        description="Precision of the visual network: bfloat16 or int8 on openvino, float16 on tensorrt",
    )
    face_looks: int | None = Field(
        None,
        ge=1,
        description="Maximum number of frames of a snippet that are searched for faces; default: the model's own",
    )
    gpu_memory_bytes: int | None = Field(
        None, gt=0, description="Maximum GPU memory of the visual network; default: no limit"
    )
    visual_stride: int = Field(
        1,
        ge=1,
        le=32,
        description="With N, the visual network of a sentiment model reads every N-th snippet; the features of the "
        "others are interpolated",
    )
    visual_by_shots: bool = Field(
        False,
        description="The visual network also reads the first snippet of each shot, whatever the stride",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=MOST_THREADS,
        description="Inference threads, at most 1024; default: the number of CPUs that the process may use",
    )
