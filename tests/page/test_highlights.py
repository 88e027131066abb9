"""The highlights page: find, reorder, trim, play, cut and render."""

from __future__ import annotations

import json
import re
from pathlib import Path

import opentimelineio as oti
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route

from tests.page.browsing import PATIENCE
from tests.page.conftest import CLIP_SECONDS, SteadyService, Visitor
from tests.support.services import wait_for

NOTE_PLACES = """() => {
    window.places = [];
    const now = document.querySelector("#now");
    const note = () => now.textContent !== window.places.at(-1) && window.places.push(now.textContent);
    new MutationObserver(note).observe(now, { childList: true, characterData: true, subtree: true });
}"""


def test_from_moments_to_a_film(visit: Visitor, job: str, tmp_path: Path) -> None:
    person = visit().go(f"/web/highlights.html?job={job}")
    page = person.page
    page.wait_for_selector("#moments li")
    rows = page.locator("#moments li")
    count = rows.count()
    assert count >= 2
    assert page.inner_text("#told").startswith(f"{count} moments in 1 video,")
    found = Axe().run(page).response["violations"]
    assert found == [], json.dumps(found, indent=1)[:2000]

    # Order by keyboard, then trim, then remove.
    first = rows.nth(0).locator("b").inner_text()
    page.get_by_label("Later 1").focus()
    page.keyboard.press("Enter")
    assert rows.nth(1).locator("b").inner_text() == first
    start = float(page.get_by_label("Start of 2 in seconds").input_value())
    page.get_by_label("End of 2 in seconds").fill(f"{start + 0.6:.2f}")
    page.keyboard.press("Enter")
    page.get_by_label("End of 2 in seconds").blur()
    for _ in range(count - 2):
        page.get_by_label(f"Remove {rows.count()}", exact=True).click()
    assert rows.count() == 2

    # Playback continues from one clip to the next. The page itself notes what it says: it may be said for an instant.
    page.evaluate(NOTE_PLACES)
    page.get_by_label("Play 1", exact=True).click()
    person.until("window.places.at(-1) === '' && window.places.length > 1")
    assert page.evaluate("window.places") == ["1 of 2", "2 of 2", ""]

    page.select_option("#format", "fcp7")
    with page.expect_download() as waiting:
        page.click("#cut")
    waiting.value.save_as(tmp_path / "cut.xml")
    clips = list(oti.adapters.read_from_file(str(tmp_path / "cut.xml"), "fcp_xml").video_tracks()[0])
    assert len(clips) == 2
    assert clips[1].source_range.duration.value == 15

    page.click("#render")
    page.wait_for_selector("#made:not([hidden])")
    with page.expect_download() as waiting:
        page.click("#made")
    assert Path(waiting.value.path()).read_bytes()[4:8] == b"ftyp"


def test_a_reload_keeps_the_cut_and_the_reel(visit: Visitor, job: str) -> None:
    person = visit().go(f"/web/highlights.html?job={job}")
    page = person.page
    page.wait_for_selector("#moments li")
    end = page.get_by_label("End of 1 in seconds")
    shorter = f"{float(end.input_value()) - 0.4:.2f}"
    end.fill(shorter)
    end.press("Enter")
    page.get_by_label("Remove 2", exact=True).click()
    count = page.locator("#moments li").count()
    page.click("#render")
    page.wait_for_selector("#rendering:not([hidden]), #made:not([hidden])")
    page.reload()
    page.wait_for_selector("#made:not([hidden])")
    assert page.locator("#moments li").count() == count
    assert page.get_by_label("End of 1 in seconds").input_value() == shorter
    page.click("#find button")
    person.until("count => document.querySelectorAll('#moments li').length > count", count)
    page.reload()
    person.until("document.querySelector('#told').textContent.includes(' in 1 video')")


def test_a_reel_is_ordered_once(visit: Visitor, service: SteadyService, job: str) -> None:
    """Pressed again before the answer, and once more after the answer was lost."""
    person = visit().go(f"/web/highlights.html?job={job}")
    page = person.page
    page.wait_for_selector("#moments li")

    def reels() -> int:
        return len(service.client.get("/reels", params={"limit": 100}).json()["reels"])

    before = reels()
    held: list[Route] = []
    page.route("**/v1/reels", lambda route: held.append(route))
    page.click("#render")
    wait_for(lambda: page.is_disabled("#render") and len(held) == 1)
    # There is no job yet that could be stopped.
    assert page.is_hidden("#stop")
    page.evaluate("document.querySelector('#render').click()")
    # The server has the order, but the page gets no answer.
    held[0].fetch(timeout=PATIENCE)
    held[0].abort()
    page.wait_for_selector("#told:text('The server does not answer')")
    page.unroute("**/v1/reels")
    page.click("#render")
    page.wait_for_selector("#made:not([hidden])")
    assert len(held) == 1
    assert reels() == before + 1
    person.errors.clear()  # the browser logs the lost answer


