"""Several files at once: a queue with progress, pause and retry, and limits that are shown before the upload."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from sentiloc.app.jobs.record import JobError
from sentiloc.model.errors import ErrorCode
from tests.page.browsing import Visit
from tests.page.conftest import SteadyService, Visitor, steady_service
from tests.page.test_page import serious
from tests.support.media import make_clip
from tests.support.services import wait_for

TEN = 10


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten short clips, three of them in subfolders, and a text file."""
    folder = tmp_path_factory.mktemp("shoot") / "a day"
    (folder / "camera B").mkdir(parents=True)
    first = folder / "clip 0.mp4"
    make_clip(first, seconds=1.0)
    for number in range(1, TEN):
        place = folder / "camera B" if number > 6 else folder
        shutil.copy(first, place / f"clip {number}.mp4")
    (folder / "notes.txt").write_text("no video", encoding="utf-8")
    return folder


def count_jobs(service: SteadyService) -> int:
    """The jobs of the service, of earlier tests, too."""
    return int(service.client.get("/jobs/summary").json()["count"])


def items(page: Page, state: str) -> int:
    return page.locator(f"#queue-list [data-state={state}]").count()


DROP = """async (count) => {
    const transfer = new DataTransfer();
    const bytes = await (await fetch("/web/icon.svg")).arrayBuffer();
    for (let i = 0; i < count; i++) transfer.items.add(new File([bytes], `drawing ${i}.mp4`, { type: "video/mp4" }));
    dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
}"""


def test_files_can_be_dropped_anywhere_on_the_page(visit: Visitor) -> None:
    page = visit().go().page
    page.evaluate(DROP, TEN)
    wait_for(lambda: items(page, "refused") == TEN)
    assert page.inner_text("#queue-count") == "0 of 10 sent, 10 not accepted"
    # The name for screen readers begins with the words on the button.
    assert page.get_by_role("button", name="Remove drawing 3.mp4").inner_text() == "Remove"


def choose_ten(person: Visit, ten: Path) -> None:
    person.page.set_input_files("#file", sorted(ten.rglob("*.mp4")))


def choose_folder(person: Visit, ten: Path) -> None:
    person.page.set_input_files("#folder", ten)


@pytest.mark.parametrize("choose", [choose_ten, choose_folder])
def test_ten_files_become_ten_jobs(
    visit: Visitor, service: SteadyService, ten: Path, choose: Callable[[Visit, Path], None]
) -> None:
    person = visit().go()
    page = person.page
    before = count_jobs(service)
    choose(person, ten)
    wait_for(lambda: page.locator("#queue-list li").count() == TEN)
    assert page.locator("#queue-list progress").count() == TEN
    person.until("document.querySelectorAll('#queue-list [data-state=done]').length === 10")
    assert count_jobs(service) - before == TEN
    wait_for(lambda: page.inner_text("#queue-count") == "10 of 10 sent")
    if choose is choose_folder:
        assert "1 file is not a video" in page.inner_text("#queue-note")
    assert serious(person) == []
    page.click("#queue-list a >> nth=3")
    person.wait_result()
    page.click("#home")
    page.click("#queue-clear")
    page.wait_for_selector("#queue", state="hidden")


