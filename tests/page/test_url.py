"""A pasted address: fetched by the worker, refused by the address rules, or unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route

from tests.page.browsing import PATIENCE
from tests.page.conftest import SteadyService, Visitor
from tests.support.services import wait_for
from tests.support.web_files import web_files


@pytest.fixture
def files_url(clip: Path) -> Iterator[str]:
    """The address of the clip's folder, served on loopback, which the service's settings allow."""
    with web_files(clip.parent) as url:
        yield url


def test_a_pasted_address_becomes_a_timeline(visit: Visitor, files_url: str, clip: Path) -> None:
    person = visit().go()
    person.page.fill("#url", f"  {files_url}/{clip.name.replace(' ', '%20')} ")
    person.page.keyboard.press("Enter")
    person.wait_result()
    assert person.page.inner_text("#result-title") == clip.name
    assert person.rows().count() > 0
    person.until("document.querySelector('#video').readyState > 0")


def test_an_unreachable_address_is_named_with_the_reason(visit: Visitor, files_url: str) -> None:
    page = visit().go().page
    page.fill("#url", f"{files_url}/nothing.mp4")
    page.click("#url-form button")
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem h2") == "nothing.mp4 could not be analysed"
    assert page.title() == "nothing.mp4 could not be analysed · Sentiloc"
    assert "404" in page.inner_text("#problem-detail")


def test_a_forbidden_address_is_refused_before_any_request(visit: Visitor) -> None:
    person = visit().go()
    person.page.fill("#url", "http://169.254.169.254/latest/meta-data")
    person.page.keyboard.press("Enter")
    person.page.wait_for_selector("#problem:not([hidden])")
    assert "does not connect to" in person.page.inner_text("#problem-detail")
    assert person.page.is_visible("#problem-hint")
    person.page.keyboard.press("Enter")
    person.page.wait_for_selector("#url", state="visible")
    refused = [line for line in person.errors if "422" in line]
    assert refused == person.errors
    person.errors.clear()


def test_an_address_is_sent_once(visit: Visitor, service: SteadyService, files_url: str, clip: Path) -> None:
    """Pressed again before the answer, and once more after the answer was lost."""
    person = visit().go()
    page = person.page
    address = f"{files_url}/{clip.name.replace(' ', '%20')}?once"
    before = service.client.get("/jobs/summary").json()["count"]
    held: list[Route] = []
    page.route("**/v1/localize/url", lambda route: held.append(route))
    page.fill("#url", address)
    page.keyboard.press("Enter")
    wait_for(lambda: page.is_disabled("#url-form button") and len(held) == 1)
    page.keyboard.press("Enter")
    page.evaluate("document.querySelector('#url-form button').click()")
    # The server has the order, but the page gets no answer.
    held[0].fetch(timeout=PATIENCE)
    held[0].abort()
    page.wait_for_selector("#problem:not([hidden])")
    page.unroute("**/v1/localize/url")
    page.click("#again")
    page.fill("#url", address)
    page.keyboard.press("Enter")
    person.wait_result()
    assert len(held) == 1
    assert service.client.get("/jobs/summary").json()["count"] == before + 1
    person.errors.clear()  # the browser logs the lost answer


def test_the_answer_to_an_address_leaves_another_screen_alone(
    visit: Visitor, job: str, files_url: str, clip: Path
) -> None:
    person = visit().go()
    page = person.page
    held: list[Route] = []
    page.route("**/v1/localize/url", lambda route: held.append(route))
    page.fill("#url", f"{files_url}/{clip.name.replace(' ', '%20')}?late")
    page.keyboard.press("Enter")
    wait_for(lambda: page.evaluate("true") and len(held) == 1)
    page.evaluate("job => { location.hash = job }", job)
    person.wait_result()
    with page.expect_response("**/v1/localize/url"):
        held[0].continue_()
    person.until("!document.querySelector('#url-form button').disabled")
    assert page.evaluate("location.hash") == f"#{job}"
    assert page.is_visible("#result")
