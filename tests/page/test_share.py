"""Links to a result or a reel: create, copy and end them on the page; and the player in other sites' frames."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.page.browsing import Visit
from tests.page.conftest import SHOWN_FROM, SteadyService, Visitor, steady_service
from tests.support.services import wait_for

CLIPBOARD = ["clipboard-read", "clipboard-write"]
FRAMED = "framed player"


def violations(person: Visit) -> str:
    found = Axe().run(person.page).response["violations"]
    return json.dumps(found, indent=1)[:2000] if found else ""


def test_a_result_is_shared_by_mouse(visit: Visitor, service: SteadyService, job: str) -> None:
    person = visit(permissions=CLIPBOARD).open_result(job)
    page = person.page
    page.click("#share-out")
    page.wait_for_selector("#share-box[open]")
    assert page.locator("#share-made").is_hidden()
    page.select_option("#share-span", label="one day")
    page.click("#share-make")
    page.wait_for_selector("#share-made:not([hidden])")
    person.until("document.querySelector('#share-note').textContent.includes('Link copied.')")
    assert page.inner_text("#share-note").startswith("It works until ")
    link = page.input_value("#share-address")
    assert page.evaluate("navigator.clipboard.readText()") == link
    assert violations(person) == ""

    told = service.client.get(link.replace("/embed/", "/v1/shared/"))
    assert [one["label"] for one in told.json()["segments"]]
    page.click("#share-end")
    person.until("document.querySelector('#share-note').textContent.startsWith('No link')")
    assert page.locator("#share-made").is_hidden()
    assert service.client.get(link.replace("/embed/", "/v1/shared/")).status_code == 404


def test_a_result_is_shared_by_keyboard(visit: Visitor, job: str) -> None:
    person = visit(permissions=CLIPBOARD, color_scheme="dark").open_result(job)
    page = person.page
    page.focus("#share-out")
    page.keyboard.press("Enter")
    page.wait_for_selector("#share-box[open]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#share-made:not([hidden])")
    person.until("document.activeElement.id === 'share-address'")
    assert violations(person) == ""
    for wanted in ("share-copy", "share-open", "share-end"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == wanted
    page.keyboard.press("Enter")
    page.wait_for_selector("#share-made", state="hidden")
    page.keyboard.press("Escape")
    page.wait_for_selector("#share-box", state="detached")
    assert page.evaluate("document.activeElement.id") == "share-out"


def test_a_phone_shows_the_whole_dialog(visit: Visitor, job: str) -> None:
    person = visit(permissions=CLIPBOARD, viewport={"width": 360, "height": 640}).open_result(job)
    page = person.page
    page.click("#share-out")
    page.click("#share-make")
    page.wait_for_selector("#share-made:not([hidden])")
    box = page.locator("#share-box").bounding_box()
    assert box is not None
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["height"] <= 640
    assert (
        page.evaluate(
            "(([box]) => box.scrollWidth - box.clientWidth)(document.querySelectorAll('#share-box'))"
        )
        <= 0
    )
    for wanted in ("span", "make", "address", "copy", "open", "end"):
        inner = page.locator(f"#share-{wanted}").bounding_box()
        assert inner is not None
        assert inner["x"] >= box["x"] and inner["x"] + inner["width"] <= box["x"] + box["width"]
        # Large enough for a finger.
        assert wanted == "open" or inner["height"] >= 32
    assert violations(person) == ""


def test_a_failed_link_states_the_reason(visit: Visitor, service: SteadyService, clip: Path) -> None:
    job = service.submit(clip, "deleted meanwhile.mp4")
    service.wait_ended(job)
    person = visit().open_result(job)
    service.client.delete(f"/jobs/{job}")
    person.page.click("#share-out")
    person.page.click("#share-make")
    person.page.wait_for_selector("#share-note:has-text('no job')")
    assert person.page.locator("#share-made").is_hidden()
    # The browser logs the refused request.
    person.errors.clear()


def test_a_reel_is_shared(visit: Visitor, service: SteadyService, job: str) -> None:
    person = visit(permissions=CLIPBOARD).go(f"/web/highlights.html?job={job}")
    page = person.page
    page.wait_for_selector("#moments li")
    page.click("#render")
    page.wait_for_selector("#share-reel:not([hidden])")
    page.click("#share-reel")
    page.click("#share-make")
    page.wait_for_selector("#share-made:not([hidden])")
    assert violations(person) == ""
    with page.context.expect_page() as opening:
        page.click("#share-open")
    shared = opening.value
    ready = "video => video.readyState >= 2 || new Promise(done => video.oncanplay = () => done(true))"
    assert shared.locator("#player").evaluate(ready)
    assert shared.inner_text("#name") == "Highlights.mp4"


class _Site(BaseHTTPRequestHandler):
    """Another site: each path is a page that frames the address in it."""

    def do_GET(self) -> None:
        body = f'<!doctype html><title>A blog</title><iframe title="{FRAMED}" src="{self.path[1:]}"></iframe>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def site() -> Iterator[int]:
    """The port of another site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def test_the_player_is_framed_by_the_sites_that_are_named_and_by_no_other(
    browser: Browser, site: int, clip: Path, tmp_path: Path
) -> None:
    named = f"http://127.0.0.1:{site}"
    with steady_service(tmp_path, embed_ancestors=json.dumps([named])) as service:
        job = service.submit(clip, threshold=SHOWN_FROM)
        service.wait_ended(job)
        link = service.url + service.client.post(f"/jobs/{job}/share").json()["embed"]

        person = Visit(browser, named)
        page = person.go(f"/{link}").page
        player = page.frame_locator(f"iframe[title='{FRAMED}']")
        player.locator("#found button").first.wait_for()
        assert player.locator("#name").inner_text() == clip.name
        player.locator("#found button").last.click()
        wait_for(lambda: player.locator("#player").evaluate("video => video.currentTime") > 0)
        assert person.errors == []
        # Only this server's own files run inside: the policy also applies in a frame.
        policy = service.client.get(link).headers["Content-Security-Policy"]
        assert f"frame-ancestors 'self' {named}" in policy and "script-src 'self';" in policy
        person.context.close()

        other = Visit(browser, f"http://localhost:{site}")
        with other.page.expect_console_message(lambda line: "frame-ancestors" in line.text):
            other.go(f"/{link}")
        assert other.page.frame_locator("iframe").locator("#player").count() == 0
        other.context.close()


