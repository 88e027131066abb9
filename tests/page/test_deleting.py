"""Deletion in the list of videos: a second press confirms it, and the page says what could not be deleted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.browsing import Held, Visit
from tests.page.conftest import SteadyService, Visitor
from tests.page.test_list import as_running
from tests.page.test_queue import expect_logged, items, problem
from tests.support.media import make_clip
from tests.support.services import wait_for

AWAY = "The storage does not answer."
ANY_JOB = r"/v1/jobs/[^/?]+$"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    make_clip(path, seconds=1.0)
    return path


def submit(service: SteadyService, clip: Path, *names: str) -> list[str]:
    jobs = [service.submit(clip, f"{name}.mp4") for name in names]
    for job in jobs:
        service.wait_ended(job)
    return jobs


def search(person: Visit, word: str, count: int) -> Page:
    """Wait until the list shows the videos with this word in their names, and no others."""
    page = person.page
    with page.expect_response(re.compile(f"q={word}")):
        page.fill("#search", word)
    wait_for(lambda: rows(page).count() == count)
    wait_for(lambda: all(word in name for name in rows(page).locator("a").all_inner_texts()))
    return page


def rows(page: Page) -> Locator:
    return page.locator("#job-list li")


def row(page: Page, job: str) -> Locator:
    return page.locator(f"#job-list li[data-id='{job}']")


def press_twice(button: Locator) -> None:
    button.click()
    expect(button).to_have_text("Delete for good?")
    button.click()


def statuses(service: SteadyService, jobs: list[str]) -> list[int]:
    return [service.client.get(f"/jobs/{job}").status_code for job in jobs]


def refuse_deletion(page: Page, job: str) -> None:
    def refuse(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fulfill(**problem(503, "storage_unavailable", AWAY))
        else:
            route.continue_()

    page.route(re.compile(rf"/v1/jobs/{job}$"), refuse)


def test_the_first_press_deletes_nothing_and_is_cancelled_by_leaving_the_button(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    jobs = submit(service, short, "hesitant a", "hesitant b")
    person = visit().go()
    page = search(person, "hesitant", 2)
    first, second = (row(page, job).get_by_role("button") for job in jobs)
    first.click()
    expect(first).to_have_text("Delete for good?")
    second.click()
    expect(first).to_have_text("Delete")
    expect(second).to_have_text("Delete for good?")
    first.click()
    expect(first).to_have_text("Delete for good?")
    expect(second).to_have_text("Delete")
    assert [path for method, path in person.asked if method == "DELETE"] == []
    first.click()
    wait_for(lambda: rows(page).count() == 1)
    assert statuses(service, jobs) == [404, 200]


def test_a_screen_reader_hears_the_question(visit: Visitor, service: SteadyService, short: Path) -> None:
    (job,) = submit(service, short, "heard")
    page = search(visit().go(), "heard", 1)
    page.check("#job-list li input")
    one, several = row(page, job).get_by_role("button"), page.locator("#chosen-delete")
    for button, name in ((one, "Delete heard.mp4"), (several, "Delete")):
        expect(button).to_have_accessible_name(name)
        button.click()
        expect(button).to_have_accessible_name(re.compile("^Delete for good\\?"))
        page.focus("#search")
        expect(button).to_have_accessible_name(name)


SAFARI = """addEventListener("mousedown", (event) => {
    if (event.defaultPrevented || !event.target.closest("button")) return;
    event.preventDefault();
    document.querySelector("main").focus();
});"""
"""Safari gives the focus not to a button that is pressed, but to the nearest element around it that can have it."""


@pytest.mark.parametrize("way", ["click", "tap"])
@pytest.mark.parametrize("which", ["row", "chosen"])
def test_a_deletion_is_confirmed_in_safari(
    visit: Visitor, service: SteadyService, short: Path, which: str, way: str
) -> None:
    (job,) = submit(service, short, f"safari-{which}-{way}")
    person = visit(has_touch=way == "tap")
    person.page.add_init_script(SAFARI)
    page = search(person.go(), f"safari-{which}-{way}", 1)
    page.check("#job-list li input")
    button = row(page, job).get_by_role("button") if which == "row" else page.locator("#chosen-delete")
    press = button.tap if way == "tap" else button.click
    press()
    expect(button).to_have_text("Delete for good?")
    press()
    wait_for(lambda: rows(page).count() == 0)
    assert statuses(service, [job]) == [404]


def test_a_video_that_is_ticked_while_others_are_deleted_stays(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    jobs = submit(service, short, "ticked a", "ticked b", "ticked c")
    person = visit().go()
    page = search(person, "ticked", 3)
    for job in jobs[:2]:
        row(page, job).locator("input").check()
    held = Held(person, ANY_JOB)
    press_twice(page.locator("#chosen-delete"))
    held.wait()
    row(page, jobs[2]).locator("input").check()
    held.release()
    wait_for(lambda: rows(page).count() < 3)
    page.wait_for_selector("#chosen-delete:enabled")
    assert statuses(service, jobs) == [404, 404, 200]
    assert rows(page).count() == 1
    assert page.inner_text("#chosen-count") == "1 selected"
    expect(row(page, jobs[2]).locator("input")).to_be_focused()


def test_a_button_that_waits_for_its_second_press_is_not_taken_away(
    visit: Visitor, service: SteadyService, short: Path, tmp_path: Path
) -> None:
    (job,) = submit(service, short, "patient")
    page = search(visit().go(), "patient", 1)
    button = row(page, job).get_by_role("button")
    button.click()
    sent = [Path(shutil.copy(short, tmp_path / f"patient {name}.mp4")) for name in "bc"]
    page.set_input_files("#file", sent)
    wait_for(lambda: items(page, "done") == 2)
    # The list is read again and again, so it knows of the files.
    with page.expect_response(re.compile(r"/v1/jobs\?")):
        pass
    expect(button).to_have_text("Delete for good?")
    assert rows(page).count() == 1
    page.focus("#search")
    expect(button).to_have_text("Delete")
    wait_for(lambda: rows(page).count() == 3)


def test_what_is_around_a_row_that_waits_for_its_second_press_is_drawn(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    jobs = submit(service, short, "around a", "around b")
    page = search(visit().go(), "around", 2)
    row(page, jobs[0]).locator("input").check()
    button = row(page, jobs[1]).get_by_role("button")
    button.click()
    service.client.delete(f"/jobs/{jobs[0]}").raise_for_status()
    # The list is read again, and the focus stays.
    page.dispatch_event("#job-sort", "change")
    expect(page.locator("#chosen-acts")).to_be_hidden()
    expect(button).to_have_text("Delete for good?")
    assert rows(page).count() == 2


NO_BLUR = 'addEventListener("blur", (event) => event.stopImmediatePropagation(), true)'
"""Some browsers do not report that a button which is hidden has lost the focus."""


def test_a_list_that_is_left_does_not_wait_for_a_second_press(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    (job,) = submit(service, short, "leaving")
    person = visit()
    person.page.add_init_script(NO_BLUR)
    page = search(person.go(), "leaving", 1)
    button = row(page, job).get_by_role("button")
    button.click()
    expect(button).to_have_text("Delete for good?")
    page.evaluate("id => { location.hash = id; }", job)
    person.wait_result()
    page.go_back()
    page.wait_for_selector("#intake:not([hidden])")
    expect(button).to_have_text("Delete")
    button.click()
    expect(button).to_have_text("Delete for good?")


def test_a_hidden_button_does_not_wait_for_a_second_press(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    jobs = submit(service, short, "hidden a", "hidden b")
    person = visit()
    person.page.add_init_script(NO_BLUR)
    page = search(person.go(), "hidden", 2)
    row(page, jobs[0]).locator("input").check()
    button = page.locator("#chosen-delete")
    button.click()
    expect(button).to_have_text("Delete for good?")
    service.client.delete(f"/jobs/{jobs[0]}").raise_for_status()
    page.dispatch_event("#job-sort", "change")
    expect(button).to_be_hidden()
    row(page, jobs[1]).locator("input").check()
    expect(button).to_have_text("Delete")


def test_the_keyboard_goes_on_at_the_next_row(visit: Visitor, service: SteadyService, short: Path) -> None:
    # The newest is the first row.
    last, middle, first = submit(service, short, "typed a", "typed b", "typed c")
    page = search(visit().go(), "typed", 3)
    buttons = {job: row(page, job).get_by_role("button") for job in (first, middle, last)}
    buttons[middle].focus()
    for count, pressed, following in (
        (2, middle, buttons[last]),
        (1, last, page.locator("#search")),
    ):
        page.keyboard.press("Enter")
        expect(buttons[pressed]).to_have_text("Delete for good?")
        page.keyboard.press("Enter")
        expect(rows(page)).to_have_count(count)
        expect(following).to_be_focused()
    assert statuses(service, [first, middle, last]) == [200, 404, 404]


def test_after_the_last_video_the_keyboard_goes_on_at_the_address(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    (job,) = submit(service, short, "only")
    page = visit().go().page
    button = row(page, job).get_by_role("button")
    button.click()
    page.route(re.compile(r"/v1/jobs\?"), lambda route: route.fulfill(json={"jobs": [], "next_cursor": None}))
    button.click()
    expect(page.locator("#url")).to_be_focused()
    expect(page.locator("#search")).to_be_hidden()
    page.unroute_all(behavior="wait")


@pytest.mark.parametrize("which", ["row", "chosen"])
def test_a_key_that_is_held_down_confirms_nothing(
    visit: Visitor, service: SteadyService, short: Path, which: str
) -> None:
    (job,) = submit(service, short, f"held-{which}")
    person = visit().go()
    page = search(person, f"held-{which}", 1)
    page.check("#job-list li input")
    button = row(page, job).get_by_role("button") if which == "row" else page.locator("#chosen-delete")
    button.focus()
    for _ in range(3):
        page.keyboard.down("Enter")
    expect(button).to_have_text("Delete for good?")
    page.keyboard.up("Enter")
    page.keyboard.press("Enter")
    wait_for(lambda: rows(page).count() == 0)


def test_chosen_videos_that_run_are_deleted(visit: Visitor, service: SteadyService, long_clip: Path) -> None:
    job = service.submit(long_clip, "busy.mp4")
    page = search(visit().go(), "busy", 1)
    row(page, job).locator("input").check()
    press_twice(page.locator("#chosen-delete"))
    wait_for(lambda: rows(page).count() == 0)
    assert statuses(service, [job]) == [404]


def test_others_can_be_deleted_during_a_deletion(visit: Visitor, service: SteadyService, short: Path) -> None:
    jobs = submit(service, short, "other a", "other b")
    person = visit().go()
    page = search(person, "other", 2)
    ticks = [row(page, job).locator("input") for job in jobs]
    ticks[0].check()
    held = Held(person, ANY_JOB)
    press_twice(page.locator("#chosen-delete"))
    held.wait()
    expect(page.locator("#chosen-delete")).to_be_disabled()
    ticks[0].uncheck()
    ticks[1].check()
    expect(page.locator("#chosen-delete")).to_be_enabled()
    held.release()
    wait_for(lambda: rows(page).count() == 1)
    assert statuses(service, jobs) == [404, 200]


def test_a_press_during_a_deletion_does_not_ask_again(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    (job,) = submit(service, short, "pressed")
    person = visit().go()
    page = search(person, "pressed", 1)
    button = row(page, job).get_by_role("button")
    held = Held(person, ANY_JOB)
    press_twice(button)
    held.wait()
    expect(button).to_be_disabled()
    expect(button).to_have_text("Delete")
    # The same for the button of a list that is drawn again.
    row(page, job).evaluate("row => row.classList.add('old')")
    page.select_option("#job-sort", "name")
    wait_for(lambda: page.locator("#job-list .old").count() == 0)
    expect(button).to_be_disabled()
    held.release()
    wait_for(lambda: rows(page).count() == 0)
    assert len([path for method, path in person.asked if method == "DELETE"]) == 1


def test_a_press_during_a_deletion_of_several_does_not_ask_again(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    jobs = submit(service, short, "several a", "several b", "several c")
    person = visit().go()
    page = search(person, "several", 3)
    for job in jobs[:2]:
        row(page, job).locator("input").check()
    held = Held(person, ANY_JOB)
    press_twice(page.locator("#chosen-delete"))
    held.wait()
    expect(page.locator("#chosen-delete")).to_be_disabled()
    expect(page.locator("#chosen-delete")).to_have_text("Delete")
    expect(row(page, jobs[1]).get_by_role("button")).to_be_disabled()
    expect(row(page, jobs[2]).get_by_role("button")).to_be_enabled()
    held.release()
    wait_for(lambda: rows(page).count() == 1)
    expect(page.locator("#search")).to_be_focused()


def test_a_failed_deletion_of_a_video_is_reported(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    jobs = submit(service, short, *(f"refused {name}" for name in "abcde"))
    person = visit(viewport={"width": 900, "height": 200}).go()
    page = search(person, "refused", 5)
    refuse_deletion(page, jobs[0])
    button = row(page, jobs[0]).get_by_role("button")
    press_twice(button)
    note = page.get_by_role("status").filter(has_text=f"1 video was not deleted: {AWAY}")
    note.wait_for()
    # The row of the oldest is far below.
    expect(note).to_be_in_viewport()
    expect(button).to_be_enabled()
    expect(button).to_be_focused()
    page.unroute_all(behavior="wait")
    press_twice(button)
    wait_for(lambda: rows(page).count() == 4)
    assert page.inner_text("#chosen-note") == ""
    assert statuses(service, jobs[:1]) == [404]
    expect_logged(person, "503")


def test_a_video_that_could_not_be_deleted_stays_chosen(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    jobs = submit(service, short, "left a", "left b", "left c")
    person = visit().go()
    page = search(person, "left", 3)
    refuse_deletion(page, jobs[1])
    page.check("#choose-all")
    press_twice(page.locator("#chosen-delete"))
    page.get_by_role("status").filter(has_text=f"1 video was not deleted: {AWAY}").wait_for()
    wait_for(lambda: rows(page).count() == 1)
    assert statuses(service, jobs) == [404, 200, 404]
    assert page.inner_text("#chosen-count") == "1 selected"
    expect(page.locator("#chosen-delete")).to_be_enabled()
    expect(page.locator("#chosen-delete")).to_be_focused()
    page.unroute_all(behavior="wait")
    press_twice(page.locator("#chosen-delete"))
    wait_for(lambda: rows(page).count() == 0)
    expect_logged(person, "503")


def test_without_a_server_a_deletion_is_reported_and_can_be_retried(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    (job,) = submit(service, short, "offline")
    person = visit().go()
    page = search(person, "offline", 1)
    button = row(page, job).get_by_role("button")
    page.route("**/v1/**", lambda route: route.abort())
    press_twice(button)
    page.get_by_role("status").filter(has_text="The server does not answer").wait_for()
    expect(button).to_be_enabled()
    page.unroute_all(behavior="wait")
    press_twice(button)
    wait_for(lambda: rows(page).count() == 0)
    expect_logged(person, "ERR_FAILED")


def test_a_video_that_is_gone_already_counts_as_deleted(
    visit: Visitor, service: SteadyService, short: Path
) -> None:
    (job,) = submit(service, short, "vanished")
    person = visit().go()
    page = search(person, "vanished", 1)
    service.client.delete(f"/jobs/{job}").raise_for_status()
    press_twice(row(page, job).get_by_role("button"))
    wait_for(lambda: rows(page).count() == 0)
    assert page.locator("#chosen-note").text_content() == ""
    expect_logged(person, "404")


def test_a_failed_cancellation_is_reported(visit: Visitor, service: SteadyService, short: Path) -> None:
    (job,) = submit(service, short, "endless")
    person = visit().go()
    page = person.page
    page.route(re.compile(r"/v1/jobs\?"), lambda route: as_running(route, job))
    page.route("**/cancel", lambda route: route.fulfill(**problem(503, "storage_unavailable", AWAY)))
    search(person, "endless", 1)
    row(page, job).get_by_role("button", name="Cancel endless.mp4").click()
    page.get_by_role("status").filter(has_text=AWAY).wait_for()
    page.unroute_all(behavior="wait")
    expect_logged(person, "503")
