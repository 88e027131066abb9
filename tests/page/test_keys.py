"""The page of a server that requires an API key."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Request, Route

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import KeyStore
from sentiloc.app.main import create_app
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import Settings
from tests.page.browsing import Visit
from tests.page.conftest import SHOWN_FROM, SteadyService, Visitor
from tests.page.test_page import serious
from tests.support.services import wait_for

COUNT_DECODED = """{
  const { decodeAudioData } = BaseAudioContext.prototype;
  BaseAudioContext.prototype.decodeAudioData = function (...given) {
    return decodeAudioData.apply(this, given).finally(() => (window.decoded = true));
  };
}"""


@pytest.fixture
def settings(service: SteadyService) -> Settings:
    """Settings of a second API that requires keys."""
    return Settings(redis_url=f"unix://{service.data}/redis/redis.sock", data_dir=service.data, api_keys="on")


@pytest.fixture
def closed_url(settings: Settings) -> Iterator[str]:
    """Address of an API that requires keys. A test names it before `visit`, so that its pages close first."""
    with second_api(settings) as url:
        yield url


@contextmanager
def second_api(settings: Settings) -> Iterator[str]:
    """Serve an API with these settings beside the service; yields its address."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_the_page_asks_for_the_key_and_plays_with_it(
    closed_url: str, visit: Visitor, settings: Settings, job: str
) -> None:
    with connect(settings) as redis:
        keys = KeyStore(redis, settings.redis_prefix)
        key = keys.create("editor", [Scope.ADMIN], rate_per_minute=1000).text
    person = visit()
    person.url = closed_url
    page = person.go(f"/#{job}").page
    page.wait_for_selector("#key-box[open]")
    assert serious(person) == []
    page.fill("#key", "not-a-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=does not accept this key")
    assert serious(person) == []
    page.fill("#key", key)
    page.keyboard.press("Enter")
    person.wait_result()
    person.until("document.querySelector('#video').readyState > 0")
    assert page.get_attribute("#video", "src") != f"/v1/jobs/{job}/video"
    refused = [line for line in person.errors if "401" in line]
    assert refused == person.errors
    person.errors.clear()


def test_a_video_is_fetched_once_with_a_key(
    closed_url: str, visit: Visitor, settings: Settings, job: str
) -> None:
    """The player and the finer lane of the sound use the same bytes."""
    with connect(settings) as redis:
        key = (
            KeyStore(redis, settings.redis_prefix).create("editor", [Scope.ADMIN], rate_per_minute=1000).text
        )
    person = visit()
    person.url = closed_url
    person.page.add_init_script(f"sessionStorage.setItem('sentiloc.key', '{key}')")
    # What this browser has decoded is drawn finer than what the server has measured.
    person.page.add_init_script(COUNT_DECODED)
    person.open_result(job)
    person.until("document.querySelector('#video').readyState > 0 && window.decoded")
    assert person.asked.count(("GET", f"/v1/jobs/{job}/video")) == 1


def read_only(person: Visit, url: str, settings: Settings, name: str) -> tuple[Visit, str]:
    """The page with a key that may only read; and the key."""
    with connect(settings) as redis:
        key = KeyStore(redis, settings.redis_prefix).create(name, [Scope.READ], rate_per_minute=1000).text
    person.url = url
    page = person.go().page
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector(f"text=Key: {name}")
    return person, key


def test_a_read_only_key_is_not_offered_a_reel(
    closed_url: str, visit: Visitor, settings: Settings, job: str
) -> None:
    person, _ = read_only(visit(), closed_url, settings, "only looks")
    page = person.page
    page.goto(f"{closed_url}/web/highlights.html")
    page.wait_for_selector("#told:text('0 moments')")
    # Without a moment there is nothing to cut either.
    page.evaluate("document.querySelector('#leave').hidden = false")
    page.wait_for_selector("#render", state="hidden")
    assert page.is_visible("#cut") and page.is_hidden("#crossfade")
    person.errors.clear()


def test_the_key_has_a_name_is_shared_between_tabs_and_logged_out(
    closed_url: str, visit: Visitor, settings: Settings, job: str
) -> None:
    person, key = read_only(visit(), closed_url, settings, "looks only")
    page = person.page
    assert page.is_hidden("#drop") and page.is_hidden("#url-form") and page.is_visible("#read-only")
    second = person.context.new_page()
    second.goto(f"{closed_url}/")
    second.wait_for_selector("text=Key: looks only")
    assert second.locator("#key-box[open]").count() == 0
    assert second.evaluate("document.querySelector('#key').value") in ("", key)
    page.evaluate("sessionStorage.setItem('sentiloc.cut?job=a', '{}')")
    second.click("#log-out")
    for tab in (second, page):
        tab.wait_for_selector("#key-box[open]")
        assert tab.evaluate("Object.keys(sessionStorage)") == []
    refused = [line for line in person.errors if "401" in line]
    assert refused == person.errors
    person.errors.clear()


def test_a_pending_video_neither_delays_its_result_nor_replaces_another_video(
    closed_url: str, visit: Visitor, settings: Settings, service: SteadyService, clip: Path, job: str
) -> None:
    """With a key, the page fetches a video whole before it plays."""
    other = service.submit(clip, "another.mp4", threshold=SHOWN_FROM)
    service.wait_ended(other)
    with connect(settings) as redis:
        keys = KeyStore(redis, settings.redis_prefix)
        key = keys.create("editor", [Scope.ADMIN], rate_per_minute=1000).text
    person = visit()
    page = person.page
    person.url = closed_url
    page.add_init_script(f"sessionStorage.setItem('sentiloc.key', '{key}')")
    given_up: list[str] = []

    def note(request: Request) -> None:
        given_up.append(request.url)

    page.on("requestfailed", note)
    person.open_result(other)
    held: list[Route] = []
    page.route(re.compile(f"/{job}/video$"), lambda route: held.append(route))
    # Its own rows, while its video is on the way: a threshold above all of them shows none.
    page.evaluate("hash => { location.hash = hash }", f"{job}?threshold=1")
    page.wait_for_selector("#result-title:text-is('drawn person.mp4')")
    assert person.rows().count() == 0
    wait_for(lambda: page.evaluate("true") and held)

    page.evaluate("hash => { location.hash = hash }", other)
    page.wait_for_selector("#result-title:text-is('another.mp4')")
    person.until("document.querySelector('#video').readyState > 0")
    shown = page.get_attribute("#video", "src")
    wait_for(lambda: page.evaluate("true") and any(job in url for url in given_up))
    for route in held:
        route.continue_()
    assert person.rows().count() > 0
    assert page.get_attribute("#video", "src") == shown


def test_the_page_of_highlights_says_where_the_key_is_entered(closed_url: str, visit: Visitor) -> None:
    person = visit()
    person.url = closed_url
    page = person.go("/web/highlights.html").page
    page.wait_for_selector("#told:text('Open Videos and enter the key there.')")
    assert all("401" in line for line in person.errors)
    person.errors.clear()
