"""Corrections that several visits, several tabs or several jobs have in their hands at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.page.browsing import Held, Visit
from tests.page.conftest import SHOWN_FROM, SteadyService, Visitor
from tests.page.test_page import drag, move_end, save_in_two_tabs, seconds
from tests.support.services import wait_for


def test_what_is_added_after_a_reload_is_not_tied_to_what_was_there(visit: Visitor, own_job: str) -> None:
    person = visit().open_result(own_job)
    page = person.page
    found = person.rows().count()
    assert found >= 2
    person.rows().first.click()
    # The first segment of the page's own, and its first point.
    for key in ("Delete", "Home", "a", "End", "m"):
        page.keyboard.press(key)
    page.wait_for_selector("#edited:has-text('1 point')")
    person.reload().wait_result()
    wait_for(lambda: person.rows().count() == found)
    first = person.row_texts()[0]
    person.rows().last.click()
    for key in ("Delete", "End", "a"):
        page.keyboard.press(key)
    wait_for(lambda: person.rows().count() == found)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("o")
    assert person.row_texts()[0] == first
    page.keyboard.press("Delete")
    wait_for(lambda: person.rows().count() == found - 1)
    for key in ("Home", "m", "Delete"):
        page.keyboard.press(key)
    page.wait_for_selector("#edited:has-text('1 point')")


OFF_FRAME: dict[str, Any] = {"start": 5.03, "end": 9.39, "label": "positive"}
"""A segment whose edges lie between frames of a video with 25 frames per second, as the model's edges do."""
POSITIVE_LANE = 36
"""Pixels under the timeline's upper edge."""


def describe_video(service: SteadyService, job: str, **facts: Any) -> None:
    """Change what the stored result says of its video."""
    key = service.record(job).result_key
    assert key is not None
    document = json.loads((service.data / key).read_text(encoding="utf-8"))
    document["video"].update(facts)
    (service.data / key).write_text(json.dumps(document), encoding="utf-8")


def correct(service: SteadyService, job: str, *segments: dict[str, Any]) -> None:
    """Save corrections as another program does."""
    tag = service.client.get(f"/jobs/{job}/feedback").headers["ETag"]
    answer = service.client.post(
        f"/jobs/{job}/feedback", json={"segments": segments}, headers={"If-Match": tag}
    )
    answer.raise_for_status()


def saved(service: SteadyService, job: str) -> list[dict[str, Any]]:
    """The segments that are saved."""
    kept = service.client.get(f"/jobs/{job}/feedback").json()["feedback"][-1]["feedback"]
    return list(kept["segments"] or ())


def type_into(person: Visit, field: str, text: str) -> None:
    """Type over what a field has, and stay in it."""
    person.page.locator(field).select_text()
    person.page.keyboard.type(text)


def test_an_edge_is_moved_alone(visit: Visitor, service: SteadyService, own_job: str) -> None:
    correct(service, own_job, OFF_FRAME)
    person = visit().open_result(own_job)
    page = person.page
    person.rows().first.click()
    edge = person.timeline_place(OFF_FRAME["end"], POSITIVE_LANE)
    drag(page, edge, (edge[0] + 60, edge[1]))
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    (segment,) = saved(service, own_job)
    assert segment["start"] == OFF_FRAME["start"]
    assert segment["end"] > OFF_FRAME["end"]


