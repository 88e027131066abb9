"""The page in a real browser with a real service."""

from __future__ import annotations

import gzip
import json
import posixpath
import re
import struct
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route

from sentiloc.app.routes.service.page import WEB
from tests.page.browsing import SETTLED, Visit, read
from tests.page.conftest import CLIP_SECONDS, SHOWN_FROM, SteadyService, Visitor
from tests.page.long_result import PAN, TWO_HOURS, plant_long_result
from tests.support.services import wait_for

MAX_GZIPPED = 120_000
# Pixels under the timeline's upper edge.
BELOW_AXIS, NEGATIVE_LANE = 150, 200


def edl_markers(text: str) -> list[str]:
    return [line for line in text.splitlines() if "|M:" in line]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, end[1], steps=3)
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def test_from_a_file_to_markers_in_resolve_by_mouse(visit: Visitor, clip: Path) -> None:
    person = visit().go()
    page = person.page
    with page.expect_file_chooser() as chooser:
        page.click("text=Choose videos")
    chooser.value.set_files(clip)
    person.wait_result()
    assert page.inner_text("#result-title") == clip.name
    found = person.rows().count()
    assert found > 0

    person.rows().last.click()
    start, end = page.input_value("[name=start]"), page.input_value("[name=end]")
    middle = (seconds(start) + seconds(end)) / 2
    page.click("[name=remove]")
    wait_for(lambda: person.rows().count() == found - 1)
    page.mouse.dblclick(*person.timeline_place(middle, BELOW_AXIS))
    wait_for(lambda: "Negative" in (page.text_content("#rows button[aria-current=true]") or ""))
    end = page.input_value("[name=end]")
    edge = person.timeline_place(seconds(end), NEGATIVE_LANE)
    drag(page, edge, (edge[0] - 40, edge[1]))
    wait_for(lambda: seconds(page.input_value("[name=end]")) < seconds(end))
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    page.click("#export")
    wait_for(lambda: "corrections" in page.inner_text("#export-note"))
    edl = person.download("[data-format=edl]")
    assert len(edl_markers(edl)) == found


def seconds(clock: str) -> float:
    minutes, _, rest = clock.partition(":")
    return 60 * int(minutes) + float(rest)


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until the element has the focus, as users without a mouse do."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", wanted):
            return
    raise AssertionError(f"Tab never reached {wanted}")


def test_from_a_file_to_markers_in_resolve_by_keyboard_alone(visit: Visitor, clip: Path) -> None:
    person = visit().go()
    page = person.page
    tab_to(page, "#file")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(clip)
    person.wait_result()
    person.until("document.activeElement.id === 'timeline'")
    found = person.rows().count()

    for key in (
        "End",
        "[",
        "Delete",
        "a",
        "x",
        "ArrowRight",
        "ArrowRight",
        "i",
        "m",
        "Control+s",
    ):
        page.keyboard.press(key)
    page.wait_for_selector("#save:disabled")
    tab_to(page, "#export")
    page.keyboard.press("Enter")
    page.wait_for_selector("#export-list:not([hidden]) [data-format=edl]")
    page.keyboard.press("ArrowDown")
    person.until("document.activeElement.dataset.format === 'edl'")
    with page.expect_download() as coming:
        page.keyboard.press("Enter")
    assert len(edl_markers(read(coming.value))) == found > 0


def test_the_list_is_one_stop_of_tab_and_arrows_move_in_it(visit: Visitor, job: str) -> None:
    person = visit().open_result(job)
    page = person.page
    focused = "[...document.querySelectorAll('#rows button')].indexOf(document.activeElement)"
    page.focus("#sure-rows")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == 0
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows li:nth-child(2) button[aria-current=true]:focus")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == -1
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == 1
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == 0


