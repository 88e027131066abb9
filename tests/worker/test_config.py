"""Classes that work without `Settings` have defaults of their own, which must say the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sentiloc.app.settings import Settings
from sentiloc.worker.config import (
    CacheConfig,
    RuntimeConfig,
    ThumbnailConfig,
    runtime_config,
    thumbnail_config,
)


def test_the_defaults_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("SENTILOC_")]:
        monkeypatch.delenv(name)
    settings = Settings(data_dir=tmp_path)
    config = runtime_config(settings, with_cache=True)
    assert config.cache == CacheConfig(folder=settings.features_dir)
    assert runtime_config(settings) == RuntimeConfig()
    assert thumbnail_config(settings) == ThumbnailConfig()


def test_settings_of_the_networks_are_passed_on() -> None:
    settings = Settings(threads=3, face_looks=1, gpu_memory_bytes=1000, visual_stride=4, visual_by_shots=True)
    config = runtime_config(settings)
    assert (config.threads, config.face_looks, config.gpu_memory_bytes) == (3, 1, 1000)
    assert (config.visual_stride, config.visual_by_shots) == (4, True)
