"""One upload with a screen of its own: what happens when the screen is left, or another file is chosen meanwhile."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import CDPSession, Page, Route

from tests.page.browsing import Visit
from tests.page.conftest import Visitor
from tests.page.test_queue import items
from tests.support.media import make_clip
from tests.support.services import wait_for

PADDING = 2_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that a slow line sends for a while."""
    path = tmp_path_factory.mktemp("large") / "large.mp4"
    make_clip(path, seconds=1.0)
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", PADDING, b"free") + bytes(PADDING - 8))
    return path


def set_speed(session: CDPSession, bytes_a_second: int) -> None:
    network = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_a_second}
    session.send("Network.emulateNetworkConditions", network)


def send_slowly(person: Visit, file: Path) -> CDPSession:
    """Choose a file on a slow line, and wait until a part of it has left."""
    session = person.context.new_cdp_session(person.page)
    session.send("Network.enable")
    set_speed(session, 100_000)
    person.page.set_input_files("#file", file)
    person.until("document.querySelector('#bar').value > 0.1")
    return session


def uploads(person: Visit) -> list[str]:
    return [method for method, path in person.asked if path.startswith("/v1/uploads")]


def by_logo(page: Page) -> None:
    page.click("header h1 a")


def by_videos(page: Page) -> None:
    page.click("#home")


def by_back(page: Page) -> None:
    """To the result that was open before, and from there to the queue."""
    page.go_back()
    page.wait_for_selector("#result:not([hidden])")
    page.click("#home")


@pytest.mark.parametrize("leave", [by_logo, by_videos, by_back])
def test_it_goes_on_in_the_queue_when_its_screen_is_left(
    visit: Visitor, job: str, large: Path, leave: Callable[[Page], None]
) -> None:
    person = visit().open_result(job)
    page = person.page
    page.click("#home")
    page.wait_for_selector("#intake:not([hidden])")
    session = send_slowly(person, large)
    leave(page)
    page.wait_for_selector("#queue-list [data-state=sending]")
    assert page.inner_text("#queue-list b") == large.name
    assert page.is_visible("#intake")
    set_speed(session, -1)
    wait_for(lambda: items(page, "done") == 1)
    # Nothing was ended, and nothing sent twice.
    assert uploads(person) == ["POST", "PATCH"]
    page.click("#queue-list a")
    person.wait_result()
    assert page.inner_text("#result-title") == large.name


def test_a_paused_one_waits_in_the_queue(visit: Visitor, large: Path) -> None:
    person = visit().go()
    page = person.page
    session = send_slowly(person, large)
    page.click("#pause")
    page.wait_for_selector("text=Paused at")
    page.click("#home")
    page.wait_for_selector("#queue-list [data-state=paused]")
    set_speed(session, -1)
    page.click("#queue-list >> text=Resume")
    wait_for(lambda: items(page, "done") == 1)
    assert uploads(person).count("POST") == 1 and "DELETE" not in uploads(person)


def test_cancel_ends_it(visit: Visitor, large: Path) -> None:
    person = visit().go()
    page = person.page
    send_slowly(person, large)
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as answered:
        page.click("#cancel")
    assert answered.value.status == 204
    page.wait_for_selector("#intake:not([hidden])")
    assert page.is_hidden("#queue")
    assert (
        page.evaluate("Object.keys(localStorage).some(name => name.startsWith('sentiloc.upload'))") is False
    )


@pytest.mark.parametrize("is_left", [False, True])
def test_a_second_file_does_not_replace_one_that_is_looked_at(
    visit: Visitor, tmp_path: Path, is_left: bool
) -> None:
    files = [tmp_path / "first.mp4", tmp_path / "second.mp4"]
    make_clip(files[0], seconds=1.0)
    shutil.copy(*files)
    person = visit().go()
    page = person.page
    held: list[Route] = []
    # Until the server's limits are known, a file is looked at.
    page.route("**/v1/limits", lambda route: held.append(route))
    page.set_input_files("#file", files[0])
    page.wait_for_selector("#stage >> text=looking at the file")
    page.set_input_files("#file", files[1])
    if is_left:
        page.click("#home")
        wait_for(lambda: page.locator("#queue-list li").count() == 2)
    else:
        wait_for(lambda: page.locator("#queue-list li").count() == 1)
        assert page.inner_text("#progress-title") == "Sending first.mp4"
    # The browser asks the server once, for all files.
    wait_for(lambda: page.is_visible("body") and len(held) == 1)
    held[0].continue_()
    if not is_left:
        person.wait_result()
        assert page.inner_text("#result-title") == "first.mp4"
        page.click("#home")
    wait_for(lambda: items(page, "done") == 1 + is_left)
    names = set(page.locator("#queue-list b").all_inner_texts())
    assert names == ({"first.mp4", "second.mp4"} if is_left else {"second.mp4"})
    assert uploads(person).count("POST") == 2