def test_unreadable_files_are_reported_before_the_upload(visit: Visitor, ten: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear editor, this is no video at all." * 20, encoding="utf-8")
    (tmp_path / "empty.mp4").touch()
    with (tmp_path / "large.mp4").open("wb") as large:
        large.write((ten / "clip 0.mp4").read_bytes())
        large.truncate(101 << 20)
    person = visit().go()
    page = person.page
    page.set_input_files("#file", sorted(tmp_path.glob("*.mp4")))
    wait_for(lambda: items(page, "refused") == 3)
    said = page.inner_text("#queue-list")
    for words in ("is empty", "as a video", "104.9 MB"):
        assert words in said
    assert not [path for method, path in person.asked if method == "POST"]
    page.set_input_files("#file", tmp_path / "letter.mp4")
    page.wait_for_selector("#problem:not([hidden])")
    assert "as a video" in page.inner_text("#problem-detail")
    assert not [path for method, path in person.asked if method == "POST"]


def test_a_video_too_long_for_the_server_is_refused_at_once(browser: Browser, tmp_path: Path) -> None:
    video = tmp_path / "long.mp4"
    make_clip(video, seconds=8.0, codec="libx264")
    with steady_service(tmp_path, max_duration_seconds=5) as strict:
        person = Visit(browser, strict.url).go()
        person.page.set_input_files("#file", video)
        person.page.wait_for_selector("#problem:not([hidden])")
        assert "accepts at most 0:05" in person.page.inner_text("#problem-detail")
        assert not [path for method, path in person.asked if method == "POST"]
        person.context.close()


def test_the_queue_is_paused_resumed_and_retried(visit: Visitor, ten: Path) -> None:
    person = visit().go()
    page = person.page
    session = person.context.new_cdp_session(page)
    session.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 500}
    session.send("Network.emulateNetworkConditions", slow)
    page.set_input_files("#file", sorted(ten.glob("*.mp4"))[:3])
    wait_for(lambda: items(page, "sending") == 2 and items(page, "waiting") == 1)
    page.click("#queue-pause")
    wait_for(lambda: items(page, "paused") == 3)
    page.click("#queue-list li >> nth=2 >> text=Remove")
    wait_for(lambda: page.locator("#queue-list li").count() == 2)
    session.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    page.click("#queue-list li >> nth=0 >> text=Resume")
    wait_for(lambda: items(page, "done") == 1)
    assert items(page, "paused") == 1
    page.click("#queue-pause")
    wait_for(lambda: items(page, "done") == 2)


def test_a_file_that_failed_is_retried(visit: Visitor, ten: Path) -> None:
    """The server first refuses uploads, then accepts them."""
    person = visit().go()
    page = person.page
    refusing = [True]

    def refuse(route: object, request: object) -> None:
        act = route.abort if refusing[0] and request.method == "POST" else route.continue_  # type: ignore[attr-defined]
        act()

    files = sorted(ten.glob("*.mp4"))[:2]
    page.route("**/v1/uploads", refuse)
    page.set_input_files("#file", files)
    page.wait_for_selector("text=Trying again from where it stopped")
    refusing[0] = False
    wait_for(lambda: items(page, "done") == 2)
    person.errors.clear()


def problem(status: int, code: str, detail: str, **headers: str) -> dict[str, Any]:
    """The server's answer to what it refuses, for `Route.fulfill`."""
    body = json.dumps({"status": status, "code": code, "detail": detail})
    return {
        "status": status,
        "content_type": "application/problem+json",
        "body": body,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
    }


def expect_logged(person: Visit, words: str) -> None:
    """The browser logs refused requests, and nothing else was wrong."""
    assert person.errors
    assert [line for line in person.errors if words not in line] == []
    person.errors.clear()


QUOTA = "The key's 600 minutes of this month are used up."
NO_ROOM = "One API key may store 1000 bytes of videos, results and reels, and this would be more."
ELSEWHERE = "This server does not hold the upload's bytes; another API process may."
SETTLED = {
    ("POST", 429, "quota_exceeded", QUOTA): "can raise the key's quota",
    ("POST", 429, "storage_quota_exceeded", NO_ROOM): "Delete videos that nobody needs",
    ("PATCH", 507, "storage_full", "The server's storage is full."): "Delete videos that nobody needs",
    ("PATCH", 409, "upload_elsewhere", ELSEWHERE): "",
    ("PATCH", 409, "upload_used", "This upload already has a job, with other options."): "",
}


