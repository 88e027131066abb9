"""The player for editors: shuttle, frame steps, timecode, sorted rows, and the server's evidence."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import opentimelineio as oti
import pytest
from playwright.sync_api import Route

from tests.page.browsing import Visit
from tests.page.conftest import SHOWN_FROM, SteadyService, Visitor
from tests.page.long_result import TWO_HOURS, plant_long_result
from tests.support.media import make_clip
from tests.support.services import wait_for

FRAME = 1 / 25


def now(person: Visit) -> float:
    return float(person.page.evaluate("document.querySelector('#video').currentTime"))


def wait_at(person: Visit, moment: float, within: float = FRAME / 2) -> None:
    person.until(
        "([at, off]) => Math.abs(document.querySelector('#video').currentTime - at) < off", [moment, within]
    )


@pytest.fixture
def person(visit: Visitor, job: str) -> Visit:
    visitor = visit().open_result(job)
    visitor.until("document.querySelector('#video').readyState > 1")
    return visitor


def test_arrows_step_by_frames_and_timecode_follows(person: Visit) -> None:
    page = person.page
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_at(person, 3 * FRAME)
    wait_for(lambda: page.input_value("#timecode") == "00:00:00:03")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    wait_for(lambda: page.input_value("#timecode") == "00:00:01:02")


def test_shuttle_runs_on_back_and_faster(person: Visit) -> None:
    page = person.page
    page.keyboard.press("Shift+End")
    page.keyboard.press("j")
    person.until("document.querySelector('#pace').textContent === '−1×'")
    person.until("document.querySelector('#timeline').ariaValueNow < 19.5")
    page.keyboard.press("k")
    person.until("document.querySelector('#pace').textContent === ''")
    stopped = page.input_value("#timecode")
    page.keyboard.press("Home")
    for pace in (1, 2, 4):
        page.keyboard.press("l")
        person.until("pace => document.querySelector('#video').playbackRate === pace", pace)
    person.until("document.querySelector('#video').currentTime > 0.5")
    page.keyboard.press("k")
    person.until("document.querySelector('#video').paused")
    assert page.input_value("#timecode") != stopped


def test_k_held_steps_by_frames(person: Visit) -> None:
    page = person.page
    page.keyboard.down("k")
    for key in "llj":
        page.keyboard.press(key)
    page.keyboard.up("k")
    wait_for(lambda: page.input_value("#timecode") == "00:00:00:01")
    assert page.evaluate("document.querySelector('#video').paused")


@pytest.mark.parametrize(
    ("typed", "seconds"), [("00:00:09:12", 9.48), ("00000302", 3.08), ("12.5", 12.5), ("0:02.2", 2.2)]
)
def test_a_typed_time_is_gone_to(person: Visit, typed: str, seconds: float) -> None:
    page = person.page
    page.keyboard.press("g")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    wait_at(person, seconds)
    page.keyboard.press("g")
    page.keyboard.type("+10")
    page.keyboard.press("Enter")
    wait_at(person, int(seconds / FRAME + 0.01) * FRAME + 0.4)


def test_an_invalid_time_is_refused_with_the_valid_range(person: Visit) -> None:
    page = person.page
    page.fill("#timecode", "00:00:40:00")
    page.keyboard.press("Enter")
    person.until("document.querySelector('#timecode').validationMessage.includes('00:00:20:00')")
    page.keyboard.press("Escape")
    wait_for(lambda: page.input_value("#timecode") == "00:00:00:00")


COUNT = """async ({ video, frames, written }) => {
    const { Counter } = await import("/web/timecode.js");
    const counter = new Counter(video);
    return [frames.map((frame) => counter.written(frame)), written.map((code) => counter.parse(code) * counter.rate)];
}"""


@pytest.mark.parametrize(
    ("timebase", "drops"),
    [
        ("30000/1001", True),
        ("60000/1001", True),
        ("24000/1001", False),
        ("25", False),
        ("30000/1001", False),
        ("120000/1001", True),
    ],
)
def test_timecode_is_counted_as_opentimelineio_counts_it(visit: Visitor, timebase: str, drops: bool) -> None:
    over, _, under = timebase.partition("/")
    fps = int(over) / int(under or 1)
    rate = fps / 2 if fps > 60 else fps  # Timecode of faster videos counts every second frame.
    frames = [*range(0, 20), *range(1790, 1810), *range(17975, 17990), *range(107885, 107900), 2_000_000]
    codes = [oti.opentime.RationalTime(n, rate).to_timecode(rate, drop_frame=drops) for n in frames]
    video = {"timebase": timebase, "fps": fps, "drop_frame": drops}
    page = visit().go().page
    written, back = page.evaluate(COUNT, {"video": video, "frames": frames, "written": codes})
    assert written == codes
    assert [round(frame) for frame in back] == frames
    if drops:
        missing = {"video": video, "frames": [], "written": ["00:01:00;00", "00:11:00;01"]}
        assert page.evaluate(f"async (it) => (await ({COUNT})(it))[1].every(Number.isNaN)", missing)


def test_volume_speed_and_mute(person: Visit) -> None:
    page = person.page
    page.select_option("#speed", "2")
    page.keyboard.press("v")
    person.until("document.querySelector('#video').muted")
    page.click("#mute")
    person.until("!document.querySelector('#video').muted")
    page.locator("#volume").fill("0.5")
    person.until("document.querySelector('#video').volume === 0.5")
    page.locator("#timeline").focus()
    page.keyboard.press(" ")
    person.until("document.querySelector('#video').playbackRate === 2")
    page.keyboard.press(" ")


def test_fullscreen_shows_the_picture_with_its_timecode(person: Visit) -> None:
    person.page.keyboard.press("f")
    person.page.wait_for_selector("#burn", state="visible")
    assert person.page.inner_text("#burn").startswith("00:00:00:00")
    person.page.click("#video", button="right")
    person.page.evaluate("document.exitFullscreen()")
    person.page.wait_for_selector("#burn", state="hidden")


def test_a_picture_that_the_browser_cannot_show_is_no_black_screen(
    visit: Visitor, service: SteadyService, tmp_path: Path
) -> None:
    """Chromium plays the sound of a file whose video codec it does not know."""
    path = tmp_path / "proxy.mp4"
    make_clip(path, seconds=1.5, codec="mpeg4", audio="aac", options=())
    job = service.submit(path)
    service.wait_ended(job)
    person = visit().open_result(job)
    person.until("document.querySelector('#no-video').textContent.includes('only the sound')")
    assert person.page.locator("#video").is_hidden()
    person.page.keyboard.press("l")
    person.until("document.querySelector('#video').currentTime > 0.2")


def test_a_file_at_hand_that_the_browser_cannot_play_is_not_called_gone(
    visit: Visitor, tmp_path: Path
) -> None:
    path = tmp_path / "tape.avi"
    make_clip(path, seconds=1.5, codec="mpeg4", options=())
    person = visit().go()
    person.page.set_input_files("#file", path)
    person.wait_result()
    person.until("document.querySelector('#no-video').textContent.includes('cannot play the file')")


def test_times_are_shown_as_timecode_on_request(person: Visit) -> None:
    page = person.page
    page.select_option("#units", "timecode")
    person.rows().first.click()
    start = page.input_value("[name=start]")
    assert start.count(":") == 3
    assert start in person.row_texts()[0]
    page.fill("[name=end]", f"{start[:-2]}20")
    page.keyboard.press("Enter")
    wait_for(lambda: page.input_value("[name=end]") == f"{start[:-2]}20")
    page.keyboard.press("Control+z")


def test_the_picture_is_large_on_a_laptop(visit: Visitor, job: str) -> None:
    for width, height, least in ((1440, 900, 380), (1366, 768, 340), (1280, 640, 230)):
        page = visit(viewport={"width": width, "height": height}).open_result(job).page
        places = [page.locator(one).bounding_box() for one in (".screen", "#timeline", "#previous", "#help")]
        screen, line, first, last = (place for place in places if place is not None)
        assert first["y"] == last["y"]  # the controls are one row
        assert screen["height"] >= least
        assert line["y"] + 120 < height  # the curve is in view below it


@pytest.fixture(scope="module")
def long_job(service: SteadyService, clip: Path) -> str:
    """Two hours with some hundred segments."""
    job = service.submit(clip, "two hours to sort.mp4")
    service.wait_ended(job)
    assert plant_long_result(service, job, TWO_HOURS) > 150
    return job


# A segment with low confidence, within the real video's length.
EARLY = 2


def moment_in(row: str) -> str:
    """A time in the middle of a row's `0:16 – 0:18.8`, as typed by a user."""
    start, end = (float(text.partition(":")[2]) for text in re.findall(r"0:[\d.]+", row))
    return f"{(start + end) / 2:.2f}"


