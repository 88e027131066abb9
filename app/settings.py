"""Every setting of the service, read from the environment (`SENTILOC_*`), shared by API, worker and CLI."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Limits and places. Sizes in bytes, times in seconds, unless a name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="SENTILOC_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    data_dir: Path = Path("sentiloc-data")
    redis_url: str | None = None
    models_dir: Path | None = Field(None, description="Folder of model packages; default: the shipped ones")
    model: str = Field("fsenet-starter", description="Package used when a job names none")
    device: Literal["cpu", "openvino", "cuda", "tensorrt"] = "cpu"
    threads: int | None = Field(None, ge=1, description="Inference threads; default: the CPU quota")

    max_upload_bytes: int = Field(2 * 1024**3, gt=0)
    max_duration_seconds: float = Field(4 * 3600, gt=0)
    max_side_pixels: int = Field(8192, gt=0)
    max_frame_pixels: int = Field(50_000_000, gt=0)
    max_frames: int = Field(1_000_000, gt=0)
    max_frame_rate: float = Field(240.0, gt=0)
    max_streams: int = Field(32, gt=0)
    decoder_memory_bytes: int = Field(2 * 1024**3, gt=0)
    decoder_cpu_seconds: int = Field(4 * 3600, gt=0)
    decoder_wall_seconds: float = Field(6 * 3600, gt=0)

    lease_seconds: float = Field(30.0, gt=0)
    max_attempts: int = Field(3, ge=1)
    reaper_interval_seconds: float = Field(5.0, gt=0)


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