@pytest.mark.parametrize(("refusal", "hint"), SETTLED.items(), ids=[code for _, _, code, _ in SETTLED])
def test_a_refusal_that_stays_ends_the_upload_in_words(
    visit: Visitor, ten: Path, refusal: tuple[str, int, str, str], hint: str
) -> None:
    method, status, code, detail = refusal
    person = visit().go()
    page = person.page
    asked: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.method != method:
            return route.continue_()
        asked.append(route.request.url)
        # Not to be waited for: until the next month.
        return route.fulfill(**problem(status, code, detail, Retry_After="1000000"))

    page.route(re.compile(r"/v1/uploads(/|$)"), refuse)
    page.set_input_files("#file", ten / "clip 0.mp4")
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem-detail") == detail
    assert hint in page.inner_text("#problem-hint")
    kept = page.evaluate(
        "Object.keys(localStorage).filter(name => name.startsWith('sentiloc.upload')).length"
    )
    # What has arrived is of use again when there is room, but not on another machine, nor for another job.
    assert kept == (code == "storage_full")
    page.click("#again")
    page.set_input_files("#file", [ten / "clip 1.mp4", ten / "clip 2.mp4", ten / "clip 3.mp4"])
    # No file keeps a place in the queue from the others.
    wait_for(lambda: items(page, "failed") == 3)
    assert hint in page.inner_text("#queue-list") and detail in page.inner_text("#queue-list")
    assert len(asked) == 4
    expect_logged(person, str(status))


FULL = "The server has the maximum number of open uploads. Try again later."


@pytest.mark.parametrize("count", [1, 2])
def test_a_busy_server_is_retried_after_its_retry_after(visit: Visitor, ten: Path, count: int) -> None:
    person = visit().go()
    page = person.page
    asked: list[float] = []

    def refuse(route: Route) -> None:
        asked.append(time.monotonic())
        if len(asked) > count:
            return route.continue_()
        return route.fulfill(**problem(503, "too_many_uploads", FULL, Retry_After="3"))

    page.route("**/v1/uploads", refuse)
    page.set_input_files("#file", sorted(ten.glob("*.mp4"))[:count])
    page.wait_for_selector(f"#{'stage' if count == 1 else 'queue-list'} >> text={FULL}")
    if count == 1:
        person.wait_result()
    else:
        wait_for(lambda: items(page, "done") == count)
    assert asked[count] - asked[0] >= 3
    expect_logged(person, "503")


def test_nobody_waits_for_a_busy_server_longer_than_wanted(visit: Visitor, ten: Path) -> None:
    person = visit().go()
    page = person.page
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            return route.continue_()
        return route.fulfill(**problem(503, "too_many_uploads", FULL, Retry_After="3600"))

    page.route("**/v1/uploads", refuse)
    page.set_input_files("#file", ten / "clip 0.mp4")
    page.wait_for_selector(f"#stage >> text={FULL}")
    page.click("#pause")
    page.wait_for_selector("#stage >> text=Paused at")
    page.click("#pause")
    person.wait_result()
    expect_logged(person, "503")


def drop(page: Page, *paths: Path) -> None:
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_a_dropped_folder_is_walked(visit: Visitor, ten: Path) -> None:
    """The browser's own drag and drop, with a real folder: what a person does with the mouse."""
    page = visit().go().page
    drop(page, ten)
    page.wait_for_selector("#queue-list li")
    wait_for(lambda: page.locator("#queue-list li").count() == TEN)
    wait_for(lambda: "1 file is not a video" in page.inner_text("#queue-note"))
    names = [f"a day/camera B/clip {number}.mp4" for number in (7, 8, 9)]
    names += [f"a day/clip {number}.mp4" for number in range(7)]
    assert page.locator("#queue-list b").all_inner_texts() == names
    wait_for(lambda: items(page, "done") == TEN)
    assert page.locator("#queue-list b").all_inner_texts() == names
    page.set_viewport_size({"width": 360, "height": 760})
    name = page.locator("#queue-list b").first.bounding_box()
    assert name is not None
    assert name["width"] > 150


def test_a_long_queue_asks_for_a_few_jobs_at_a_time(visit: Visitor, ten: Path) -> None:
    person = visit().go()
    page = person.page
    page.route("**/v1/jobs/*", lambda route: route.fulfill(json={"state": "queued", "progress": 0}))
    page.set_input_files("#folder", ten)
    wait_for(lambda: items(page, "working") == TEN)
    person.requests.clear()

    def asked() -> list[str]:
        return [url for url in person.requests if "/v1/jobs/" in url and "/summary" not in url]

    # Asking the page lets Playwright take in what was requested.
    wait_for(lambda: items(page, "working") == TEN and len(set(asked())) == TEN)
    # The first four are asked about each time, the other six in turn.
    assert asked().count(asked()[0]) >= 5