SPANS = """[...document.querySelectorAll('#rows button')].map((row) => row.dataset.key)"""


def test_segments_are_sorted_and_filtered(visit: Visitor, service: SteadyService, long_job: str) -> None:
    found = service.client.get(f"/jobs/{long_job}/result").json()["segments"]
    person = visit().open_result(long_job)
    page = person.page
    wait_for(lambda: person.rows().count() == len(found))
    page.select_option("#sort-rows", "confidence")

    def shares() -> list[int]:
        # Rows that are out of view have no inner text.
        sure = page.locator("#rows .sure").all_text_contents()
        return [int(text.partition(" ")[0]) for text in sure]

    wait_for(lambda: all(a >= b for a, b in pairwise(shares())))
    assert len(set(shares())) > 3
    page.select_option("#label-rows", "negative")
    page.select_option("#sure-rows", "0.7")
    fits = [one for one in found if one["label"] == "negative" and one["confidence"] >= 0.7]
    wait_for(lambda: person.rows().count() == len(fits))
    wait_for(lambda: page.inner_text("#row-count") == f"{len(fits)} of {len(found)}")
    page.select_option("#sort-rows", "length")
    longest = max(fits, key=lambda one: one["end"] - one["start"])
    wait_for(lambda: page.evaluate(SPANS)[0] == f"negative {longest['start']:.3f}".rstrip("0"))