def test_a_paused_upload_resumes_after_the_tab_was_closed(visit: Visitor, clip: Path, tmp_path: Path) -> None:
    padding = 2_000_000
    large = tmp_path / "large.mp4"
    large.write_bytes(clip.read_bytes() + struct.pack(">I4s", padding, b"free") + bytes(padding - 8))
    person = visit().go()
    page = person.page
    network = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000}
    session = person.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", network)
    page.set_input_files("#file", large)
    person.until("document.querySelector('#bar').value > 0.1")
    page.click("#pause")
    page.wait_for_selector("text=Paused at")
    session.send("Network.emulateNetworkConditions", {**network, "uploadThroughput": -1})
    person.reload()
    before = len(person.asked)
    page.set_input_files("#file", large)
    person.wait_result()
    uploads = [method for method, path in person.asked[before:] if path.startswith("/v1/uploads")]
    assert uploads[0] == "GET" and "POST" not in uploads


def test_corrections_are_undone_redone_and_kept(visit: Visitor, service: SteadyService, clip: Path) -> None:
    job = service.submit(clip, threshold=SHOWN_FROM)
    service.wait_ended(job)
    person = visit().open_result(job)
    page = person.page
    before = person.row_texts()
    person.rows().first.click()
    for key in ("Delete", "Home", "a", "m", "x"):
        page.keyboard.press(key)
    page.wait_for_selector("#threshold:disabled")
    for _ in range(4):
        page.keyboard.press("Control+z")
    wait_for(lambda: person.row_texts() == before)
    page.wait_for_selector("#undo:disabled")
    for _ in range(4):
        page.click("#redo")
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    kept = service.client.get(f"/jobs/{job}/feedback").json()["feedback"][-1]["feedback"]
    assert len(kept["segments"]) >= 1 and len(kept["points"]) == 1
    assert kept["segments"][0]["start"] == 0

    again = visit().open_result(job)
    wait_for(lambda: again.row_texts() == person.row_texts())
    again.page.click("#rows li:first-child button")
    again.page.keyboard.press("Delete")
    wait_for(lambda: again.rows().count() == len(kept["segments"]) - 1)
    again.page.click("#discard")
    wait_for(lambda: again.row_texts() == before)
    again.page.click("#undo")
    again.page.click("#undo")


def move_end(person: Visit) -> None:
    """Move the end of the first segment to the moment half a second after its start, and wait until it is shown."""
    before = person.row_texts()
    person.rows().first.click()
    person.page.wait_for_selector("#rows button[aria-current=true]")
    for key in ("ArrowRight",) * 12:
        person.page.keyboard.press(key)
    person.page.keyboard.press("o")
    wait_for(lambda: person.row_texts() != before)
    person.page.wait_for_selector("#save:enabled")


def save_in_two_tabs(visit: Visitor, job: str) -> tuple[Visit, Visit]:
    """Two tabs with different corrections of one result. The second tab's are refused, and it asks which to keep."""
    first, second = visit().open_result(job), visit().open_result(job)
    move_end(first)
    first.page.click("#save")
    first.page.wait_for_selector("#save:disabled")
    second.rows().last.click()
    second.page.wait_for_selector("#rows button[aria-current=true]")
    second.page.keyboard.press("Delete")
    second.page.click("#save")
    second.page.wait_for_selector("#theirs:not([hidden])")
    second.errors.clear()  # the browser logs the refused request
    return first, second


