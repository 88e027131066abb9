"""The page that compares two results of one video."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any

from sentiloc.model.results.difference import compare_segments
from sentiloc.model.segments import Segment
from tests.page.conftest import SteadyService, Visitor
from tests.page.test_page import serious
from tests.support.services import wait_for

COMPARE = """cases => import(new URL('web/difference.js', document.baseURI)).then(({ compare }) => cases.map(
    ([before, after]) => compare(before, after).map(({ change, before, after }) => [change, before, after])))"""
APART = """([before, after]) => import(new URL('web/difference.js', document.baseURI)).then(
    ({ disagreement }) => disagreement(before, after))"""


def random_segments(source: random.Random) -> list[Segment]:
    """Segments of both labels; some overlap, and some share edges."""
    count = source.randrange(6)
    starts = [source.randrange(20) / 2 for _ in range(count)]
    return [
        Segment(
            start=start,
            end=start + source.choice((0.5, 1.0, 1.04, 2.0)),
            label=source.choice(("negative", "positive")),
            confidence=0.5,
            peak=start,
        )
        for start in sorted(starts)
    ]


def rows_of(before: list[Segment], after: list[Segment]) -> list[list[Any]]:
    found = compare_segments(before, after)
    matches = [("kept", one) for one in found.kept] + [("moved", one) for one in found.moved]
    rows: list[list[Any]] = [[change, asdict(one.before), asdict(one.after)] for change, one in matches]
    rows += [["lost", asdict(one), None] for one in found.lost]
    rows += [["new", None, asdict(one)] for one in found.new]
    return rows


def place(row: list[Any]) -> list[Any]:
    """Sorts rows: their change, then the edges and labels of both segments."""
    numbers = [[float(one["start"]), float(one["end"])] if one else [] for one in row[1:]]
    return [row[0], *numbers, *(one["label"] if one else "" for one in row[1:])]


def test_it_compares_as_the_server_does(visit: Visitor) -> None:
    source = random.Random(5)
    cases = [(random_segments(source), random_segments(source)) for _ in range(200)]
    page = visit().go().page
    given = [[[asdict(one) for one in side] for side in case] for case in cases]
    for found, case in zip(page.evaluate(COMPARE, given), cases, strict=True):
        assert sorted(found, key=place) == sorted(rows_of(*case), key=place)


def test_the_time_in_which_two_results_differ(visit: Visitor) -> None:
    one = {"start": 1.0, "end": 4.0, "label": "positive"}
    other = [{"start": 2.0, "end": 3.0, "label": "positive"}, {"start": 3.0, "end": 4.0, "label": "negative"}]
    page = visit().go().page
    assert page.evaluate(APART, [[one], other]) == [[1, 2], [3, 4]]
    assert page.evaluate(APART, [[one], [one]]) == []


def test_corrections_are_compared_with_what_the_model_found(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    found = service.client.get(f"/jobs/{own_job}/result").json()["segments"]
    (negative,) = [one for one in found if one["label"] == "negative"]
    kept = {name: negative[name] for name in ("start", "end", "label", "confidence")}
    drawn = {"start": 0.5, "end": 1.5, "label": "positive"}
    service.client.post(f"/jobs/{own_job}/feedback", json={"segments": [drawn, kept]})
    person = visit().open_result(own_job)
    page = person.page
    page.click("#compare")
    rows = page.locator("#rows tr")
    wait_for(lambda: rows.count() == 3)
    changes = page.locator("#rows th").all_inner_texts()
    assert changes == ["Only in the second", "Only in the first", "The same"]
    assert "by hand" in rows.nth(0).inner_text() and "48" in rows.nth(2).inner_text()
    assert page.inner_text("#told").startswith("1 the same, 0 with other edges, 1 only in the first")
    assert page.locator("#lanes .differs").count() == 2
    page.check("#only")
    assert rows.count() == 2
    rows.nth(0).locator("button").click()
    person.until("document.querySelector('#player').currentTime === 0.5")
    assert rows.nth(0).get_attribute("aria-current") == "true"
    assert serious(person) == []
    assert "second.corrected=1" in page.url


def test_two_minimum_confidences_are_compared_and_the_address_keeps_them(
    visit: Visitor, own_job: str
) -> None:
    person = visit().go(f"/web/compare.html?first={own_job}&second={own_job}")
    page = person.page
    page.wait_for_selector("#no-rows:not([hidden])")
    page.fill("#second [data-part='least']", "90")
    page.press("#second [data-part='least']", "Tab")
    wait_for(lambda: "1 only in the first" in page.inner_text("#told"))
    assert "second.threshold=0.9" in page.url
    page.reload()
    wait_for(lambda: "1 only in the first" in page.inner_text("#told"))
    assert page.input_value("#second [data-part='least']") == "90"
    page.fill("#second [data-part='least']", "120")
    page.press("#second [data-part='least']", "Tab")
    assert "second.threshold=0.9" in page.url


def test_two_chosen_videos_are_compared(
    visit: Visitor, service: SteadyService, job: str, own_job: str
) -> None:
    page = visit().go().page
    for one in (job, own_job):
        page.check(f"#job-list > li[data-id='{one}'] > input")
    page.click("#chosen-compare")
    wait_for(lambda: page.inner_text("#told").startswith("2 the same"))
    chosen = [page.input_value(f"#{side} [data-part='result']") for side in ("first", "second")]
    assert sorted(chosen) == sorted([job, own_job])


def test_a_comparison_stands_without_its_video(visit: Visitor, job: str) -> None:
    person = visit()
    page = person.page
    # With a key, the page fetches the video itself. This server needs none, and ignores it.
    page.add_init_script("sessionStorage.setItem('sentiloc.key', 'any')")
    page.route("**/video", lambda route: route.fulfill(status=410, json={"detail": "The video is deleted."}))
    person.go(f"/web/compare.html?first={job}&second={job}")
    page.wait_for_selector("#player", state="hidden")
    page.wait_for_selector("#rows tr")
    wait_for(lambda: page.inner_text("#told").startswith("2 the same"))
    person.errors.clear()


def test_the_chosen_row_is_marked_in_forced_colours(visit: Visitor, job: str) -> None:
    page = visit(forced_colors="active").go(f"/web/compare.html?first={job}&second={job}").page
    page.locator("#rows button").first.click()
    edges = page.locator("#rows th").evaluate_all(
        "all => all.map(one => getComputedStyle(one).borderInlineStartWidth)"
    )
    assert edges == ["3px", "0px"]