def test_choosing_comes_close_enough_to_grab_the_edges(visit: Visitor, long_job: str) -> None:
    person = visit().open_result(long_job)
    page = person.page
    row = person.rows().nth(EARLY)
    row.click()
    page.wait_for_selector("[name=end]")
    before = page.input_value("[name=end]")
    strip = page.locator("#overview").bounding_box()
    line = page.locator("#timeline").bounding_box()
    assert strip is not None and line is not None
    person.until(
        "most => document.querySelector('#overview .frame').getBoundingClientRect().width < most",
        strip["width"] / 20,
    )
    # The segment fills a quarter of the width in the middle; its right edge is dragged.
    edge = strip["x"] + strip["width"] * 0.625
    lane = line["y"] + (36 if "Positive" in row.inner_text() else 200)
    page.mouse.move(edge, lane)
    person.until("document.querySelector('#timeline').dataset.under === 'edge'")
    page.mouse.down()
    page.mouse.move(edge - 30, lane, steps=4)
    page.mouse.up()
    wait_for(lambda: page.input_value("[name=end]") != before)
    page.keyboard.press("Control+z")


def test_the_row_under_the_playhead_follows(visit: Visitor, long_job: str) -> None:
    person = visit().open_result(long_job)
    page = person.page
    row = person.rows().nth(EARLY)
    key, middle = row.get_attribute("data-key"), moment_in(row.inner_text())
    page.select_option("#sort-rows", "confidence")
    page.evaluate("document.querySelector('#rows').scrollTop = 0")
    page.keyboard.press("g")
    page.fill("#timecode", middle)
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows button[aria-current=time]")
    assert page.locator("#rows button[aria-current=time]").get_attribute("data-key") == key
    person.until("document.querySelector('#rows').scrollTop > 500")


# The number of painted pixels in each column of the overview's upper half.
COLUMNS = """() => {
    const canvas = document.querySelector("#overview canvas");
    const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    pen.drawImage(canvas, 0, 0);
    const half = Math.floor(canvas.height / 2) - 2;
    const { data } = pen.getImageData(0, 0, canvas.width, half);
    return Array.from({ length: canvas.width }, (_, x) => {
        let painted = 0;
        for (let y = 0; y < half; y++) painted += data[(y * canvas.width + x) * 4 + 3] > 128;
        return painted;
    });
}"""


def test_on_a_phone_two_hours_are_density_and_not_a_solid_bar(visit: Visitor, long_job: str) -> None:
    person = visit(viewport={"width": 360, "height": 780}).open_result(long_job)
    wait_for(lambda: len(set(person.page.evaluate(COLUMNS))) >= 4)
    columns = person.page.evaluate(COLUMNS)
    assert 0 < sum(count > 0 for count in columns) < len(columns)
    assert sum(columns) < 0.5 * len(columns) * max(columns)


