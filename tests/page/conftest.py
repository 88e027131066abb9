"""One Chromium and one service for all tests of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docs.tools.drawn_clip import draw_clip
from tests.service.running import RunningService
from tests.support.media import make_clip
from tests.support.servers import free_port

pytest.importorskip("playwright", reason="playwright is not installed (it is part of [test])")

from playwright.sync_api import Browser

from tests.page.browsing import Visit, chromium, find_chromium

CLIP_SECONDS = 20.0
SHOWN_FROM = 0.3
"""Threshold at which both the smile and the frown of a drawn face are shown: the model is less sure of drawings."""


class SteadyService(RunningService):
    """Restarts at the same address, as a real service does."""

    def __init__(self, folder: Path, **settings: object) -> None:
        super().__init__(folder, **settings)
        # One that nobody else gets while the service is down.
        self.port = free_port()

    def launch(self, *flags: str) -> None:
        super().launch(*flags, "--port", str(self.port))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if find_chromium() is None:
        pytest.skip("no Chromium is installed (`apt-get install chromium`)")
    with chromium() as browser:
        yield browser


@contextmanager
def steady_service(folder: Path, **settings: object) -> Iterator[SteadyService]:
    """A running service that leaves no process."""
    service = SteadyService(folder, **settings)
    try:
        service.start()
        yield service
    finally:
        service.stop()
    service.wait_gone()


@pytest.fixture(scope="package")
def service(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteadyService]:
    with steady_service(tmp_path_factory.mktemp("page")) as service:
        yield service


@pytest.fixture(scope="package")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of a drawn person who smiles and frowns."""
    path = tmp_path_factory.mktemp("clip") / "drawn person.mp4"
    draw_clip(path, CLIP_SECONDS)
    return path


@pytest.fixture(scope="package")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes some seconds to localize."""
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    make_clip(path, seconds=240.0, fps=5.0, size=(64, 48), audio="aac")
    return path


@pytest.fixture(scope="package")
def job(service: SteadyService, clip: Path) -> str:
    """A finished job of the drawn clip."""
    job_id = service.submit(clip, threshold=SHOWN_FROM)
    assert service.wait_ended(job_id)["state"] == "succeeded"
    return job_id


@pytest.fixture
def own_job(service: SteadyService, clip: Path) -> str:
    """A finished job that no other test corrects."""
    job = service.submit(clip, threshold=SHOWN_FROM)
    assert service.wait_ended(job)["state"] == "succeeded"
    return job


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, service: SteadyService) -> Iterator[Visitor]:
    """Opens visits; at the end checks that none logged an error or sent a request to another host."""
    visits: list[Visit] = []

    def start(**context: object) -> Visit:
        visits.append(Visit(browser, service.url, **context))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
    assert [one.errors for one in visits] == [[] for _ in visits]
    assert [one.strangers() for one in visits] == [[] for _ in visits]
