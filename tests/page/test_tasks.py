"""Emotions and expressions on the page, from packages that are trained briefly on synthetic data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from docs.tools.drawn_clip import draw_clip
from sentiloc.model.proposals.calibration import Calibration
from sentiloc.model.results.result import SegmentOptions
from sentiloc.model.results.task_result import cut_emotions, cut_expressions, parse_any
from tests.page.browsing import Visit
from tests.page.conftest import SteadyService, steady_service
from tests.page.test_page import edl_markers, serious
from tests.service.test_tasks import CLASSES, trained_packages
from tests.support.services import wait_for

ATTENTION_BELOW, BLOCKS_BELOW = 120, 36


@pytest.fixture(scope="module")
def tasks(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteadyService]:
    """A service with a model of each task."""
    models = trained_packages(tmp_path_factory)
    with steady_service(tmp_path_factory.mktemp("tasks"), models_dir=models) as service:
        yield service


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is long enough for a few snippets; for expressions every frame is used."""
    path = tmp_path_factory.mktemp("clip") / "a mood.mp4"
    draw_clip(path, 4.0)
    return path


@pytest.fixture
def person(browser: Browser, tasks: SteadyService) -> Iterator[Visit]:
    visit = Visit(browser, tasks.url)
    yield visit
    visit.context.close()
    assert visit.errors == []
    assert visit.strangers() == []


def send(person: Visit, clip: Path, model: str) -> str:
    """Choose a task, send the clip, see the result; returns the job's id."""
    page = person.go().page
    page.select_option("#model", model)
    page.set_input_files("#file", clip)
    person.wait_result()
    return page.url.partition("#")[2]


def rewrite(service: SteadyService, job: str, **changes: Any) -> dict[str, Any]:
    """Replace the result by a prepared one, because a briefly trained network may find nothing."""
    key = service.record(job).result_key
    assert key is not None
    path = service.data / key
    document = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    written = path.with_suffix(".written")
    written.write_text(json.dumps(parse_any(document).to_dict()), encoding="utf-8")
    # The page may be reading it.
    written.replace(path)
    return document


def bump(length: int, at: int, width: int, height: float = 0.9) -> list[float]:
    return [max(0.0, height * (1 - abs(i - at) / width)) for i in range(length)]


def test_emotions_are_lanes_of_their_own_classes(person: Visit, tasks: SteadyService, clip: Path) -> None:
    job = send(person, clip, "cten-tiny")
    page = person.page
    assert tasks.job(job)["model"] == "cten-tiny"
    names = [name.capitalize() for name in CLASSES]
    assert page.locator("#timeline .gutter .line").all_inner_texts() == [*names, "Attention"]
    assert page.is_hidden("#editing")

    found = tasks.client.get(f"/jobs/{job}/result").json()
    length = len(found["curve"]["series"]["joy"])
    joy = bump(length, length // 2, 4)
    series = {"attention_visual": joy, "attention_audio": joy, "joy": joy, "fear": [0.02] * length}
    series["sadness"] = [0.98 - value for value in joy]
    curve = {**found["curve"], "series": series}
    chances = {"fear": 0.02, "joy": 0.9, "sadness": 0.08}
    rewrite(tasks, job, probabilities=chances, curve=curve, segments=[])
    options = SegmentOptions(threshold=0.05, labels=CLASSES)
    document = parse_any(tasks.client.get(f"/jobs/{job}/result").json())
    cut = cut_emotions(document.curve, chances, document.video.duration, Calibration(), options)  # type: ignore[arg-type]
    assert cut

    person.reload()
    person.wait_result()
    assert page.inner_text("#summary").startswith("Joy 90 %")
    page.locator("#threshold").fill("0.05")
    wait_for(lambda: person.rows().count() == len(cut))
    assert "Joy" in person.row_texts()[0]
    person.rows().first.click()
    wait_for(lambda: "Strongest" in page.inner_text("#inspector"))
    page.mouse.move(*person.timeline_place(document.video.duration / 2, ATTENTION_BELOW))
    wait_for(lambda: {"Joy", "Attention"} <= set(page.locator("#card dt").all_inner_texts()))
    page.keyboard.press("a")
    page.keyboard.press("Delete")
    page.click("#export")
    assert person.rows().count() == len(cut)
    assert len(edl_markers(person.download("[data-format=edl]"))) == len(cut)
    assert serious(person) == []


def test_expressions_have_onset_apex_and_offset(person: Visit, tasks: SteadyService, clip: Path) -> None:
    job = send(person, clip, "gim-tiny")
    page = person.page
    found = tasks.client.get(f"/jobs/{job}/result").json()
    length = len(found["curve"]["series"]["intensity"])
    large, small = bump(length, 30, 15), bump(length, 90, 8)
    intensity = [max(pair) for pair in zip(large, small, strict=True)]
    is_large = [1.0 if i < 60 else 0.0 for i in range(length)]
    series = {"intensity": intensity, "macro": is_large, "micro": [1 - value for value in is_large]}
    curve = {**found["curve"], "series": series}
    document = parse_any(rewrite(tasks, job, curve=curve, expressions=[]))
    options = SegmentOptions(threshold=0.3, min_length=0.1, merge_gap=0.0, labels=("macro", "micro"))
    duration = document.video.duration
    cut = cut_expressions(document.curve, ("macro", "micro"), duration, Calibration(), options)  # type: ignore[arg-type]
    assert [one.label for one in cut] == ["macro", "micro"]
    rows = [
        {"onset": s.start, "apex": s.peak, "offset": s.end, "label": s.label, "confidence": s.confidence}
        for s in cut
    ]
    rewrite(tasks, job, curve=curve, expressions=rows)

    person.reload()
    person.wait_result()
    wait_for(lambda: person.rows().count() == 2)
    wait_for(lambda: "1 macro-expression" in page.inner_text("#summary"))
    x, y = person.timeline_place((cut[0].start + cut[0].end) / 2, BLOCKS_BELOW)
    page.mouse.move(x, y)
    wait_for(lambda: "Apex at" in page.inner_text("#card"))
    page.mouse.click(x, y)
    page.wait_for_selector("#inspector dt")
    facts = page.locator("#inspector dt").all_inner_texts()
    assert facts == ["Onset", "Apex", "Offset", "Length"]
    values = page.locator("#inspector dd").all_inner_texts()
    assert [float(value.partition(":")[2]) for value in values[:3]] == pytest.approx(
        [cut[0].start, cut[0].peak, cut[0].end], abs=0.011
    )
    person.page.keyboard.press("]")
    wait_for(lambda: "Micro" in (page.text_content("#rows button[aria-current=true]") or ""))
    assert serious(person) == []


def test_the_list_names_the_labels_of_each_model(person: Visit, tasks: SteadyService, clip: Path) -> None:
    with clip.open("rb") as file:
        answer = tasks.client.post(
            "/localize",
            files={"video": ("another mood.mp4", file)},
            data={"options": '{"model": "cten-tiny", "threshold": 0}'},
        )
    job = tasks.wait_ended(answer.json()["id"])
    page = person.go().page
    row = page.locator("#job-list li", has_text="another mood.mp4")
    row.wait_for()
    person.until("!document.querySelector('#model-choice').hidden")
    assert "cten-tiny" in row.inner_text()
    assert all(label in row.inner_text() for label in job["labels_found"])