EVIDENCE = """async ({ result, segments }) => {
    const { Findings } = await import("/web/findings.js");
    const findings = new Findings(result);
    return segments.map(({ label, start, end, peak }) => findings.evidence(label, start, end, peak));
}"""


def test_evidence_is_the_server_s_also_of_very_short_segments(
    visit: Visitor, service: SteadyService, long_job: str
) -> None:
    path = f"/jobs/{long_job}"
    moments = [(t, t + length) for t in range(5, 7000, 97) for length in (0.08, 0.3, 0.64, 2.0)]
    short = [{"start": a, "end": b, "label": "positive" if a % 2 else "negative"} for a, b in moments]
    tag = service.client.get(f"{path}/feedback").headers["ETag"]
    service.client.post(
        f"{path}/feedback", json={"segments": short}, headers={"If-Match": tag}
    ).raise_for_status()
    try:
        result = service.client.get(f"{path}/result", params={"corrected": True}).json()
    finally:
        tag = service.client.get(f"{path}/feedback").headers["ETag"]
        service.client.delete(f"{path}/feedback", headers={"If-Match": tag}).raise_for_status()
    segments = result["segments"]
    assert len(segments) == len(short)
    shown = visit().go().page.evaluate(EVIDENCE, {"result": result, "segments": segments})
    for segment, evidence in zip(segments, shown, strict=True):
        expected = {name: share for name, share in segment["evidence"].items() if name in evidence}
        assert evidence == pytest.approx(expected, abs=1e-6)


def test_a_threshold_of_the_link_does_not_lose_the_picture(visit: Visitor, job: str) -> None:
    person = visit().open_result(job, f"?threshold={SHOWN_FROM}&t=5.00")
    wait_for(lambda: person.page.input_value("#timecode") == "00:00:05:00")


VIDEO = "document.querySelector('#video')"
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"


def shown(person: Visit) -> float:
    """The moment at which the timeline is."""
    return float(person.page.get_attribute("#timeline", "aria-valuenow") or 0)


def test_the_moment_of_a_link_stays_while_the_video_is_fetched(visit: Visitor, job: str) -> None:
    """With a key, a player cannot ask for the video, so the page fetches it whole."""
    person = visit()
    page = person.page
    page.add_init_script("sessionStorage.setItem('sentiloc.key', 'a key')")
    held: list[Route] = []
    page.route("**/video", lambda route: held.append(route))
    person.open_result(job, "?t=5")
    assert "Fetching the video" in page.inner_text("#no-video")
    page.keyboard.press(" ")
    page.evaluate(TWO_FRAMES)
    assert shown(person) == 5.0
    # Now the length is known, but the page has not yet been told.
    page.evaluate(f"Object.defineProperty({VIDEO}, 'readyState', {{ value: 1, configurable: true }})")
    page.evaluate(TWO_FRAMES)
    assert shown(person) == 5.0
    wait_for(lambda: page.evaluate("true") and len(held) > 0)
    page.evaluate(f"delete {VIDEO}.readyState")
    for route in held:
        route.continue_()
    page.unroute("**/video")
    wait_for(lambda: shown(person) > 5)
    assert page.evaluate(f"{VIDEO}.played.start(0)") == pytest.approx(5.0, abs=FRAME)
    assert page.is_hidden("#no-video")


def test_controls_say_their_state_to_screen_readers(person: Visit) -> None:
    page = person.page
    assert page.get_attribute("#threshold", "aria-valuetext") == "30 %"
    assert page.get_attribute("#min_length", "aria-valuetext") == "1.00 s"
    page.locator("#volume").press("ArrowLeft")
    page.wait_for_selector("#volume[aria-valuetext='95 %']")
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).wait_for()


def test_single_letters_can_be_turned_off(person: Visit) -> None:
    """Speech input types letters, so WCAG 2.1 wants a way to turn such shortcuts off (2.1.4)."""
    page = person.page
    page.click("#help")
    page.uncheck("#letter-keys")
    page.keyboard.press("Escape")
    page.focus("#timeline")
    for key in ("m", "a", "?"):
        page.keyboard.press(key)
    assert page.is_disabled("#undo") and page.is_hidden("#help-box")
    page.keyboard.press("ArrowRight")
    wait_at(person, FRAME)
    person.reload().wait_result()
    page.keyboard.press("m")
    assert page.is_disabled("#undo")
    page.click("#help")
    page.check("#letter-keys")
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    assert page.is_enabled("#undo")
