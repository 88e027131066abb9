"""Speed of the page in a real browser: `python -m tests.proofs.page_speed [-o FILE]`.

Needs Chromium and `.[test]`. It starts a private service, localizes a drawn clip, and replaces a job's result by one of
two hours (some hundred segments, 11,250 snippets).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from docs.tools.drawn_clip import draw_clip
from tests.page.browsing import Visit, chromium
from tests.page.long_result import PAN, TWO_HOURS, plant_long_result
from tests.service.running import RunningService

RESULTS = Path(__file__).parent / "results" / "page_speed.json"
VISITS = 21
SMALLEST = "/healthz"
FRAMES = 300


def first_paint(visit: Visit, path: str = "/") -> float:
    """Milliseconds until the first paint."""
    visit.go(path).page.wait_for_load_state("networkidle")
    entries = "performance.getEntriesByName('first-contentful-paint')"
    visit.until(f"{entries}.length")
    return float(visit.page.evaluate(f"{entries}[0].startTime"))


def paints(browser: Browser, url: str) -> dict[str, list[float]]:
    """First paints of the page and of the smallest answer of the same server, alternating."""
    found: dict[str, list[float]] = {"/": [], SMALLEST: []}
    for _ in range(VISITS):
        for path, times in found.items():
            visit = Visit(browser, url)
            times.append(first_paint(visit, path))
            visit.context.close()
    return found


def weight(visit: Visit) -> dict[str, int]:
    """Bytes and requests of the first screen."""
    # Pictures that the page has made itself (`blob:`) are not sent.
    sent = [url for url in dict.fromkeys(visit.requests) if url.startswith("http")]
    bodies = [visit.context.request.get(url).body() for url in sent]
    packed = sum(len(gzip.compress(body)) for body in bodies)
    return {"requests": len(bodies), "bytes": sum(map(len, bodies)), "bytes_gzipped": packed}


def measure(service: RunningService, clip: Path) -> dict[str, Any]:
    """Measure everything."""
    job_id = service.submit(clip)
    service.wait_ended(job_id)
    segments = plant_long_result(service, job_id, TWO_HOURS)
    with chromium() as browser:
        painted = paints(browser, service.url)
        page, smallest = (statistics.median(times) for times in painted.values())
        visit = Visit(browser, service.url)
        first_paint(visit)
        size = weight(visit)
        opened = visit.open_result(job_id)
        before = opened.main_thread_seconds()
        pan = json.loads(opened.page.evaluate(PAN, FRAMES))
        pan["main_thread_ms_per_frame"] = (opened.main_thread_seconds() - before) / pan["frames"] * 1000
        return {
            "browser": browser.version,
            "machine": {"processors": os.cpu_count(), "load_average": os.getloadavg()[0]},
            "first_contentful_paint_ms": {
                "page": page,
                "smallest_answer": smallest,
                "ratio": page / smallest,
                "all": painted,
            },
            "weight": size,
            "two_hours": {"segments": segments, **pan},
        }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "drawn.mp4"
        draw_clip(clip, 4.0)
        service = RunningService(Path(folder))
        try:
            service.start()
            figures = measure(service, clip)
        finally:
            service.stop()
    print(json.dumps(figures, indent=2))
    output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