def test_what_was_typed_stays_when_the_other_edge_is_dragged(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    correct(service, own_job, OFF_FRAME)
    person = visit().open_result(own_job)
    person.rows().first.click()
    type_into(person, "[name=start]", "7")
    edge = person.timeline_place(OFF_FRAME["end"], POSITIVE_LANE)
    drag(person.page, edge, (edge[0] + 60, edge[1]))
    wait_for(lambda: person.page.input_value("[name=start]") == "0:07.00")
    wait_for(lambda: seconds(person.page.input_value("[name=end]")) > OFF_FRAME["end"])


def test_typed_timecodes_count_from_the_shown_edge_and_lie_within_the_video(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    describe_video(service, own_job, start_timecode="10:00:00:00")
    correct(service, own_job, OFF_FRAME)
    person = visit().open_result(own_job)
    page = person.page
    page.select_option("#units", "timecode")
    person.rows().first.click()
    assert page.input_value("[name=end]") == "10:00:09:10"
    type_into(person, "[name=end]", "+12")
    page.keyboard.press("Enter")
    wait_for(lambda: page.input_value("[name=end]") == "10:00:09:22")
    # The hour of the file's start is missing: this timecode is fourteen hours away.
    type_into(person, "[name=end]", "00:00:14:00")
    page.keyboard.press("Enter")
    person.until("document.querySelector('[name=end]').validationMessage.includes('10:00:20:00')")
    type_into(person, "[name=end]", "10:00:14:00")
    page.keyboard.press("Enter")
    person.until("document.querySelector('#rows').textContent.includes('10:00:14:00')")


def test_edges_are_moved_to_the_frames_that_exports_count(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    """No timecode counts more than 60 frames a second."""
    describe_video(service, own_job, fps=120.0, timebase="120")
    correct(service, own_job, OFF_FRAME)
    person = visit().open_result(own_job)
    page = person.page
    person.rows().first.click()
    type_into(person, "[name=end]", "9.392")
    page.keyboard.press("Enter")
    page.click("#save:enabled")
    page.wait_for_selector("#save:disabled")
    assert saved(service, own_job)[0]["end"] == 9.4


def test_options_between_the_steps_of_the_sliders_stay(
    visit: Visitor, service: SteadyService, clip: Path
) -> None:
    job = service.submit(clip, threshold=0.305, min_length=0.25)
    service.wait_ended(job)
    person = visit(permissions=["clipboard-read", "clipboard-write"]).open_result(job)
    page = person.page
    assert page.inner_text("output[for=min_length]") == "0.25 s"
    page.click("#share")
    page.wait_for_selector("#shared:not(:empty)")
    # A link names the options that are not the result's.
    assert page.evaluate("location.hash") == f"#{job}"
    page.locator("#merge_gap").fill("0.5")
    page.click("#share")
    person.until("location.hash.endsWith('?merge_gap=0.5')")
    page.click("#confirm")
    person.until("!document.querySelector('#edited').textContent.includes('not saved')")
    exact = service.client.get(f"/jobs/{job}/result", params={"merge_gap": 0.5}).json()["segments"]
    starts = [one["start"] for one in exact]
    assert [one["start"] for one in saved(service, job)] == pytest.approx(starts, abs=1e-3)


def save_and_delete_last(person: Visit) -> Held:
    """Save a moved edge, and delete the last segment while the save is held."""
    page = person.page
    held = Held(person, "/feedback$")
    found = person.rows().count()
    move_end(person)
    page.keyboard.press("Control+s")
    held.wait()
    person.rows().last.click()
    page.keyboard.press("Delete")
    wait_for(lambda: person.rows().count() == found - 1)
    return held


def test_what_is_changed_while_a_save_is_under_way_stays_unsaved(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    person = visit().open_result(own_job)
    page = person.page
    found = person.rows().count()
    held = save_and_delete_last(person)
    held.release()
    page.wait_for_selector("#edited:has-text('not saved yet')")
    assert len(saved(service, own_job)) == found
    # The draft has the change, and goes on from what was saved.
    person.reload().wait_result()
    wait_for(lambda: person.rows().count() == found - 1)
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    assert len(saved(service, own_job)) == found - 1


def saved_twice(visit: Visitor, job: str) -> tuple[Visit, Held]:
    """A person who changed a segment and saved twice; the first save is held."""
    person = visit().open_result(job)
    held = Held(person, "/feedback$")
    move_end(person)
    person.page.keyboard.press("Control+s")
    person.page.keyboard.press("Control+s")
    held.wait()
    return person, held


def test_a_second_save_waits_for_the_first(visit: Visitor, service: SteadyService, own_job: str) -> None:
    person, held = saved_twice(visit, own_job)
    page = person.page
    page.keyboard.press("End")
    page.keyboard.press("m")
    page.keyboard.press("Control+s")
    held.release()
    page.wait_for_selector("#save:disabled")
    # A save with an old tag would have been refused, and logged by the browser.
    assert len(service.client.get(f"/jobs/{own_job}/feedback").json()["feedback"]) == 2


def test_the_answer_to_a_save_touches_no_other_video(
    visit: Visitor, service: SteadyService, clip: Path, own_job: str
) -> None:
    other = service.submit(clip, "another.mp4", threshold=SHOWN_FROM)
    service.wait_ended(other)
    # So that the tags of the two differ.
    correct(service, other, OFF_FRAME)
    person = visit().open_result(own_job)
    page = person.page
    held = Held(person, "/feedback$")
    move_end(person)
    page.keyboard.press("Control+s")
    held.wait()
    page.evaluate("job => { location.hash = job }", other)
    page.wait_for_selector("#result-title:text-is('another.mp4')")
    move_end(person)
    held.release()
    drafts = "Object.keys(localStorage).filter((name) => name.startsWith('sentiloc.draft.'))"
    person.until(f"{drafts}.length === 1")
    assert page.evaluate(drafts) == [f"sentiloc.draft.{other}"]
    assert "not saved yet" in page.inner_text("#edited")
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    assert saved(service, other)[0]["end"] < OFF_FRAME["end"]


def test_a_waiting_save_reaches_the_server_when_another_video_is_opened(
    visit: Visitor, service: SteadyService, own_job: str, job: str
) -> None:
    person = visit().open_result(own_job)
    page = person.page
    found = person.rows().count()
    held = save_and_delete_last(person)
    page.keyboard.press("Control+s")
    page.evaluate("job => { location.hash = job }", job)
    person.until("document.querySelector('#edited').textContent === ''")
    held.release()
    # Asking the page lets Playwright pass on its requests.
    wait_for(lambda: page.evaluate("true") and len(saved(service, own_job)) == found - 1)
    person.until("Object.keys(localStorage).every((name) => !name.startsWith('sentiloc.draft.'))")


def test_a_doubled_save_is_sent_once_when_another_video_is_opened(
    visit: Visitor, service: SteadyService, own_job: str, job: str
) -> None:
    person, held = saved_twice(visit, own_job)
    page = person.page
    page.evaluate("job => { location.hash = job }", job)
    person.until("document.querySelector('#edited').textContent === ''")
    held.release()
    # The way back waits for all saves.
    page.evaluate("job => { location.hash = job }", own_job)
    page.wait_for_selector("#edited:has-text('Saved')")
    assert len(service.client.get(f"/jobs/{own_job}/feedback").json()["feedback"]) == 1


def test_discarded_corrections_stay_discarded_after_a_reload(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    found = len(service.client.get(f"/jobs/{own_job}/result").json()["segments"])
    assert found > 1
    correct(service, own_job, OFF_FRAME)
    person = visit().open_result(own_job)
    page = person.page
    assert person.rows().count() == 1
    page.click("#discard")
    wait_for(lambda: person.rows().count() == found)
    person.reload().wait_result()
    wait_for(lambda: person.rows().count() == found)
    assert "not saved yet" in page.inner_text("#edited")
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    person.reload().wait_result()
    wait_for(lambda: person.rows().count() == found)
    assert page.inner_text("#edited") == ""


def test_what_is_typed_is_saved_without_enter(visit: Visitor, service: SteadyService, own_job: str) -> None:
    correct(service, own_job, OFF_FRAME)
    person = visit().open_result(own_job)
    person.rows().first.click()
    type_into(person, "[name=end]", "8")
    person.page.keyboard.press("Control+s")
    wait_for(lambda: person.page.evaluate("true") and saved(service, own_job)[0]["end"] == 8)


def test_the_answer_to_a_save_leaves_a_field_as_it_is(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    correct(service, own_job, OFF_FRAME)
    person = visit().open_result(own_job)
    page = person.page
    held = Held(person, "/feedback$")
    move_end(person)
    page.keyboard.press("Control+s")
    held.wait()
    type_into(person, "[name=end]", "8.2")
    held.release()
    page.wait_for_selector("#save:disabled")
    assert page.input_value("[name=end]") == "8.2"
    page.keyboard.press("Enter")
    wait_for(lambda: page.input_value("[name=end]") == "0:08.20")


def test_theirs_are_shown_when_they_are_chosen(visit: Visitor, service: SteadyService, own_job: str) -> None:
    first, second = save_in_two_tabs(visit, own_job)
    second.page.click("#theirs")
    wait_for(lambda: second.row_texts() == first.row_texts())
    assert second.page.is_disabled("#save")
    # From now on, changes are made to theirs.
    second.rows().last.click()
    second.page.keyboard.press("Delete")
    second.page.click("#save")
    second.page.wait_for_selector("#save:disabled")
    assert len(saved(service, own_job)) == first.rows().count() - 1


def test_a_note_is_kept_with_the_corrections(visit: Visitor, service: SteadyService, own_job: str) -> None:
    note = {"segments": [OFF_FRAME], "note": "Ironic."}
    service.client.post(f"/jobs/{own_job}/feedback", json=note).raise_for_status()
    person = visit().open_result(own_job)
    page = person.page
    assert page.input_value("#note") == "Ironic."
    move_end(person)
    page.keyboard.press("c")
    page.keyboard.press("Control+End")
    page.keyboard.type(" See 4.")
    page.click("#home")
    page.wait_for_selector("#job-list li:first-child:has-text('corrections not saved')")
    page.go_back()
    person.reload().wait_result()
    assert page.input_value("#note") == "Ironic. See 4."
    page.keyboard.press("Control+s")
    page.wait_for_selector("#save:disabled")
    kept = service.client.get(f"/jobs/{own_job}/feedback").json()["feedback"][-1]["feedback"]
    assert kept["note"] == "Ironic. See 4."
    assert kept["segments"][0]["end"] < OFF_FRAME["end"]
    # The list shows one label, and so does the file.
    page.select_option("#label-rows", "negative")
    for key in ("e", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.format") == "edl"
    assert "Only segments with the label Negative" in page.inner_text("#export-note")
    assert len(person.download("[data-format=csv]").splitlines()) == 1


def test_segments_that_are_undone_after_a_save_are_withdrawn(
    visit: Visitor, service: SteadyService, own_job: str
) -> None:
    person = visit().open_result(own_job)
    page = person.page
    found = person.rows().count()
    for key in ("End", "m", "Home", "]", "Delete", "Control+s"):
        page.keyboard.press(key)
    page.wait_for_selector("#save:disabled")
    assert len(saved(service, own_job)) == found - 1
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+s")
    page.wait_for_selector("#save:disabled")
    result = service.client.get(f"/jobs/{own_job}/result", params={"corrected": True}).json()
    assert len(result["segments"]) == found
    assert service.client.get(f"/jobs/{own_job}/feedback").json()["feedback"][-1]["feedback"]["points"]
    # With one key, the model is confirmed.
    page.keyboard.press("y")
    wait_for(lambda: page.evaluate("true") and len(saved(service, own_job)) == found)


def test_the_timeline_announces_what_a_correction_has_made_of_this_moment(
    visit: Visitor, own_job: str
) -> None:
    page = visit().open_result(own_job).page
    heard = []
    for key in ("Home", "a", "x", "Delete", "Control+z"):
        page.keyboard.press(key)
        heard.append(str(page.get_attribute("#timeline", "aria-valuetext")))
    names = [one.removeprefix("0:00").removeprefix(", ") for one in heard]
    assert names[0] == names[3] == ""
    assert {names[1], names[2]} == {"Positive", "Negative"}
    assert names[4] == names[2]