def test_what_was_changed_is_undone(visit: Visitor, job: str) -> None:
    page = visit().go(f"/web/highlights.html?job={job}").page
    page.wait_for_selector("#moments li")
    before = page.inner_text("#moments")
    start, end = page.get_by_label("Start of 1 in seconds"), page.get_by_label("End of 1 in seconds")
    was = end.input_value()
    end.fill(f"{float(was) - 0.4:.2f}")
    # A changed field keeps its place: Tab goes on to the next control.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Later 1"
    page.keyboard.press("Enter")
    # The moment has moved, and the focus with it.
    assert page.evaluate("document.activeElement.ariaLabel") in ("Later 2", "Earlier 2")
    page.get_by_label("Remove 1", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove 1"
    for _ in range(3):
        assert page.is_enabled("#undo")
        page.keyboard.press("Control+z")
    assert page.is_disabled("#undo")
    assert page.inner_text("#moments") == before
    assert end.input_value() == was and float(start.input_value()) < float(was)


def test_another_search_puts_the_former_reel_away(visit: Visitor, job: str) -> None:
    person = visit().go(f"/web/highlights.html?job={job}")
    page = person.page
    page.wait_for_selector("#moments li")
    page.click("#render")
    page.wait_for_selector("#made:not([hidden])")
    page.click("#find button")
    page.wait_for_selector("#made", state="hidden")
    assert page.locator("#share-reel").is_hidden()
    # What is kept for a reload has no reel, either.
    page.get_by_label("Later 1", exact=True).click()
    page.reload()
    person.until("document.querySelector('#told').textContent.startsWith('Your cut is as you left it')")
    assert page.locator("#made").is_hidden()


def test_videos_that_the_browser_cannot_play_are_skipped(visit: Visitor, job: str) -> None:
    page = visit().go(f"/web/highlights.html?job={job}").page
    page.wait_for_selector("#moments li")
    page.route(
        re.compile(r"/video\b"), lambda route: route.fulfill(body="no video", content_type="video/mp4")
    )
    page.click("#play")
    page.wait_for_selector("#told:text('cannot play drawn person.mp4')")
    page.wait_for_selector("#play:text-is('Play all')")


def plant_cut(page: Page, clips: list[tuple[str, float, float]]) -> None:
    """Keep a cut for the next load of the page, as if somebody had put it together. With a key: videos are fetched."""
    moments = [
        {"job": job, "name": job, "kind": "positive", "start": start, "end": end, "confidence": 0.9}
        for job, start, end in clips
    ]
    cut = json.dumps({"moments": [{**one, "thumbnail": None} for one in moments], "reel": None})
    page.add_init_script(
        "sessionStorage.setItem('sentiloc.key', 'a key');"
        f"sessionStorage.setItem('sentiloc.cut', {json.dumps(cut)});"
    )


def test_no_moment_is_skipped_while_the_next_video_is_fetched(
    visit: Visitor, service: SteadyService, job: str, clip: Path
) -> None:
    other = service.submit(clip)
    service.wait_ended(other)
    person = visit()
    page = person.page
    held: list[Route] = []
    page.route(f"**/v1/jobs/{other}/video", lambda route: held.append(route))
    plant_cut(page, [(job, 15.0, 15.5), (other, 2.0, 2.4), (job, 3.0, 3.4)])
    person.go("/web/highlights.html")
    page.wait_for_selector("#moments li")
    page.evaluate(NOTE_PLACES)
    page.click("#play")
    wait_for(lambda: page.inner_text("#now") == "2 of 3" and len(held) == 1)
    # A player that went on would report its time four times a second.
    page.wait_for_timeout(900)
    assert page.evaluate("document.querySelector('#player').paused")
    assert page.evaluate("window.places") == ["1 of 3", "2 of 3"]
    held[0].continue_()
    person.until("window.places.at(-1) === '' && window.places.length > 2")
    assert page.evaluate("window.places") == ["1 of 3", "2 of 3", "3 of 3", ""]


def test_a_video_that_is_gone_ends_the_playing(visit: Visitor, job: str) -> None:
    person = visit()
    page = person.page
    plant_cut(page, [(job, 1.0, 1.4), ("A" * 22, 2.0, 2.4)])
    person.go("/web/highlights.html")
    page.wait_for_selector("#moments li")
    page.click("#play")
    page.wait_for_selector("#told:text('There is no job with this id.')")
    assert page.inner_text("#play") == "Play all"
    assert [line for line in person.errors if "404" not in line] == []
    person.errors.clear()


def test_a_moment_that_goes_past_the_end_does_not_stop_the_others(visit: Visitor, job: str) -> None:
    person = visit().go(f"/web/highlights.html?job={job}")
    page = person.page
    page.wait_for_selector("#moments li")
    page.get_by_label("End of 1 in seconds").fill("900")
    page.get_by_label("End of 1 in seconds").press("Tab")
    page.get_by_label("Start of 1 in seconds").fill(f"{CLIP_SECONDS - 0.3}")
    page.get_by_label("Start of 1 in seconds").press("Tab")
    page.get_by_label("Play 1", exact=True).click()
    person.until("document.querySelector('#now').textContent.startsWith('2 of ')")


def test_a_turning_point_has_a_picture(visit: Visitor, job: str) -> None:
    page = visit().go(f"/web/highlights.html?job={job}").page
    page.wait_for_selector("#moments li")
    page.select_option("#kind", "turning_point")
    page.click("#find button")
    page.wait_for_selector("#moments li .turning_point")
    assert page.locator("#moments img").count() == page.locator("#moments li").count() == 1


def test_a_phone_shows_it_without_sideways_scrolling(visit: Visitor, job: str) -> None:
    page = visit(viewport={"width": 360, "height": 700}).go(f"/web/highlights.html?job={job}").page
    page.wait_for_selector("#moments li")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_says_how_many_videos_were_not_searched(visit: Visitor, job: str) -> None:
    person = visit()
    page = person.page

    def crowded(route: Route) -> None:
        answer = route.fetch(timeout=PATIENCE)
        route.fulfill(response=answer, json={**answer.json(), "not_searched": 1034})

    page.route("**/v1/highlights?*", crowded)
    person.go(f"/web/highlights.html?job={job}")
    page.wait_for_selector("#moments li")
    assert page.inner_text("#told").endswith(
        "Only the videos with the most certain segments were searched, not the 1034 others"
    )


def test_its_edges_are_valid_and_step_by_frames(visit: Visitor, job: str) -> None:
    """A screen reader calls a field wrong whose time lies between two steps."""
    page = visit().go(f"/web/highlights.html?job={job}").page
    page.wait_for_selector("#moments li")
    assert page.locator("#moments input:invalid").count() == 0
    start = page.locator("#moments input").first
    before = float(start.input_value())
    start.press("ArrowUp")
    start.press("Tab")
    assert float(start.input_value()) == pytest.approx(before + 0.04)
    start.fill("1.33")
    start.press("Tab")
    assert page.locator("#moments input:invalid").count() == 0


def test_printed_highlights_are_a_list_of_moments(visit: Visitor, job: str) -> None:
    page = visit(color_scheme="dark").go(f"/web/highlights.html?job={job}").page
    page.wait_for_selector("#moments li")
    page.emulate_media(media="print")
    assert page.is_visible("#moments img") and page.is_hidden("#find") and page.is_hidden("#leave")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(20, 32, 44)"


def test_reels_are_listed_downloaded_and_deleted(visit: Visitor, service: SteadyService, job: str) -> None:
    clip = {"job": job, "start": 1.0, "end": 2.0, "label": "positive"}
    reels = [
        service.client.post("/reels", json={"title": title, "clips": [clip]}).json()["id"]
        for title in ("Summer", "Winter")
    ]
    for reel in reels:
        assert service.wait_ended(reel)["state"] == "succeeded"
    person = visit().go("/web/highlights.html")
    page = person.page
    row = page.locator(f"#reel-list li[data-id='{reels[0]}']")
    assert "done" in row.inner_text() and "1 clip" in row.inner_text()
    with page.expect_download() as waiting:
        page.get_by_label("Download Summer").click()
    assert waiting.value.suggested_filename == "Summer.mp4"
    assert Path(waiting.value.path()).read_bytes()[4:8] == b"ftyp"
    found = Axe().run(page).response["violations"]
    assert found == [], json.dumps(found, indent=1)[:2000]
    page.get_by_label("Delete Summer").press("Enter")
    assert service.client.get(f"/reels/{reels[0]}").status_code == 200
    page.get_by_label("Delete for good? Delete Summer").press("Enter")
    row.wait_for(state="detached")
    assert page.inner_text("#reels-told") == "Summer is deleted."
    assert service.client.get(f"/reels/{reels[0]}").status_code == 404
    assert page.evaluate("document.activeElement.className").startswith("removal")


def test_a_reel_that_is_being_rendered_is_followed_in_the_list(visit: Visitor, job: str) -> None:
    page = visit().go(f"/web/highlights.html?job={job}").page
    page.wait_for_selector("#moments li")
    page.fill("#title", "Followed")
    page.click("#render")
    page.wait_for_selector("#reel-list li:has-text('Followed') .chip.succeeded")


def test_the_list_of_reels_says_when_it_cannot_be_read_and_when_it_can_again(
    visit: Visitor, job: str
) -> None:
    person = visit()
    page = person.page
    reads = re.compile(r"/v1/reels\?")
    page.route(reads, lambda route: route.abort())
    person.go(f"/web/highlights.html?job={job}")
    page.wait_for_selector("#reels-told:text('The server does not answer')")
    page.unroute_all(behavior="wait")
    page.wait_for_selector("#moments li")
    with page.expect_response(reads):
        page.click("#render")
    wait_for(lambda: page.text_content("#reels-told") == "")
    person.errors.clear()
