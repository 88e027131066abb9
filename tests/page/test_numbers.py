"""The page's explanations of its numbers: one scale, plain words, warnings, and the sound track used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sentiloc.cli.drawing.drawing import lane_scale, strength
from sentiloc.cli.output import read_result
from tests.page.browsing import Visit
from tests.page.conftest import CLIP_SECONDS, SteadyService, Visitor
from tests.page.test_page import serious
from tests.support.media import make_clip
from tests.support.services import wait_for
from tests.worker.test_tracks import hum, make, talk


def test_a_percentage_is_always_a_confidence(visit: Visitor, service: SteadyService, job: str) -> None:
    person = visit().open_result(job)
    page = person.page
    person.rows().first.click()
    found = service.client.get(f"/jobs/{job}/result").json()["segments"]
    stated = {f"{min(99, round(one['confidence'] * 100))} %" for one in found}
    page.mouse.move(*person.timeline_place(found[0]["peak"], 120))
    page.wait_for_selector("#card:not([hidden])")
    wait_for(lambda: page.inner_text("#rows"))  # empty until the new rows have been drawn once
    texts = [page.inner_text(place) for place in ("#summary", "#rows", "#inspector", "#card")]
    shown = {number for text in texts for number in re.findall(r"\d+ %", text)}
    assert shown and shown <= stated
    assert page.inner_text("#result-length") == f"Length 0:{CLIP_SECONDS:.0f}"
    assert "because of the face" in page.inner_text("#inspector")
    assert "Strength" in page.inner_text("#card")


def test_a_panel_explains_the_numbers_and_the_limits_of_the_model(visit: Visitor, job: str) -> None:
    person = visit().open_result(job)
    page = person.page
    page.click("#numbers")
    page.wait_for_selector("#numbers-box li")
    panel = page.inner_text("#numbers-box")
    for words in ("Strength", "Because of the face", "non-commercial", "Words, plots and scenes", "Licence"):
        assert words in panel
    assert serious(person) == []
    links = page.locator("#numbers-box a").evaluate_all("all => all.map((one) => one.href)")
    assert len(links) == 3
    assert all(person.context.request.get(link).ok for link in links)
    guide = person.context.new_page()
    guide.goto(next(link for link in links if "guide" in link))
    guide.wait_for_selector("#keys dt")
    page.keyboard.press("Escape")
    page.wait_for_selector("#numbers-box", state="hidden")


def test_warnings_of_a_result_are_shown_and_lead_there(
    visit: Visitor, service: SteadyService, clip: Path
) -> None:
    job = service.submit(clip, "with warnings.mp4")
    service.wait_ended(job)
    key = service.record(job).result_key
    assert key is not None
    document = json.loads((service.data / key).read_text(encoding="utf-8"))
    document["warnings"] = [
        {"code": "no_sound", "detail": "There is no usable sound."},
        {
            "code": "undecodable",
            "detail": "From 12.0 to 13.0 s nothing could be read.",
            "start": 12.0,
            "end": 13.0,
        },
    ]
    (service.data / key).write_text(json.dumps(document), encoding="utf-8")
    person = visit().open_result(job)
    assert "no usable sound" in person.page.inner_text("#warnings")
    person.page.click("#warnings button")
    wait_for(lambda: person.page.input_value("#timecode") == "00:00:12:00")


def test_the_sound_track_is_chosen_and_named(visit: Visitor, service: SteadyService, tmp_path: Path) -> None:
    video = tmp_path / "two tracks.mkv"
    make(video, [([hum()], "eng"), ([talk()], "deu")])
    person = visit().go()
    person.page.select_option("#audio_track", "2")
    person.page.set_input_files("#file", video)
    person.wait_result()
    job = person.page.url.partition("#")[2]
    assert service.job(job)["options"]["audio_track"] == 2
    assert "sound track 2 of 2" in person.page.inner_text("#made")


def test_a_draft_with_tags_can_be_requested_and_is_marked(
    visit: Visitor, service: SteadyService, tmp_path: Path
) -> None:
    video = tmp_path / "preview.mp4"
    make_clip(video, seconds=4.0, audio="aac")
    person = visit().go()
    person.page.select_option("#quality", "draft")
    person.page.fill("#new-tags", "week 12, raw")
    # Files that are chosen again after a reload have the same options.
    person.reload()
    person.page.set_input_files("#file", video)
    person.wait_result()
    job = person.page.url.partition("#")[2]
    assert service.job(job)["options"]["quality"] == "draft"
    assert service.job(job)["options"]["tags"] == ["week 12", "raw"]
    assert person.page.locator("#tags li").count() == 2
    assert "This is a draft" in person.page.inner_text("#warnings")


def test_a_track_that_is_not_there_is_an_error_with_its_reason(visit: Visitor, tmp_path: Path) -> None:
    video = tmp_path / "one track.mp4"
    make_clip(video, seconds=2.0, audio="aac")
    person: Visit = visit().go()
    person.page.select_option("#audio_track", "5")
    person.page.set_input_files("#file", video)
    person.page.wait_for_selector("#problem:not([hidden])")
    assert "track" in person.page.inner_text("#problem-detail")


CURVES = """async (result) => {
    const { Findings } = await import("/web/findings.js");
    const { curves, scale } = new Findings(result);
    return [Array.from(curves.positive), Array.from(curves.negative), scale];
}"""


def test_the_command_line_draws_the_curve_that_the_page_draws(
    visit: Visitor, service: SteadyService, job: str
) -> None:
    raw = service.client.get(f"/jobs/{job}/result").json()
    positive, negative, scale = visit().go().page.evaluate(CURVES, raw)
    result = read_result(raw)
    assert strength(result, "positive") == pytest.approx(positive, abs=1e-6)
    assert strength(result, "negative") == pytest.approx(negative, abs=1e-6)
    assert lane_scale(result) == pytest.approx(scale, abs=1e-6)