def test_a_folder_of_more_files_than_the_browser_lists_at_a_time(visit: Visitor, tmp_path: Path) -> None:
    for number in range(130):
        (tmp_path / f"clip {number}.mp4").write_bytes(b"not really")
    page = visit().go().page
    drop(page, tmp_path)
    wait_for(lambda: items(page, "refused") == 130)


def test_a_folder_without_a_video_is_reported(visit: Visitor, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no video", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    page = visit().go().page
    for name, words in (
        ("texts", "1 file is not a video and was skipped."),
        ("empty", "There is no file in this folder."),
    ):
        drop(page, tmp_path / name)
        page.wait_for_function(
            "words => document.querySelector('#queue-note').innerText === words", arg=words
        )
        assert page.is_visible("#queue-note")


def test_what_a_queued_job_waits_for_is_shown(
    visit: Visitor, service: SteadyService, long_clip: Path, clip: Path
) -> None:
    """The service itself takes the note back within a second, because its worker has the model."""
    service.submit(long_clip)
    job_id = service.submit(clip)
    page = visit().go(f"/#{job_id}").page
    error = JobError(code=ErrorCode.MODEL_UNAVAILABLE, detail="No worker can run it now.")

    def is_shown() -> bool:
        service.store().wait([job_id], error, 3600.0)
        return error.detail in page.inner_text("#stage")

    wait_for(is_shown)


def test_after_a_reload_nothing_is_sent_twice(visit: Visitor, service: SteadyService, ten: Path) -> None:
    person = visit().go()
    page = person.page
    page.on("dialog", lambda dialog: dialog.accept())
    before = count_jobs(service)
    begun: list[Route] = []

    def hold(route: Route) -> None:
        begun.append(route)
        if len(begun) <= 3:
            route.continue_()

    page.route("**/v1/uploads", hold)
    choose_ten(person, ten)
    wait_for(lambda: items(page, "done") == 3)
    person.reload()
    page.unroute("**/v1/uploads")
    page.wait_for_selector("#queue-note:has-text('before 7 files were sent')")
    assert "the 3 that were sent already" in page.inner_text("#queue-note")
    choose_ten(person, ten)
    page.wait_for_selector("#queue-note:has-text('3 files were sent before the reload.')")
    wait_for(lambda: items(page, "done") == TEN)
    assert count_jobs(service) - before == TEN
    # All are sent: another reload has nothing to say, and the same files may be sent again.
    person.reload()
    page.wait_for_selector("#intake:not([hidden])")
    assert page.is_hidden("#queue")


def test_after_a_reload_files_are_sent_again_with_other_options(visit: Visitor, ten: Path) -> None:
    person = visit().go()
    page = person.page
    page.on("dialog", lambda dialog: dialog.accept())
    begun: list[Route] = []

    def hold(route: Route) -> None:
        begun.append(route)
        if len(begun) == 1:
            route.continue_()

    page.route("**/v1/uploads", hold)
    pair = [ten / "clip 0.mp4", ten / "clip 1.mp4"]
    page.set_input_files("#file", pair)
    wait_for(lambda: items(page, "done") == 1)
    person.reload()
    page.unroute("**/v1/uploads")
    page.wait_for_selector("#queue-note:has-text('before one file was sent')")
    page.select_option("#quality", "draft")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PATCH" else None)
    page.set_input_files("#file", pair)
    wait_for(lambda: items(page, "done") == 2)
    assert len(sent) == 2


def test_after_a_reload_nothing_waits_for_refused_files(visit: Visitor, tmp_path: Path) -> None:
    person = visit().go()
    page = person.page
    files = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for file in files:
        file.write_text("Dear editor, this is no video at all." * 20, encoding="utf-8")
    page.set_input_files("#file", files)
    wait_for(lambda: items(page, "refused") == 2)
    person.reload()
    page.wait_for_selector("#intake:not([hidden])")
    assert page.is_hidden("#queue")


def test_a_long_piece_that_is_refused_late_is_sent_in_short_ones(visit: Visitor, ten: Path) -> None:
    """Another upload has found the shortest pieces meanwhile."""
    person = visit().go()
    page = person.page
    asked: list[str] = []
    late: list[Route] = []

    def refuse(route: Route) -> None:
        path = route.request.url
        if route.request.method != "PATCH":
            return route.continue_()
        asked.append(path)
        if asked == [path]:
            return late.append(route)
        # 32, 8, 2 and a half MiB are too long for this proxy.
        if path != asked[0] and asked.count(path) <= 4:
            return route.fulfill(status=413, content_type="text/html", body="<h1>413</h1>")
        return route.continue_()

    page.route("**/v1/uploads/*", refuse)
    page.set_input_files("#file", [ten / "clip 0.mp4", ten / "clip 1.mp4"])
    wait_for(lambda: items(page, "done") == 1)
    late[0].fulfill(status=413, content_type="text/html", body="<h1>413</h1>")
    wait_for(lambda: items(page, "done") == 2)
    assert all("413" in error for error in person.errors)
    person.errors.clear()


def test_pieces_become_shorter_where_a_proxy_refuses_their_length(visit: Visitor, clip: Path) -> None:
    person = visit().go()
    page = person.page
    offsets: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.method != "PATCH":
            return route.continue_()
        offsets.append(route.request.headers["upload-offset"])
        # 32, 8, 2 and a half MiB are too long for this proxy.
        if len(offsets) <= 4:
            return route.fulfill(status=413, content_type="text/html", body="<h1>413</h1>")
        return route.continue_()

    page.route("**/v1/uploads/*", refuse)
    page.set_input_files("#file", clip)
    person.wait_result()
    assert offsets[:5] == ["0"] * 5
    assert int(offsets[5]) == 128 * 1024
    assert all("413" in error for error in person.errors)
    person.errors.clear()


REFUSAL = """async ({ name, bytes }) => {
    const { refusal } = await import("/web/checks.js");
    const file = new File([Uint8Array.from(atob(bytes), (sign) => sign.charCodeAt(0))], name);
    return (await refusal(file))?.code ?? null;
}"""
CODECS = {
    "wmv": "wmv2",
    "flv": "flv1",
    "mxf": "mpeg2video",
    "mpg": "mpeg1video",
    "ogv": "libvpx",
    "gif": "gif",
}
STILL = {"still.png": b"\x89PNG\r\n\x1a\n" + bytes(64), "still.webp": b"RIFF\x40\0\0\0WEBPVP8 " + bytes(64)}


@pytest.mark.parametrize("kind", ["mp4", "mkv", "avi", "ts", "apng", *CODECS])
def test_a_video_of_every_kind_may_be_sent(visit: Visitor, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip.{kind}"
    if kind == "apng":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3000) + b"acTL")
    else:
        pixels = "rgb8" if kind == "gif" else "yuv420p"
        make_clip(path, seconds=0.4, codec=CODECS.get(kind, "libx264"), options=(), pixel_format=pixels)
    given = {"name": path.name, "bytes": base64.b64encode(path.read_bytes()).decode()}
    assert visit().go().page.evaluate(REFUSAL, given) is None


@pytest.mark.parametrize("name", [*STILL, "notes.mp4"])
def test_a_file_that_is_no_video_is_refused_before_it_is_sent(visit: Visitor, name: str) -> None:
    given = {"name": name, "bytes": base64.b64encode(STILL.get(name, b"no video at all")).decode()}
    assert visit().go().page.evaluate(REFUSAL, given) == "unsupported_format"


def test_what_was_not_accepted_and_what_failed_are_counted_apart(
    visit: Visitor, clip: Path, tmp_path: Path
) -> None:
    broken, text = tmp_path / "broken.mp4", tmp_path / "text.mp4"
    broken.write_bytes(clip.read_bytes()[:2000])
    text.write_text("no video")
    page = visit().go().page
    page.set_input_files("#file", [broken, text, clip])
    wait_for(lambda: (items(page, "failed"), items(page, "done")) == (1, 1))
    assert page.inner_text("#queue-count") == "2 of 3 sent, 1 not accepted, 1 failed"
    assert page.inner_text("#queue-list [data-state=done] p") == "1 positive"