def test_a_changed_segment_is_by_hand_and_the_others_stay_the_model_s(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    model = service.client.get(f"/jobs/{own_job}/result").json()["segments"]
    assert len(model) > 1
    person = visit().open_result(own_job)
    move_end(person)
    person.page.click("#save")
    person.page.wait_for_selector("#save:disabled")
    found = service.client.get(f"/jobs/{own_job}/result", params={"corrected": True}).json()["segments"]
    assert [row["source"] for row in found] == ["person", *("model" for _ in model[1:])]
    assert [row["confidence"] for row in found[1:]] == [row["confidence"] for row in model[1:]]
    person.page.click("#export")
    names = [
        line.partition("|M:")[2].partition(" |")[0]
        for line in edl_markers(person.download("[data-format=edl]"))
    ]
    assert "by hand" in names[0]
    assert all(name.endswith("%") for name in names[1:])


def test_discarding_brings_the_model_s_result_back(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    person = visit().open_result(own_job)
    before = person.row_texts()
    move_end(person)
    person.page.click("#save")
    person.page.wait_for_selector("#save:disabled")
    person.page.click("#discard")
    person.page.click("#save")
    person.page.wait_for_selector("#save:disabled")
    wait_for(lambda: person.row_texts() == before)
    assert service.client.get(f"/jobs/{own_job}/feedback").json() == {"feedback": []}


def test_a_segment_counts_as_right_only_if_confirmed(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    model = service.client.get(f"/jobs/{own_job}/result").json()["segments"]
    person = visit().open_result(own_job)
    person.page.click("#confirm")
    person.page.wait_for_selector("#confirm:disabled")
    person.until("!document.querySelector('#edited').textContent.includes('not saved')")
    kept = service.client.get(f"/jobs/{own_job}/feedback").json()["feedback"][-1]["feedback"]["segments"]
    assert [row["label"] for row in kept] == [row["label"] for row in model]
    assert all(row["confidence"] is not None for row in kept)


def test_unsaved_corrections_survive_the_way_back(visit: Visitor, own_job: str) -> None:
    person = visit().open_result(own_job)
    before = person.row_texts()
    move_end(person)
    changed = person.row_texts()
    assert changed != before
    person.page.click("#home")
    person.page.wait_for_selector("#intake:not([hidden])")
    person.open_result(own_job)
    wait_for(lambda: person.row_texts() == changed)
    person.page.wait_for_selector("#save:enabled")
    person.page.click("#undo")
    wait_for(lambda: person.row_texts() == before)


def test_a_second_tab_does_not_overwrite_the_first(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    _, second = save_in_two_tabs(visit, own_job)
    assert len(service.client.get(f"/jobs/{own_job}/feedback").json()["feedback"]) == 1
    second.page.click("#mine")
    second.page.wait_for_selector("#save:disabled")
    assert len(service.client.get(f"/jobs/{own_job}/feedback").json()["feedback"]) == 2


def test_an_export_that_fails_is_a_message(visit: Visitor, own_job: str) -> None:
    person = visit().open_result(own_job)
    move_end(person)
    person.page.click("#export")
    person.page.fill("#start_timecode", "01:00:00:99")
    person.page.click("[data-format=edl]")
    person.until("document.querySelector('#export-note').textContent.includes('does not exist')")
    person.errors.clear()  # the browser logs the refused request
    assert person.page.is_visible("#result")
    assert person.page.is_enabled("#save")


def test_without_a_server_the_result_stays_in_view(visit: Visitor, own_job: str) -> None:
    """Parts of the page that are loaded on demand cannot be loaded then."""
    person = visit().open_result(own_job)
    page = person.page
    move_end(person)
    page.route(re.compile(r"/(web|v1)/"), lambda route: route.abort())
    for button in ("#share-out", "#numbers"):
        page.click(button)
        page.wait_for_selector("#shared:text('The server does not answer')")
        assert page.is_visible("#result")
        page.evaluate("document.querySelector('#shared').textContent = ''")
    assert page.is_enabled("#save")
    assert all("ERR_FAILED" in line for line in person.errors)
    person.errors.clear()


def test_an_export_starts_with_the_timeline(visit: Visitor, job: str) -> None:
    person = visit().open_result(job)
    person.page.click("#export")
    person.page.fill("#start_timecode", "01:00:00:00")
    codes = [
        line.split()[4] for line in person.download("[data-format=edl]").splitlines() if line[:3].isdigit()
    ]
    assert codes
    assert all(code.startswith("01:00:") for code in codes)


def test_menus_and_dialogs_fit_into_any_window(visit: Visitor, job: str) -> None:
    page = visit().open_result(job).page
    for width, height in ((360, 740), (620, 900), (768, 1024), (1024, 700), (1366, 680), (2560, 1440)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("scrollTo(0, 0)")
        page.click("#export")
        box = page.locator("#export-list").bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, (width, box)
        assert box["y"] >= 0 and box["y"] + box["height"] <= height, (width, box)
        page.keyboard.press("Escape")
        page.click("#numbers")
        page.wait_for_selector("#numbers-body :first-child")
        # A long text is read from its beginning.
        assert page.evaluate("document.querySelector('#numbers-box').scrollTop") == 0
        page.keyboard.press("Escape")


def test_a_result_is_shown_once_it_is_there(visit: Visitor, job: str) -> None:
    """On a slow network the page says that it loads; an editor without a video would do nothing."""
    person = visit()
    page = person.page
    held: list[Route] = []
    released: list[bool] = []
    result = re.compile(rf"/jobs/{job}/result")
    page.route(result, lambda route: route.continue_() if released else held.append(route))
    with page.expect_request(result):
        person.go(f"/#{job}")
    page.wait_for_selector("#progress-title:text-is('Loading…')")
    assert page.locator("#result").is_hidden()
    assert page.locator("#steps").is_hidden()
    released.append(True)
    for route in held:
        route.continue_()
    person.wait_result()
    assert page.locator("#progress").is_hidden()


def test_cancelling_an_existing_job_deletes_nothing(visit: Visitor, service: SteadyService, job: str) -> None:
    page = visit().page
    held: list[Route] = []
    page.route(re.compile(rf"/jobs/{job}(/result.*)?$"), lambda route: held.append(route))
    page.goto(f"{service.url}/#{job}")
    page.wait_for_selector("#progress-title:text-is('Loading…')")
    page.click("#cancel")
    page.wait_for_selector("#intake:not([hidden])")
    for route in held:
        route.continue_()
    assert service.client.get(f"/jobs/{job}").json()["state"] == "succeeded"


def test_a_segment_without_room_is_refused_in_words(visit: Visitor, own_job: str) -> None:
    person = visit().open_result(own_job)
    page = person.page
    page.keyboard.press("End")
    page.keyboard.press("a")
    count = len(person.row_texts())
    page.keyboard.press("End")
    page.keyboard.press("a")
    person.until("document.querySelector('#edited').textContent.includes('no room')")
    assert len(person.row_texts()) == count
    page.click("#discard")


def test_sliders_cut_as_the_server_does(visit: Visitor, service: SteadyService, job: str) -> None:
    person = visit().open_result(job)
    for threshold, min_length, merge_gap in (
        (0.0, 0.0, 0.0),
        (0.2, 1.0, 5.0),
        (0.9, 0.4, 0.64),
        (1.0, 3.0, 2.0),
    ):
        options = {"threshold": threshold, "min_length": min_length, "merge_gap": merge_gap}
        expected = service.client.get(f"/jobs/{job}/result", params=options).json()["segments"]
        for name, value in options.items():
            person.page.locator(f"#{name}").fill(str(value))
        person.until("count => document.querySelectorAll('#rows button').length === count", len(expected))
        shown = person.page.evaluate(
            "[...document.querySelectorAll('#rows .tag')].map(tag => tag.textContent.slice(2).toLowerCase())"
        )
        assert shown == [row["label"] for row in expected]


def test_a_shared_link_brings_its_moment_and_settings(visit: Visitor, job: str) -> None:
    person = visit(permissions=["clipboard-read", "clipboard-write"]).open_result(job)
    person.page.locator("#threshold").fill("0.31")
    person.page.mouse.click(*person.timeline_place(5.0, 10))
    person.until("Math.abs(document.querySelector('#timeline').ariaValueNow - 5) < 0.1")
    person.page.click("#share")
    person.until("navigator.clipboard.readText().then((text) => text.includes('#'))")
    link = person.page.evaluate("navigator.clipboard.readText()")
    other = visit()
    other.page.goto(link)
    other.wait_result()
    wait_for(lambda: other.page.input_value("#threshold") == "0.31")
    other.until("Math.abs(document.querySelector('#timeline').ariaValueNow - 5) < 0.1")


def test_moving_about_by_keys_and_loop(visit: Visitor, job: str) -> None:
    person = visit().open_result(job)
    page = person.page

    def wait_at(moment: float) -> None:
        person.until("at => Math.abs(document.querySelector('#timeline').ariaValueNow - at) < 0.1", moment)

    page.keyboard.press("Shift+ArrowRight")
    wait_at(1.0)
    page.keyboard.press("End")
    wait_at(CLIP_SECONDS)
    page.keyboard.press("[")
    page.wait_for_selector("[name=end]")
    end = seconds(page.input_value("[name=end]"))
    page.keyboard.press("r")
    page.wait_for_selector("#loop[aria-pressed=true]")
    page.evaluate("time => { document.querySelector('#video').currentTime = time }", end - 0.2)
    page.keyboard.press(" ")
    person.until("time => document.querySelector('#video').currentTime < time", end - 0.3)
    page.keyboard.press(" ")
    person.until("document.querySelector('#video').paused")


def test_on_a_phone_the_note_at_the_sliders_leaves_their_title_free(visit: Visitor, job: str) -> None:
    person = visit(viewport={"width": 360, "height": 760}).open_result(job)
    page = person.page
    person.rows().first.click()
    page.keyboard.press("x")
    page.wait_for_selector("#tune-locked:not([hidden])")
    title, note = (page.locator(one).bounding_box() for one in ("#tune legend", "#tune-locked"))
    assert title is not None
    assert note is not None
    assert note["y"] + note["height"] <= title["y"] or title["y"] + title["height"] <= note["y"]
    page.click("#discard")


def test_axe_finds_nothing_serious(visit: Visitor, job: str) -> None:
    person = visit(color_scheme="light").go()
    person.page.wait_for_selector("#job-list li")
    assert serious(person) == []
    person.open_result(job).page.keyboard.press("m")
    person.page.click("#export")
    person.page.wait_for_selector("#export-list:not([hidden]) [data-format=edl]")
    assert serious(person) == []
    person.page.emulate_media(color_scheme="dark")
    assert serious(person) == []
    person.page.keyboard.press("Escape")
    person.page.keyboard.press("?")
    person.page.wait_for_selector("dialog[open]")
    assert serious(person) == []
    for width in (1440, 360):
        person.page.set_viewport_size({"width": width, "height": 800})
        person.go("/web/guide.html").page.wait_for_selector("main h2")
        assert serious(person) == []


def serious(person: Visit) -> list[str]:
    """Serious findings of axe, after colour transitions have ended."""
    person.page.evaluate(SETTLED)
    found = Axe().run(person.page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")
    ]


def test_the_list_is_searched_and_its_jobs_are_deleted(
    visit: Visitor, service: SteadyService, clip: Path
) -> None:
    job = service.submit(clip, "holiday in Ystad.mp4")
    service.wait_ended(job)
    person = visit().go()
    page = person.page
    page.fill("#search", "ystad")
    person.until("document.querySelectorAll('#job-list li').length === 1")
    page.fill("#search", "no such name")
    page.wait_for_selector("#no-jobs:not([hidden])")
    page.fill("#search", "ystad")
    page.click("#job-list button")
    page.click("#job-list button")
    page.wait_for_selector("#no-jobs:not([hidden])")
    assert service.client.get(f"/jobs/{job}").status_code == 404


def test_a_job_survives_a_restart_of_the_server(
    visit: Visitor, service: SteadyService, long_clip: Path
) -> None:
    job = service.submit(long_clip)
    person = visit().go(f"/#{job}")
    service.wait_running(job)
    service.end()
    person.page.wait_for_selector("text=The server does not answer")
    service.start()
    person.wait_result()
    assert person.page.inner_text("#result-title") == long_clip.name
    # While a server ends or starts, it may also answer that it is not ready.
    broken = [line for line in person.errors if "ERR_" not in line and "503" not in line]
    assert broken == []
    person.errors.clear()


def test_the_first_screen_is_light(visit: Visitor) -> None:
    person = visit().go()
    person.page.wait_for_load_state("networkidle")
    # Without the pictures and segments of the listed jobs, which are as many as other tests have made.
    urls = [url for url in person.requests if not url.startswith("blob:") and "/v1/jobs/" not in url]
    bodies = [person.context.request.get(url).body() for url in urls]
    assert sum(len(gzip.compress(body)) for body in bodies) < MAX_GZIPPED
    person.until("performance.getEntriesByName('first-contentful-paint').length === 1")


def loaded_with(name: str, known: set[str]) -> set[str]:
    """A module and its static imports; dynamic imports are left out."""
    if name in known:
        return known
    known.add(name)
    for other in re.findall(
        r'^(?:import|export) .*?from "(.+?)";$', (WEB / name).read_text(encoding="utf-8"), re.M
    ):
        loaded_with(posixpath.normpath(posixpath.join(posixpath.dirname(name), other)), known)
    return known


def test_modules_are_requested_in_parallel(visit: Visitor) -> None:
    page = visit().go().page
    links = page.locator("link[rel=modulepreload]").evaluate_all("all => all.map(one => one.href)")
    assert {link.rpartition("/web/")[2] for link in links} == loaded_with("main.js", set()) - {"main.js"}


def test_a_page_in_the_background_starts_without_a_frame(visit: Visitor) -> None:
    person = visit()
    person.page.add_init_script("window.requestAnimationFrame = () => 0;")
    person.go().page.wait_for_selector("#intake:not([hidden])")


def test_only_the_page_s_own_scripts_may_run(service: SteadyService) -> None:
    policy = service.client.get("/").headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "script-src 'self'" in policy


# For each tenth of the width, the share of columns in which the sound lane is painted some pixels above its middle.
SOUND_LANE = """() => {
    const canvas = document.querySelector("#timeline canvas");
    const scale = canvas.width / canvas.clientWidth;
    const gutter = getComputedStyle(document.querySelector(".desk")).getPropertyValue("--gutter");
    const left = Math.round(parseFloat(gutter) * scale);
    const wide = Math.floor((canvas.width - left) / 10);
    // Of a copy, since a canvas that is read often is drawn slowly from then on.
    const pen = new OffscreenCanvas(canvas.width, 1).getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, -Math.round(232 * scale));
    return Array.from({ length: 10 }, (_, tenth) => {
        const { data } = pen.getImageData(left + tenth * wide, 0, wide, 1);
        return data.filter((value, i) => i % 4 === 3 && value > 200).length / wide;
    });
}"""


def test_two_hours_pan_smoothly(visit: Visitor, service: SteadyService, clip: Path) -> None:
    job = service.submit(clip, "two hours.mp4")
    service.wait_ended(job)
    plant_long_result(service, job, TWO_HOURS)
    person = visit().open_result(job)
    person.until(f"({SOUND_LANE})()[5] > 0.9")
    silent, *heard = person.page.evaluate(SOUND_LANE)
    assert silent < 0.1 and min(heard) > 0.9
    before = person.main_thread_seconds()
    figures = json.loads(person.page.evaluate(PAN, 40))
    # Processor time, because on a busy machine the page also waits; `tests/proofs/page_speed.py` measures frames.
    assert (person.main_thread_seconds() - before) / figures["frames"] < 0.020


COUNT_LINES = """() => {
    window.lines = 0;
    const draw = CanvasRenderingContext2D.prototype.lineTo;
    CanvasRenderingContext2D.prototype.lineTo = function (...at) {
        window.lines += 1;
        return draw.apply(this, at);
    };
}"""
PICTURE = "document.querySelector('#timeline canvas').toDataURL()"
SETTLE = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def test_panning_draws_only_what_comes_into_view(visit: Visitor, service: SteadyService, clip: Path) -> None:
    job = service.submit(clip)
    service.wait_ended(job)
    plant_long_result(service, job, TWO_HOURS)
    page = visit().open_result(job).page
    page.evaluate(PAN, 2)
    page.evaluate(COUNT_LINES)
    # A changed theme draws all of the view.
    page.emulate_media(color_scheme="dark")
    page.evaluate(SETTLE)
    whole = page.evaluate("window.lines")
    assert whole > 100
    page.evaluate("window.lines = 0")
    frames = 40
    page.evaluate(PAN, frames)
    assert page.evaluate("window.lines") < 0.25 * frames * whole


def test_a_panned_timeline_is_the_same_as_a_drawn_one(
    visit: Visitor, service: SteadyService, clip: Path
) -> None:
    job = service.submit(clip)
    service.wait_ended(job)
    plant_long_result(service, job, TWO_HOURS)
    page = visit(device_scale_factor=1.25).open_result(job).page
    before = page.evaluate(PICTURE)
    page.evaluate(PAN, 90)
    page.evaluate(SETTLE)
    panned = page.evaluate(PICTURE)
    assert panned != before
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(SETTLE)
        assert (page.evaluate(PICTURE) == panned) is (scheme == "light")


def test_a_page_at_rest_asks_for_no_frames(visit: Visitor, job: str) -> None:
    person = visit()
    person.page.add_init_script(
        "window.frames_asked = 0; const ask = requestAnimationFrame;"
        "window.requestAnimationFrame = act => (window.frames_asked++, ask(act));"
    )
    page = person.open_result(job).page

    def rests() -> bool:
        """Frames pass all the same; the page asks for none of them but the two of this wait."""
        before = int(page.evaluate("window.frames_asked"))
        page.evaluate(
            "() => new Promise(done => { let n = 0; const c = new MessageChannel();"
            "c.port1.onmessage = () => ++n < 200 ? c.port2.postMessage(0) : done(true); c.port2.postMessage(0); })"
        )
        page.evaluate(SETTLE)
        return int(page.evaluate("window.frames_asked")) - before <= 3

    # The video and the pictures may still be loading.
    wait_for(rests)
    assert rests()
    page.keyboard.press("Space")
    person.until("window.frames_asked > 20")


def test_a_result_is_tagged_and_shows_its_metadata(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    service.client.patch(f"/jobs/{own_job}", json={"tags": ["first"], "metadata": {"reel": 3}})
    person = visit().open_result(own_job)
    page = person.page
    assert page.inner_text("#made").endswith("reel: 3")
    page.click("#tags > button")
    page.keyboard.type("second")
    page.keyboard.press("Enter")
    tags = page.locator("#tags li")
    wait_for(lambda: tags.count() == 2)
    assert page.evaluate("document.activeElement.textContent") == "+ Tag"
    assert serious(person) == []
    page.get_by_label("Remove tag first").click()
    wait_for(lambda: tags.count() == 1)
    wait_for(
        lambda: page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove tag second"
    )
    assert service.client.get(f"/jobs/{own_job}").json()["options"]["tags"] == ["second"]


def test_labels_of_segments_do_not_look_like_tags(visit: Visitor, job: str) -> None:
    page = visit().open_result(job).page
    label = page.locator("#rows .tag").first
    look = label.evaluate("one => [getComputedStyle(one).paddingLeft, getComputedStyle(one).backgroundColor]")
    assert look == ["0px", "rgba(0, 0, 0, 0)"]
    assert page.locator("#tags .tag").first.evaluate("one => getComputedStyle(one).paddingLeft") != "0px"
