"""The list of videos: read from the server, with a picture and a small timeline; actions on several videos."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.page.conftest import SHOWN_FROM, SteadyService, Visitor
from tests.page.test_page import serious
from tests.support.services import wait_for


@pytest.fixture(scope="module")
def three(service: SteadyService, clip: Path) -> list[str]:
    """Three jobs with the same word in their names."""
    jobs = [service.submit(clip, f"trip {name}.mp4", threshold=SHOWN_FROM) for name in ("c", "a", "b")]
    for job in jobs:
        service.wait_ended(job)
    return jobs


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


def test_several_are_exported_in_one_file_and_deleted(
    visit: Visitor, service: SteadyService, three: list[str]
) -> None:
    person = visit().go()
    page = person.page
    page.fill("#search", "trip")
    wait_for(lambda: page.locator("#job-list li").count() == 3)
    page.check("#job-list li:nth-child(1) input")
    wait_for(lambda: page.inner_text("#chosen-count") == "1 chosen")
    page.check("#choose-all")
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
