"""A real `sentiloc serve` for the tests of this folder, and clips to send to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import RunningService
from tests.support.media import make_clip


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    service = RunningService(tmp_path_factory.mktemp("serve"))
    try:
        service.start()
        yield service
    finally:
        service.stop()
    service.wait_gone()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[RunningService]:
    """A service that the test may start and end itself."""
    service = RunningService(tmp_path)
    yield service
    service.stop()
    service.wait_gone()


@pytest.fixture(scope="package")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`short.mp4` is localized at once, `long.mp4` takes at least some seconds."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "short.mp4", seconds=2.0, audio="aac", beeps=((0.5, 1.0),))
    make_clip(folder / "long.mp4", seconds=720.0, fps=5.0, size=(64, 48), audio="aac")
    return folder
