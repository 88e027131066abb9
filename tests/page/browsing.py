"""A real headless Chromium, and the result page as a user operates it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Download,
    Locator,
    Page,
    Request,
    Route,
    sync_playwright,
)

from tests.support.services import wait_for

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required")
_GUTTER = "parseFloat(getComputedStyle(document.querySelector('.desk')).getPropertyValue('--gutter'))"
WINDOW = {"width": 1280, "height": 900}
PATIENCE = 90_000  # milliseconds: a busy machine may take its time
SETTLED = """() => Promise.allSettled(
    document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished))"""


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser; raises where none is installed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One visit: a page, its log and its requests."""

    def __init__(self, browser: Browser, url: str, **context: object) -> None:
        self.url = url
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self._session: CDPSession | None = None
        given: dict[str, Any] = {"viewport": WINDOW, **context}
        self.context: BrowserContext = browser.new_context(accept_downloads=True, **given)
        self.context.set_default_timeout(PATIENCE)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._count)
        # Set up at the start, because a chooser that opens before its interception would be missed.
        self.page.on("filechooser", lambda _: None)

    def _count(self, request: Request) -> None:
        self.requests.append(request.url)
        self.asked.append((request.method, urlsplit(request.url).path))

    def _note(self, line: ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            self.errors.append(line.text)

    def go(self, path: str = "/") -> Visit:
        self.page.goto(self.url + path)
        if path == "/" or path.startswith("/#"):
            self._wait_ready()
        return self

    def reload(self) -> Visit:
        """Load the main page again, and wait until it listens."""
        self.page.reload()
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        # The page's modules are asked for after its first paint, so the load event does not wait for them.
        self.page.wait_for_selector("body[data-screen]")

    def open_result(self, job_id: str, query: str = "") -> Visit:
        self.go(f"/#{job_id}{query}")
        return self.wait_result()

    def wait_result(self) -> Visit:
        """Wait until the timeline shows the result."""
        self.page.wait_for_selector("#result:not([hidden]) #made:not(:empty)")
        self.page.wait_for_selector("#timeline[aria-valuetext]")
        return self

    def strangers(self) -> list[str]:
        """Requests to other hosts."""
        home = urlsplit(self.url).netloc
        urls = [urlsplit(url) for url in self.requests]
        return [url.geturl() for url in urls if url.scheme in ("http", "https", "ws") and url.netloc != home]

    def until(self, expression: str, argument: object = None) -> None:
        """Wait until a JavaScript expression (or function of `argument`) holds.

        Playwright's own waiting evaluates text in the page, which the page's policy forbids.
        """
        wait_for(lambda: bool(self.page.evaluate(expression, argument)), PATIENCE / 1000)

    def main_thread_seconds(self) -> float:
        """Processor seconds that the page's main thread has used: scripts, layout and painting."""
        if self._session is None:
            self._session = self.context.new_cdp_session(self.page)
            self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")

    def rows(self) -> Locator:
        return self.page.locator("#rows button")

    def row_texts(self) -> list[str]:
        """The text of each row. `inner_text` is empty until `content-visibility: auto` has drawn the row once."""
        return self.rows().all_text_contents()

    def timeline_place(self, seconds: float, below: float) -> tuple[float, float]:
        """The position of a time on the screen, `below` pixels under the timeline's upper edge."""
        box = self.page.locator("#timeline").bounding_box()
        duration = float(self.page.get_attribute("#timeline", "aria-valuemax") or 0)
        left = float(self.page.evaluate(_GUTTER))
        assert box is not None
        return box["x"] + left + seconds / duration * (box["width"] - left), box["y"] + below

    def download(self, act: str) -> str:
        """Press the keys or click the selector `act`; returns the text of the downloaded file."""
        with self.page.expect_download() as coming:
            self.page.click(act)
        return read(coming.value)


class Held:
    """Requests to an address that change something, and that do not reach the server before `release`."""

    def __init__(self, person: Visit, address: str) -> None:
        self._person = person
        self._routes: list[Route] = []
        self._is_open = False
        person.page.route(re.compile(address), self._take)

    def _take(self, route: Route) -> None:
        if self._is_open or route.request.method == "GET":
            route.continue_()
        else:
            self._routes.append(route)

    def wait(self) -> None:
        """Wait until a request is held."""
        # Asking the page lets Playwright report its requests.
        wait_for(lambda: self._person.page.evaluate("true") and self._routes)

    def release(self) -> None:
        """Let all requests pass, and wait for the answer to the one that is held."""
        self._is_open = True
        (route,) = self._routes
        with self._person.page.expect_response(lambda answer: answer.request.method != "GET"):
            route.continue_()


def read(download: Download) -> str:
    path = Path(download.path())
    return path.read_text(encoding="utf-8")