def test_the_report_fits_a_phone_and_prints(
    visit: Visitor, service: SteadyService, job: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(
        service.client.get(f"/v1/jobs/{job}/result", params={"format": "html"}).text, encoding="utf-8"
    )
    person = visit(viewport={"width": 360, "height": 700})
    page = person.page
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(person) == ""
    pictures = page.locator(".moments img")
    assert pictures.count() == page.locator(".moments li").count() == 2
    assert pictures.evaluate_all("images => images.every((one) => one.naturalWidth > 100)")
    assert page.locator(".lane path[fill]").count() == 2
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") == 1


@pytest.mark.parametrize("token", ["bm90aGluZw", "copied-with-a-full-stop."], ids=["ended", "incomplete"])
def test_a_link_that_is_not_valid_is_explained_to_people(visit: Visitor, token: str) -> None:
    person = visit()
    with person.page.expect_response("**/embed/*") as answer:
        person.go(f"/embed/{token}")
    assert answer.value.status == 404
    person.page.wait_for_selector("#told:text('Ask the person who sent it for a new one.')")
    assert person.page.title() == person.page.inner_text("h1") == "This link cannot be opened"
    assert person.page.is_hidden("#film") and violations(person) == ""
    assert all("404" in line or "422" in line for line in person.errors)
    person.errors.clear()


def test_the_player_of_a_link_says_what_a_percentage_is(
    visit: Visitor, service: SteadyService, job: str
) -> None:
    page = visit().go(service.client.post(f"/jobs/{job}/share").json()["embed"]).page
    page.wait_for_selector("#sure:text('how sure the model is')")
    assert page.is_visible("#film")
