"""The configuration of a pipeline: device, threads, limits and caches. Also converts the service's `Settings`.

This module must not load ONNX Runtime or PyAV: the worker's parent process imports it, and must not start their threads
before it forks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from sentiloc.model.arguments import (
    LARGEST,
    LONGEST_SECONDS,
    MOST_THREADS,
    flag,
    instance,
    number,
    place,
    refused,
    text,
    whole_number,
)
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.runtime.cpu import available_cpus
from sentiloc.worker.runtime.device import Device, Precision

if TYPE_CHECKING:
    from sentiloc.app.settings import Settings

_PRECISIONS = f"one of {', '.join(get_args(Precision))}"
_WHOLE_NUMBERS = {"threads": MOST_THREADS, "face_looks": LARGEST, "gpu_memory_bytes": LARGEST}
DEFAULT_MODEL = "fsenet-starter"
_PREFIX = "SENTILOC_"
# Read where they are used, not by `Settings`.
_NO_SETTINGS = frozenset({"SENTILOC_CACHE_DIR", "SENTILOC_DEBUG"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """The feature cache's folder and limits. The least recently used entries are removed first."""

    folder: Path
    max_bytes: int = 2 * 1024**3
    max_age_seconds: float = 86_400.0

    def __post_init__(self) -> None:
        seconds = "a number of seconds from 0 to 1e9"
        object.__setattr__(self, "folder", place("folder", self.folder))
        object.__setattr__(self, "max_bytes", whole_number("max_bytes", self.max_bytes))
        age = number("max_age_seconds", self.max_age_seconds, 0, LONGEST_SECONDS, seconds)
        object.__setattr__(self, "max_age_seconds", age)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """How packages are loaded and run. The default runs the shipped packages on the CPU without a cache.

    Args:
        device: `cpu`, `openvino`, `cuda` or `tensorrt`.
        precision: Precision of the visual network only: bfloat16 or int8 on openvino, float16 on tensorrt.
        threads: Threads of the networks and of the decoder; None means the number of processors that this process may
            use.
        face_looks: Maximum number of frames of a snippet that are searched for faces by a package that finds sentiment;
            None means the value of its spec. Fewer frames cost less, but change segments.
        visual_stride: With N, the visual network of a package that finds sentiment reads every N-th snippet. The others
            get interpolated features.
        visual_by_shots: The visual network also reads the first snippet of each shot, and no features are interpolated
            between shots.
        gpu_memory_bytes: Maximum GPU memory of the visual network.
        models_dir: Folder of model packages; None means the shipped packages.
        work_dir: Folder for features of the current video; None means the system's temporary folder.
        cache: The feature cache; None disables it.
        limits: Limits for one video. Their `threads` are replaced by this configuration's.
    """

    device: Device = "cpu"
    precision: Precision = "float32"
    threads: int | None = None
    face_looks: int | None = None
    visual_stride: int = 1
    visual_by_shots: bool = False
    gpu_memory_bytes: int | None = None
    models_dir: Path | None = None
    work_dir: Path | None = None
    cache: CacheConfig | None = None
    limits: DecodeLimits = field(default_factory=DecodeLimits)

    def __post_init__(self) -> None:
        # A wrong value would otherwise be ignored, or be noticed in a network or a decoder.
        text("device", self.device, f"one of {', '.join(get_args(Device))}")
        if text("precision", self.precision, _PRECISIONS) not in get_args(Precision):
            raise refused("precision", self.precision, _PRECISIONS)
        for name, most in _WHOLE_NUMBERS.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole_number(name, value, most))
        for name in ("models_dir", "work_dir"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, place(name, value))
        object.__setattr__(self, "visual_stride", whole_number("visual_stride", self.visual_stride))
        object.__setattr__(self, "visual_by_shots", flag("visual_by_shots", self.visual_by_shots))
        if self.cache is not None:
            instance("cache", self.cache, CacheConfig)
        instance("limits", self.limits, DecodeLimits)

    @property
    def thread_count(self) -> int:
        """The configured number of threads, by default the number of processors that this process may use."""
        return self.threads or min(available_cpus(), MOST_THREADS)

    @property
    def decode_limits(self) -> DecodeLimits:
        """The limits with this configuration's threads."""
        return replace(self.limits, threads=self.thread_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThumbnailConfig:
    """Thumbnails: longer side in pixels (0: none are made), JPEG quality, maximum number, and time limit in seconds."""

    side_pixels: int = 320
    quality: int = 80
    most: int = 100
    seconds: float = 20.0


def runtime_config(settings: Settings, *, with_cache: bool = False) -> RuntimeConfig:
    """The service's settings as a configuration.

    Args:
        settings: The environment's `SENTILOC_*`.
        with_cache: Cache features in the data folder, as a worker does. Commands run by hand do not.
    """
    folder = settings.features_dir if with_cache else None
    cache = None
    if folder is not None and settings.feature_cache_bytes:
        cache = CacheConfig(
            folder=folder,
            max_bytes=settings.feature_cache_bytes,
            max_age_seconds=settings.feature_cache_seconds,
        )
    return RuntimeConfig(
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        face_looks=settings.face_looks,
        visual_stride=settings.visual_stride,
        visual_by_shots=settings.visual_by_shots,
        gpu_memory_bytes=settings.gpu_memory_bytes,
        models_dir=settings.models_dir,
        work_dir=folder,
        cache=cache,
        limits=_decode_limits(settings),
    )


def configured() -> tuple[str, RuntimeConfig]:
    """The model and the configuration that the environment sets, without a cache, for a command run by hand.

    If it sets nothing, the library that validates settings is not loaded, because that takes a third of the time of
    localizing a short video.
    """
    if not any(_is_setting(name) for name in os.environ):
        return DEFAULT_MODEL, RuntimeConfig()
    from sentiloc.app.settings import get_settings

    settings = get_settings()
    return settings.model, runtime_config(settings)


def _is_setting(name: str) -> bool:
    return name.upper().startswith(_PREFIX) and name.upper() not in _NO_SETTINGS


def thumbnail_config(settings: Settings) -> ThumbnailConfig:
    """The service's settings for thumbnails."""
    return ThumbnailConfig(
        side_pixels=settings.thumbnail_side_pixels,
        quality=settings.thumbnail_quality,
        most=settings.max_thumbnails,
        seconds=settings.thumbnail_seconds,
    )


def _decode_limits(settings: Settings) -> DecodeLimits:
    return DecodeLimits(
        max_duration_seconds=settings.max_duration_seconds,
        max_side_pixels=settings.max_side_pixels,
        max_frame_pixels=settings.max_frame_pixels,
        max_frames=settings.max_frames,
        max_frame_rate=settings.max_frame_rate,
        max_streams=settings.max_streams,
        memory_bytes=settings.decoder_memory_bytes,
        cpu_seconds=settings.decoder_cpu_seconds,
        wall_seconds=settings.decoder_wall_seconds,
    )
