"""The page of a service whose videos are in an object store, to which the API redirects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.page.browsing import Visit
from tests.page.conftest import SHOWN_FROM, SteadyService, steady_service
from tests.page.test_keys import second_api
from tests.support.s3_server import s3_settings, seaweedfs
from tests.support.servers import free_port
from tests.support.services import wait_for


@pytest.fixture(scope="module")
def store(browser: Browser) -> Iterator[str]:
    """Address of a real object store, which lets the scripts of all sites read."""
    # The browser first: without one there is nothing to start.
    _ = browser
    with seaweedfs() as server:
        yield server.url


@pytest.fixture(scope="module")
def stored_away(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteadyService]:
    folder = tmp_path_factory.mktemp("stored-away")
    place = s3_settings(store, folder)
    with steady_service(
        folder,
        storage_url=place.storage_url,
        storage_endpoint=store,
        storage_timeout_seconds=place.storage_timeout_seconds,
    ) as service:
        yield service


@pytest.fixture(scope="module")
def stored_job(stored_away: SteadyService, clip: Path) -> str:
    """A finished job whose video is in the object store."""
    job = stored_away.submit(clip, threshold=SHOWN_FROM)
    assert stored_away.wait_ended(job)["state"] == "succeeded"
    return job


def assert_plays(person: Visit, store: str) -> None:
    """The video plays, scripts may read it, and the browser had nothing to refuse."""
    person.until("document.querySelector('#video').readyState > 1")
    assert person.page.is_hidden("#no-video")
    # The server has no picture of a segment made by hand: it is taken from the video.
    person.page.keyboard.press("End")
    person.page.keyboard.press("a")
    person.until("document.querySelector('#rows li:last-child img').naturalWidth > 0")
    assert any(url.startswith(f"{store}/") for url in person.requests)
    assert person.errors == []


def test_a_video_in_an_object_store_plays(
    browser: Browser, store: str, stored_away: SteadyService, stored_job: str
) -> None:
    person = Visit(browser, stored_away.url)
    try:
        assert_plays(person.open_result(stored_job), store)
    finally:
        person.context.close()


def test_highlights_of_videos_in_an_object_store_play(
    browser: Browser, stored_away: SteadyService, stored_job: str
) -> None:
    person = Visit(browser, stored_away.url)
    try:
        page = person.go(f"/web/highlights.html?job={stored_job}").page
        page.click("#moments li [aria-label='Play 1']")
        wait_for(lambda: float(page.evaluate("document.querySelector('#player').currentTime")) > 0)
        assert person.errors == []
    finally:
        person.context.close()


def test_a_shared_video_in_an_object_store_plays(
    browser: Browser, stored_away: SteadyService, stored_job: str
) -> None:
    link = stored_away.client.post(f"/jobs/{stored_job}/share").json()["embed"]
    person = Visit(browser, stored_away.url)
    try:
        person.go(link)
        person.until("document.querySelector('#player').readyState > 1")
        assert person.errors == []
    finally:
        person.context.close()


def beside(service: SteadyService, store: str, **changes: object) -> Settings:
    """Settings of another API of the service."""
    own = {"redis_url": f"unix://{service.data}/redis/redis.sock", "data_dir": service.data}
    return s3_settings(store, service.folder).model_copy(update={**own, **changes})


def test_a_video_in_an_object_store_plays_with_a_key(
    browser: Browser, store: str, stored_away: SteadyService, stored_job: str
) -> None:
    settings = beside(stored_away, store, api_keys="on")
    with connect(settings) as redis:
        keys = KeyStore(redis, settings.redis_prefix)
        key = keys.create("editor", [Scope.ADMIN], rate_per_minute=1000).text
    with second_api(settings) as url:
        person = Visit(browser, url)
        person.page.add_init_script(f"sessionStorage.setItem('sentiloc.key', '{key}')")
        try:
            assert_plays(person.open_result(stored_job), store)
        finally:
            person.context.close()


def test_an_unreachable_store_is_not_reported_as_a_lost_video(
    browser: Browser, store: str, stored_away: SteadyService, stored_job: str
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with second_api(beside(stored_away, store, storage_public_endpoint=nobody)) as url:
        person = Visit(browser, url)
        try:
            person.open_result(stored_job)
            person.until("document.querySelector('#no-video').textContent.includes('cannot reach')")
        finally:
            person.context.close()
