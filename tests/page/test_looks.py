"""How the page looks in colours that the system forces, in narrow windows, and with long names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page

from tests.page.conftest import SteadyService, Visitor
from tests.page.test_queue import items
from tests.support.media import make_clip
from tests.support.services import wait_for

# Notes where "no sound" is written, in pixels from the left.
NOTE_PLACE = """(() => {
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (words, x, y) {
    if (words === "no sound") window.noted = x;
    fillText.call(this, words, x, y);
  };
})()"""


def test_on_a_phone_a_note_does_not_lie_over_the_name_of_its_lane(
    visit: Visitor, service: SteadyService, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.mp4"
    make_clip(silent, seconds=2.0)
    job = service.submit(silent)
    service.wait_ended(job)
    person = visit(viewport={"width": 360, "height": 760}).open_result(job)
    page = person.page
    page.evaluate(NOTE_PLACE)
    page.set_viewport_size({"width": 361, "height": 760})
    person.until("window.noted")
    noted, ended = page.evaluate("[window.noted, document.querySelector('.gutter .wave').offsetWidth]")
    assert noted > ended


def contrast(page: Page, x: float, y: float, width: float, height: float) -> float:
    """Of the lightest to the darkest pixel of a part of the window, as WCAG counts it."""
    shot = page.screenshot(clip={"x": x, "y": y, "width": width, "height": height})
    picture = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    light = ((picture / 255) ** 2.2 @ [0.0722, 0.7152, 0.2126]).ravel()
    return float((light.max() + 0.05) / (light.min() + 0.05))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_leave_names_bars_and_the_playhead_in_view(
    visit: Visitor, service: SteadyService, job: str, scheme: str
) -> None:
    person = visit(forced_colors="active", color_scheme=scheme).open_result(job)
    page = person.page
    first = service.client.get(f"/jobs/{job}/result").json()["segments"][0]
    middle = (first["start"] + first["end"]) / 2
    x, y = person.timeline_place(middle, 36)
    # A block has its label and its confidence.
    assert contrast(page, x - 40, y - 5, 80, 10) > 3
    page.mouse.click(*person.timeline_place(first["start"] / 2, 240))
    page.mouse.move(0, 0)
    x, y = person.timeline_place(first["start"] / 2, 36)
    assert contrast(page, x - 4, y, 8, 4) > 3
    for bar in page.locator("#rows .meter").all():
        box = bar.bounding_box()
        assert box is not None
        assert contrast(page, box["x"], box["y"] - 3, box["width"], box["height"] + 6) > 3
    rims = page.locator("#rows button").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).borderColor)"
    )
    person.rows().first.click()
    chosen = page.evaluate("getComputedStyle(document.querySelector('#rows button')).borderColor")
    assert chosen not in rims


def test_the_picture_has_the_width_of_a_narrow_window(visit: Visitor, job: str) -> None:
    """At a zoom of 200 %, a window has half of its pixels."""
    page = visit(viewport={"width": 640, "height": 450}).open_result(job).page
    screen, desk = (page.locator(one).bounding_box() for one in (".screen", ".desk"))
    assert screen is not None
    assert desk is not None
    assert screen["width"] == desk["width"]


def test_bars_of_the_queue_are_below_each_other(visit: Visitor, tmp_path: Path) -> None:
    first = tmp_path / "a.mp4"
    make_clip(first, seconds=1.0)
    broken = tmp_path / "b.mp4"
    broken.write_bytes(first.read_bytes()[:2000])
    shutil.copy(first, tmp_path / f"{'a_long_name_without_a_blank_' * 6}.mp4")
    page = visit().go().page
    page.set_input_files("#file", sorted(tmp_path.glob("*.mp4")))
    # One has the button "Retry".
    wait_for(lambda: (items(page, "done"), items(page, "failed")) == (2, 1))
    left = page.locator("#queue-list progress").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().x)"
    )
    assert len(set(left)) == 1
    # The mark of a video that is done stays beside its name.
    boxes = "(one) => [...one.getClientRects()].map(({ y }) => y)"
    long = page.locator("#queue-list b").filter(has_text="a_long_name").evaluate(boxes)
    assert long[0] == long[1] < long[2]


@pytest.mark.parametrize("size", [(390, 844), (320, 225)], ids=["phone", "zoom of 400 %"])
def test_the_bar_of_corrections_does_not_cover_the_timeline(
    visit: Visitor, job: str, size: tuple[int, int]
) -> None:
    person = visit(viewport={"width": size[0], "height": size[1]}).open_result(job)
    page = person.page
    page.keyboard.press("m")
    page.wait_for_selector("#save:enabled")
    line = page.locator("#timeline")
    if size[1] < 400:
        line.evaluate("(line) => line.scrollIntoView({ block: 'end' })")
    x, y = person.timeline_place(1.0, 150 if size[1] < 400 else 200)
    assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('#timeline') !== null", [x, y])
    page.click("#discard")


def test_saved_corrections_have_their_date_and_leave_the_buttons_in_one_row(
    visit: Visitor, own_job: str
) -> None:
    page = visit().open_result(own_job).page
    page.keyboard.press("m")
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    assert re.search(r"saved \w+ \d+, \d{4}, .* 1 point", page.inner_text("#edited"))
    tops = page.locator("#editing button:visible").evaluate_all("(all) => all.map((one) => one.offsetTop)")
    assert len(set(tops)) == 1


def test_rows_of_a_phone_keep_their_height_when_they_come_into_view(visit: Visitor, job: str) -> None:
    """What moves is hit by a finger that aims at what was there."""
    page = visit(viewport={"width": 390, "height": 600}).open_result(job).page
    tall = "(all) => all.map((one) => one.offsetHeight)"
    before = page.locator("#rows li").evaluate_all(tall)
    page.locator("#rows").scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    assert page.locator("#rows li").evaluate_all(tall) == before
