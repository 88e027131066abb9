"""Pictures of the page for README and docs: `python -m docs.tools.screenshots [--clip FILE] [-o docs/pictures]`.

Needs Chromium and `.[test]`. Shows what the shipped model finds in a clip, by default in one of a drawn person; and,
for the other tasks, what networks trained on planted features find in such features, beside a drawn person.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

from docs.tools.drawn_clip import SECONDS, draw_clip
from docs.tools.planted_results import planted_emotion_result, planted_expression_result
from sentiloc.model.results.task_result import EmotionResult, ExpressionResult
from tests.page.browsing import Visit, chromium
from tests.service.running import RunningService

Scheme = Literal["light", "dark"]
# Waits until every thumbnail in the list is there.
_SHOTS = "[...document.querySelectorAll('#rows img')].every((image) => image.complete && image.naturalWidth)"
_WAVE = 1500
# Pixels under the timeline's upper edge.
_SOUND_LANE = 240


def peaks(service: RunningService, job_id: str) -> list[float]:
    """When each segment, or each expression, is strongest, in seconds."""
    found = service.client.get(f"/jobs/{job_id}/result").json()
    return [float(row.get("apex") or row["peak"]) for row in found.get("expressions") or found["segments"]]


def show(
    browser: Browser,
    service: RunningService,
    job_id: str,
    size: tuple[int, int],
    scheme: Scheme,
    row: int = 0,
) -> Visit:
    """The result with one segment chosen, by mouse, and its strongest moment in the player."""
    visit = Visit(browser, service.url, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    rows = visit.open_result(job_id).rows()
    (rows.last if row == -1 else rows.nth(row)).click()
    visit.rows().last.scroll_into_view_if_needed()
    visit.until(_SHOTS)
    visit.page.evaluate("scrollTo(0, 0)")
    visit.page.mouse.click(*visit.timeline_place(peaks(service, job_id)[row], _SOUND_LANE))
    visit.page.mouse.move(0, 0)
    visit.page.wait_for_timeout(_WAVE)
    return visit


def take(browser: Browser, service: RunningService, job_id: str, folder: Path) -> None:
    """Wide in light, wide in dark with the card at the mouse, and a phone."""
    light = show(browser, service, job_id, (1440, 900), "light", row=-1)
    light.page.screenshot(path=folder / "page-light.png")
    dark = show(browser, service, job_id, (1440, 900), "dark")
    dark.page.mouse.move(*dark.timeline_place(peaks(service, job_id)[0], _SOUND_LANE))
    dark.page.wait_for_timeout(_WAVE)
    dark.page.screenshot(path=folder / "page-dark.png")
    phone = show(browser, service, job_id, (390, 844), "light", row=-1)
    phone.page.screenshot(path=folder / "page-phone.png")


def plant(service: RunningService, clip: Path, result: EmotionResult | ExpressionResult) -> str:
    """A job of the clip with that result in the place of its own."""
    job_id = service.submit(clip)
    service.wait_ended(job_id)
    key = service.record(job_id).result_key
    assert key is not None
    (service.data / key).write_text(json.dumps(result.to_dict()), encoding="utf-8")
    return job_id


def take_tasks(browser: Browser, service: RunningService, clip: Path, folder: Path) -> None:
    """Emotions in light, expressions in dark, one of them chosen."""
    tasks: tuple[tuple[str, Scheme, EmotionResult | ExpressionResult], ...] = (
        ("emotions", "light", planted_emotion_result(SECONDS)),
        ("expressions", "dark", planted_expression_result(SECONDS)),
    )
    for name, scheme, result in tasks:
        job_id = plant(service, clip, result)
        shown = show(browser, service, job_id, (1440, 900), scheme)
        shown.page.screenshot(path=folder / f"page-{name}.png")


def main() -> None:
    """Draw, localize, take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--clip", type=Path, help="a video of which nothing forbids to show pictures")
    asked = parser.parse_args()
    folder = asked.output
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        clip = Path(place) / "drawn person.mp4"
        draw_clip(clip)
        service = RunningService(Path(place))
        try:
            service.start()
            job_id = service.submit(asked.clip or clip)
            service.wait_ended(job_id)
            with chromium() as browser:
                take(browser, service, job_id, folder)
                take_tasks(browser, service, clip, folder)
        finally:
            service.stop()


if __name__ == "__main__":
    main()
