"""The list of videos: read from the server, with a picture and a small timeline; actions on several videos."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Route

from tests.page.browsing import PATIENCE
from tests.page.conftest import SHOWN_FROM, SteadyService, Visitor
from tests.page.test_page import serious
from tests.support.services import wait_for


def ended_jobs(service: SteadyService, clip: Path, word: str, letters: str) -> list[str]:
    """One ended job per letter. The word is in all their names."""
    jobs = [service.submit(clip, f"{word} {letter}.mp4", threshold=SHOWN_FROM) for letter in letters]
    for job in jobs:
        service.wait_ended(job)
    return jobs


@pytest.fixture(scope="module")
def three(service: SteadyService, clip: Path) -> list[str]:
    """Three jobs with the same word in their names."""
    return ended_jobs(service, clip, "trip", "cab")


def test_it_is_searched_filtered_and_sorted_by_the_server(
    visit: Visitor, service: SteadyService, three: list[str]
) -> None:
    person = visit().go()
    page = person.page
    page.fill("#search", "TRIP")
    names = page.locator("#job-list a")
    wait_for(lambda: names.count() == 3)
    page.select_option("#job-sort", "name")
    wait_for(lambda: names.all_inner_texts() == ["trip a.mp4", "trip b.mp4", "trip c.mp4"])
    page.select_option("#job-label", "positive")

    def asked() -> str:
        # Asking the page lets Playwright take in what was requested.
        assert names.count() >= 0
        return [url for url in person.requests if "/jobs?" in url][-1]

    wait_for(lambda: all(part in asked() for part in ("q=TRIP", "label=positive", "sort=name")))
    wait_for(lambda: names.count() == 3)


def test_a_list_that_cannot_be_read_is_reported_and_retried(visit: Visitor, three: list[str]) -> None:
    person = visit().go()
    page = person.page
    names = page.locator("#job-list a")
    wait_for(lambda: names.count() >= 3)
    page.route("**/v1/jobs?**", lambda route: route.abort())
    page.fill("#search", "trip a")
    page.wait_for_selector("#list-note:text('The server does not answer')")
    page.unroute_all(behavior="wait")
    wait_for(lambda: names.count() == 1)
    page.wait_for_selector("#list-note", state="hidden")
    assert all("ERR_FAILED" in line for line in person.errors)
    person.errors.clear()


def test_a_list_that_was_never_read_is_not_called_empty(visit: Visitor, three: list[str]) -> None:
    person = visit()
    page = person.page
    page.route("**/v1/jobs?**", lambda route: route.abort())
    person.go()
    page.wait_for_selector("#list-note:text('The server does not answer')")
    # The list is drawn once more behind the models.
    wait_for(lambda: page.locator("#job-sort").is_hidden())
    assert page.is_hidden("#no-jobs")
    page.unroute_all(behavior="wait")
    wait_for(lambda: page.locator("#job-list a").count() >= 3)
    person.errors.clear()


def test_a_list_is_read_again_no_sooner_than_the_server_asks(visit: Visitor, three: list[str]) -> None:
    person = visit()
    page = person.page
    refusal = {"status": 429, "headers": {"Retry-After": "60"}, "json": {"detail": "Try again later."}}
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(**refusal)  # type: ignore[arg-type]

    page.clock.install()
    page.route("**/v1/jobs?**", refuse)
    person.go()
    page.wait_for_selector("#list-note:text('Try again later.')")
    page.clock.fast_forward(50_000)
    assert page.is_visible("#list-note")
    assert len(asked) == 1
    page.clock.fast_forward(20_000)
    wait_for(lambda: page.is_visible("#list-note") and len(asked) == 2)
    page.unroute_all(behavior="wait")
    person.errors.clear()


def test_a_row_shows_picture_length_counts_and_segments(
    visit: Visitor, service: SteadyService, three: list[str]
) -> None:
    page = visit().go().page
    row = page.locator(f"#job-list li[data-id='{three[0]}']")
    row.locator(".mini rect.positive").first.wait_for(state="attached")
    found = service.client.get(f"/jobs/{three[0]}/result").json()["segments"]
    wait_for(lambda: row.locator(".mini rect:not(.axis)").count() == len(found))
    wait_for(lambda: row.locator("img").evaluate("image => image.naturalWidth > 0"))
    text = row.inner_text()
    assert "0:20" in text and "1 positive" in text
    assert text.index("positive") < text.index("negative")


def as_running(route: Route, job_id: str) -> None:
    """The answer of a server for which the job still runs."""
    answer = route.fetch(timeout=PATIENCE)
    body = answer.json()
    for one in [body, *body.get("jobs", [])]:
        if one.get("id") == job_id:
            one.update(state="extracting", stage="extracting", progress=0.999)
    route.fulfill(response=answer, json=body)


def test_a_row_is_cancelled_without_deleting_what_has_ended_since(
    visit: Visitor, service: SteadyService, three: list[str]
) -> None:
    page = visit().go().page
    page.route(re.compile(r"/v1/jobs\?"), lambda route: as_running(route, three[1]))
    page.fill("#search", "trip a")
    row = page.locator(f"#job-list li[data-id='{three[1]}']")
    # The browser asks the server before the next lines go on.
    with page.expect_response(lambda answer: answer.request.method in ("POST", "DELETE")):
        row.get_by_role("button", name="Cancel trip a.mp4").click()
    assert service.job(three[1])["state"] == "succeeded"
    page.unroute_all(behavior="wait")
    page.fill("#search", "trip")
    row.get_by_role("button", name="Delete trip a.mp4").wait_for()


def test_a_job_on_its_screen_is_cancelled_without_deleting_what_has_ended_since(
    visit: Visitor, service: SteadyService, three: list[str]
) -> None:
    page = visit().page
    page.route(re.compile(rf"/v1/jobs/{three[2]}$"), lambda route: as_running(route, three[2]))
    # The connection for the events is broken.
    page.route(re.compile(rf"/v1/jobs/{three[2]}/events$"), lambda route: route.fulfill(status=204))
    page.goto(f"{service.url}/#{three[2]}")
    page.wait_for_selector("#progress-title:text-is('trip b.mp4')")
    page.click("#cancel")
    page.wait_for_selector("#intake:not([hidden])")
    assert service.job(three[2])["state"] == "succeeded"
    page.unroute_all(behavior="wait")


def test_older_ones_are_refreshed_too(visit: Visitor, three: list[str]) -> None:
    page = visit().go().page
    runs = [True]

    def answer(route: Route) -> None:
        # Pages of two, so that three jobs are enough.
        short = route.request.url.replace("limit=50", "limit=2")
        page_of_two = route.fetch(url=short, timeout=PATIENCE)
        body = page_of_two.json()
        for one in body["jobs"]:
            if one["id"] == three[0] and runs[0]:
                one.update(state="extracting", progress=0.5)
        route.fulfill(response=page_of_two, json=body)

    page.route(re.compile(r"/v1/jobs\?"), answer)
    page.select_option("#job-sort", "name")
    # The search is sent a moment later, and would show the first page again.
    with page.expect_response(re.compile(r"q=trip")):
        page.fill("#search", "trip")
    # A regular reading of the list may have sent it first.
    page.wait_for_timeout(1000)
    rows = page.locator("#job-list li")
    wait_for(lambda: rows.locator("a").all_inner_texts() == ["trip a.mp4", "trip b.mp4"])
    page.click("#more")
    wait_for(lambda: rows.count() == 3)
    assert "working 50 %" in rows.nth(2).inner_text()
    runs[0] = False
    wait_for(lambda: "positive" in rows.nth(2).inner_text())
    assert rows.count() == 3
    page.unroute_all(behavior="wait")


NAMES = """async (names) => {
    const { unlike } = await import("/web/bulk.js");
    const taken = new Set();
    return names.map((name) => unlike(name, taken));
}"""


def test_exported_files_have_names_that_differ_on_every_disk(visit: Visitor) -> None:
    given = ["a.csv", "a.csv", "a (2).csv", "A.csv", "caf\u00e9.csv", "cafe\u0301.csv"]
    found = visit().go().page.evaluate(NAMES, given)
    assert found == [
        "a.csv",
        "a (2).csv",
        "a (2) (2).csv",
        "A (3).csv",
        "caf\u00e9.csv",
        "cafe\u0301 (2).csv",
    ]


MODELS = """async (jobs) => {
    const { ofModel } = await import("/web/bulk.js");
    return jobs.map((job) => ofModel("a.csv", job, jobs));
}"""


def test_exported_files_name_the_model_if_several_are_compared(visit: Visitor) -> None:
    jobs = [{"source": {"name": "a.mp4"}, "model": model} for model in ("one", "two")]
    page = visit().go().page
    assert page.evaluate(MODELS, jobs) == ["a one.csv", "a two.csv"]
    assert page.evaluate(MODELS, [jobs[0], jobs[0]]) == ["a.csv", "a.csv"]
    page.wait_for_selector("#model option[value=fsenet-i3d]:disabled", state="attached")


def test_a_reload_keeps_the_search_and_the_way_to_the_next_video(
    visit: Visitor, service: SteadyService, three: list[str]
) -> None:
    person = visit().go()
    page = person.page
    page.fill("#search", "trip")
    page.select_option("#job-label", "negative")
    page.select_option("#job-sort", "name")
    names = page.locator("#job-list a")
    wait_for(lambda: names.all_inner_texts() == ["trip a.mp4", "trip b.mp4", "trip c.mp4"])
    page.click("text=trip b.mp4")
    person.wait_result().reload().wait_result()
    page.keyboard.press("n")
    page.wait_for_selector("#result-title:text-is('trip c.mp4')")
    page.click("#home")
    wait_for(lambda: names.all_inner_texts() == ["trip a.mp4", "trip b.mp4", "trip c.mp4"])
    assert [page.input_value(field) for field in ("#search", "#job-label")] == ["trip", "negative"]


def test_several_are_exported_in_one_file_and_deleted(
    visit: Visitor, service: SteadyService, three: list[str]
) -> None:
    person = visit().go()
    page = person.page
    page.fill("#search", "trip")
    wait_for(lambda: page.locator("#job-list li").count() == 3)
    page.check("#job-list li:nth-child(1) input")
    wait_for(lambda: page.inner_text("#chosen-count") == "1 selected")
    page.get_by_label("Select all").check()
    page.select_option("#chosen-format", "csv")
    with page.expect_download() as coming:
        page.click("#chosen-export")
    with zipfile.ZipFile(io.BytesIO(Path(coming.value.path()).read_bytes())) as packed:
        assert packed.testzip() is None
        assert sorted(packed.namelist()) == ["trip a.csv", "trip b.csv", "trip c.csv"]
        assert packed.read("trip a.csv").startswith(b"start,")
    assert serious(person) == []
    page.uncheck(f"#job-list li[data-id='{three[2]}'] input")
    page.click("#chosen-delete")
    page.click("#chosen-delete")
    wait_for(lambda: page.locator("#job-list li").count() == 1)
    states = [service.client.get(f"/jobs/{job}").status_code for job in three]
    assert states == [404, 404, 200]


def test_a_printed_result_is_light_and_whole(visit: Visitor, job: str, tmp_path: Path) -> None:
    page = visit(color_scheme="dark").open_result(job).page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.is_hidden(".transport") and page.is_hidden("#editing") and page.is_visible("#rows")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    # What is drawn is as wide as the paper, so that the names beside it are where the lanes are.
    canvas = page.locator("#timeline canvas")
    box = canvas.bounding_box()
    assert box is not None
    assert 600 < box["width"] <= 688
    drawn = canvas.evaluate("canvas => canvas.width / Math.min(2, devicePixelRatio)")
    assert abs(drawn - box["width"]) <= 1
    assert page.pdf().startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    wide = canvas.bounding_box()
    assert wide is not None
    assert wide["width"] > 1000
    assert page.evaluate("document.documentElement.dataset.theme") is None


def test_an_export_of_several_counts_and_names_what_has_no_result(
    visit: Visitor, service: SteadyService, job: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    failed = service.submit(broken)
    service.wait_ended(failed)
    page = visit().go().page
    held: list[Route] = []
    is_held = [True]
    page.route(
        re.compile("corrected=true"),
        lambda route: held.append(route) if is_held else route.continue_(),
    )
    page.check(f"#job-list li[data-id='{failed}'] input")
    page.click("#chosen-export")
    assert page.inner_text("#chosen-note") == "1 selected video has no result."
    page.check(f"#job-list li[data-id='{job}'] input")
    page.click("#chosen-export")
    wait_for(lambda: page.inner_text("#chosen-note") == "packing 0 of 1…" and held)
    is_held.clear()
    with page.expect_download():
        for route in held:
            route.continue_()
    page.wait_for_selector("#chosen-note:text('1 result in one ZIP file. 1 selected video has no result.')")


def with_more(route: Route) -> None:
    """The answer of a server that has more videos than it lists."""
    answer = route.fetch(timeout=PATIENCE)
    route.fulfill(response=answer, json=answer.json() | {"next_cursor": "more"})


def test_select_all_says_how_many_there_are_in_a_part_of_the_list(visit: Visitor, job: str) -> None:
    page = visit().go().page
    page.wait_for_selector("text=Select all")
    page.route(re.compile(r"/v1/jobs\?"), with_more)
    page.select_option("#job-state", "succeeded")
    wait_for(lambda: re.fullmatch(r"Select these \d+", page.inner_text("#choose-all-words")))
    assert page.inner_text("#more") == "Show more"


@pytest.mark.parametrize("width", [641, 700, 960])
def test_a_name_has_room_in_a_window_of_medium_width(visit: Visitor, job: str, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900}).go().page
    name = page.locator(f"#job-list li[data-id='{job}'] .name")
    # Rows are drawn anew with each answer, and one that was replaced has no width.
    wait_for(lambda: name.evaluate("one => one.clientWidth") > width / 3)


def test_a_printed_list_is_light_and_has_no_controls(visit: Visitor, job: str) -> None:
    page = visit(color_scheme="dark").go().page
    page.wait_for_selector("#job-list li")
    page.emulate_media(media="print")
    assert page.is_visible("#job-list .name >> nth=0")
    for control in ("#drop", "#url-form", "#search", "#chosen", "#job-list button >> nth=0"):
        assert page.is_hidden(control)
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(20, 32, 44)"


def test_what_is_under_way_is_nowhere_at_100_percent(visit: Visitor, job: str) -> None:
    page = visit().go().page
    page.route(re.compile(r"/v1/jobs(\?|/[^/]+$)"), lambda route: as_running(route, job))
    page.select_option("#job-state", "working")
    page.select_option("#job-state", "")
    page.wait_for_selector(f"#job-list li[data-id='{job}'] .chip:text('working 99 %')")
    page.click(f"#job-list li[data-id='{job}'] a")
    wait_for(lambda: page.title().startswith("99 % "))
    page.unroute_all(behavior="wait")


def test_a_row_counts_what_a_person_corrected(visit: Visitor, service: SteadyService, own_job: str) -> None:
    person = visit().go()
    page = person.page
    row = page.locator(f"#job-list > li[data-id='{own_job}']")
    row.locator(".chip:text('1 positive, 1 negative')").wait_for()
    row.locator(".mini rect.negative").wait_for(state="attached")
    segments = [{"start": start, "end": start + 1, "label": "positive"} for start in (1.0, 5.0, 9.0)]
    service.client.post(f"/jobs/{own_job}/feedback", json={"segments": segments})
    # The list is read again when it comes back into view.
    row.locator("a").click()
    person.wait_result()
    page.click("#home")
    row.locator(".chip:text-is('3 positive')").wait_for()
    assert "checked by a person" in row.inner_text()
    page.select_option("#job-state", "unchecked")
    row.wait_for(state="detached")
    page.select_option("#job-state", "checked")
    row.wait_for()
    wait_for(lambda: row.locator(".mini rect.positive").count() == 3)
    assert row.locator(".mini rect.negative").count() == 0


@pytest.fixture(scope="module")
def tour(service: SteadyService, clip: Path) -> list[str]:
    """Three jobs that no test deletes."""
    return ended_jobs(service, clip, "tour", "abc")


def test_the_list_says_how_many_videos_there_are(
    visit: Visitor, service: SteadyService, tour: list[str]
) -> None:
    page = visit().go().page
    count = len(service.client.get("/jobs", params={"limit": 100}).json()["jobs"])
    wait_for(lambda: page.inner_text("#job-count").startswith(f"{count} videos"))
    page.fill("#search", "tour")
    wait_for(lambda: page.inner_text("#job-count") == "3 videos")
    wait_for(lambda: page.text_content("#job-count-told") == "3 videos")


def test_a_long_list_is_counted_by_the_server_once(
    visit: Visitor, service: SteadyService, tour: list[str]
) -> None:
    person = visit()
    page = person.page
    summary = {"count": 321, "states": {"failed": 2, "queued": 1}, "tags": {"old": 9}, "complete": True}
    listed = service.client.get("/jobs", params={"q": "tour"}).json() | {"next_cursor": "more"}
    page.route(re.compile(r"/v1/jobs\?"), lambda route: route.fulfill(json=listed))
    page.route("**/v1/jobs/summary?**", lambda route: route.fulfill(json=summary))
    person.go()
    wait_for(lambda: page.inner_text("#job-count") == "321 videos, 1 not finished, 2 failed")
    assert "old" in page.locator("#job-tag option").all_text_contents()
    with page.expect_response(re.compile("summary.*tag=old")):
        page.select_option("#job-tag", "old")
    assert len([one for one in person.requests if "/summary" in one]) == 2
    # Videos that come to the top meanwhile are counted later.
    listed["jobs"] = listed["jobs"][::-1]
    with page.expect_response(re.compile(r"/v1/jobs\?")):
        page.evaluate("document.querySelector('#more').click()")
    page.wait_for_timeout(300)
    assert len([one for one in person.requests if "/summary" in one]) == 2
    page.unroute_all(behavior="wait")


def tags_of(service: SteadyService, job: str) -> list[str]:
    tags: list[str] = service.client.get(f"/jobs/{job}").json()["options"]["tags"]
    return tags


def test_videos_are_tagged_together_and_filtered_by_tag(
    visit: Visitor, service: SteadyService, tour: list[str]
) -> None:
    person = visit().go()
    page = person.page
    page.fill("#search", "tour")
    rows = page.locator("#job-list > li")
    wait_for(lambda: rows.count() == 3)
    for job in tour[:2]:
        page.check(f"#job-list > li[data-id='{job}'] > input")
    page.fill("#chosen-tag", "harbour, day 2")
    page.press("#chosen-tag", "Enter")
    page.wait_for_selector("#chosen-note:text('2 videos have “harbour”, “day 2” now.')")
    assert [tags_of(service, job) for job in tour] == [["harbour", "day 2"]] * 2 + [[]]
    assert serious(person) == []
    page.click(f"#job-list > li[data-id='{tour[0]}'] .tag >> text=harbour")
    wait_for(lambda: rows.count() == 2 and page.input_value("#job-tag") == "harbour")
    page.select_option("#job-tag", "")
    page.fill("#chosen-tag", "day 2")
    page.uncheck(f"#job-list > li[data-id='{tour[1]}'] > input")
    page.click("#chosen-untag")
    page.wait_for_selector("#chosen-note:text('1 video is without “day 2” now.')")
    assert [tags_of(service, job) for job in tour] == [["harbour"], ["harbour", "day 2"], []]


def test_a_drawn_list_keeps_the_focus_on_the_same_part_of_a_row(
    visit: Visitor, service: SteadyService, tour: list[str]
) -> None:
    service.client.patch(f"/jobs/{tour[2]}", json={"tags": ["one", "two"]})
    page = visit().go().page
    row = page.locator(f"#job-list > li[data-id='{tour[2]}']")
    row.locator(".removal").focus()
    old = row.element_handle()
    page.evaluate("() => document.querySelector('#more').click()")
    wait_for(lambda: not old.evaluate("one => one.isConnected"))
    assert row.locator(".removal").evaluate("one => one === document.activeElement")


def test_a_failed_job_shows_what_its_operator_needs_and_runs_again(
    visit: Visitor, service: SteadyService, tmp_path: Path
) -> None:
    broken = tmp_path / "broken twice.mp4"
    broken.write_bytes(b"no video")
    failed = service.submit(broken)
    service.wait_ended(failed)
    person = visit().go(f"/#{failed}")
    page = person.page
    page.wait_for_selector("#problem-facts:not([hidden])")
    facts = page.locator("#problem-facts dd").all_inner_texts()
    assert facts[:3] == [failed, "unsupported_format", "fsenet-starter"]
    assert serious(person) == []
    page.click("#rerun")
    shown = page.locator("#problem-facts dd").first
    # The address changes before the first job's facts are gone.
    wait_for(lambda: shown.is_visible() and shown.inner_text() != failed)
    again = shown.inner_text()
    assert service.client.get(f"/jobs/{again}").json()["rerun_of"] == failed
    # An error without a job has none of this.
    page.goto(person.url + "/#unknown-job-of-22-chars")
    page.wait_for_selector("#problem-title:text-is('That did not work')")
    assert page.is_hidden("#problem-facts") and page.is_hidden("#rerun")
    person.errors.clear()


def test_a_cancelled_job_says_so(visit: Visitor, service: SteadyService, long_clip: Path) -> None:
    job = service.submit(long_clip)
    service.client.post(f"/jobs/{job}/cancel")
    page = visit().go(f"/#{job}").page
    page.wait_for_selector("#problem-title:text('long.mp4 was cancelled')")
    assert page.is_visible("#rerun")


def test_from_result_to_result_in_the_order_of_the_list(visit: Visitor, tour: list[str]) -> None:
    person = visit().go()
    page = person.page
    page.fill("#search", "tour")
    page.select_option("#job-sort", "name")
    wait_for(
        lambda: page.locator("#job-list a").all_inner_texts() == ["tour a.mp4", "tour b.mp4", "tour c.mp4"]
    )
    page.click("#job-list a >> nth=0")
    person.wait_result()
    assert page.is_hidden("#video-before")
    page.keyboard.press("n")
    page.wait_for_selector("#result-title:text('tour b.mp4')")
    person.wait_result()
    assert page.get_attribute("#video-after", "aria-label") == "Video below in the list: tour c.mp4"
    page.click("#video-after")
    page.wait_for_selector("#result-title:text('tour c.mp4')")
    person.wait_result()
    assert page.is_hidden("#video-after")
    # Typed into a field, the letter is text.
    page.click("#tags > button")
    page.keyboard.type("p")
    assert page.input_value("#tags input") == "p"
