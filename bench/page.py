"""How quick the page is in a real browser: `python -m bench.page [-o bench/results/page.json]`.

Needs Chromium and `.[test]`. It starts a service of its own, localizes a drawn clip, and plants a result of two
hours (some hundred segments, 11,250 snippets) beside a job, as if a video of that length had been localized.
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

import numpy as np

from docs.tools.drawn_clip import draw_clip
from sentiloc.model.package import load_package
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Curve, ModelIdentity, Result, SegmentOptions, make_curve
from sentiloc.model.results.sound import VALUES_PER_SNIPPET, Sound
from sentiloc.model.segments import FrameScores, VideoInfo
from sentiloc.model.spec import SNIPPET_FRAMES
from tests.page.browsing import Visit, chromium
from tests.service.running import RunningService

TWO_HOURS = 7200.0
SNIPPET_SECONDS = SNIPPET_FRAMES / 25
VISITS = 7
FRAMES = 300

# Pans by wheel, one step a frame; a message that is posted in a frame arrives after its layout and painting.
PAN = """async (frames) => {
  const timeline = document.querySelector("#timeline");
  const box = timeline.getBoundingClientRect();
  const place = { clientX: box.x + box.width / 2, clientY: box.y + 120, bubbles: true, cancelable: true };
  const wheel = (more) => timeline.dispatchEvent(new WheelEvent("wheel", { ...place, ...more }));
  for (let i = 0; i < 4; i++) wheel({ deltaY: -200, ctrlKey: true });
  const channel = new MessageChannel();
  const [work, gaps] = [[], []];
  let last = 0;
  for (let i = 0; i <= frames; i++) {
    const began = await new Promise((resolve) => requestAnimationFrame(() => resolve(performance.now())));
    const ended = new Promise((resolve) => (channel.port1.onmessage = () => resolve(performance.now())));
    channel.port2.postMessage(0);
    const at = await ended;
    if (i) [work.push(at - began), gaps.push(began - last)];
    last = began;
    wheel({ deltaX: Math.floor(i / 50) % 2 ? -60 : 60, shiftKey: true });
  }
  const sorted = (list) => list.toSorted((a, b) => a - b);
  const at = (list, share) => sorted(list)[Math.floor(share * (list.length - 1))];
  const both = (name, list) => ({ [`${name}_ms_median`]: at(list, 0.5), [`${name}_ms_p95`]: at(list, 0.95) });
  return JSON.stringify({ frames: work.length, ...both("work", work), ...both("frame", gaps) });
}"""


def long_curve(seconds: float) -> Curve:
    """Scores that rise and fall as those of a film do; made by a fixed seed."""
    rng = np.random.default_rng(8)
    count = int(seconds / SNIPPET_SECONDS)
    wave = np.convolve(rng.normal(size=count), np.ones(12) / 12, "same")
    wave *= 2.2 / wave.std()
    positive, negative = 1 / (1 + np.exp(3 - wave)), 1 / (1 + np.exp(3 + wave))
    salient = np.maximum(positive, negative)

    def scores(share: float) -> FrameScores:
        columns = np.stack([negative * share, positive * share, 1 - salient], axis=1)
        return FrameScores(scores=columns.astype(np.float32), saliency=salient.astype(np.float32))

    faces = tuple((rng.random(count) > 0.3).tolist())
    return make_curve(scores(1.0), SNIPPET_SECONDS, faces, {"audio": scores(0.7), "face": scores(0.5)})


def long_sound(seconds: float) -> Sound:
    """A tenth of silence, then speech that comes and goes."""
    rng = np.random.default_rng(9)
    step = SNIPPET_SECONDS / VALUES_PER_SNIPPET
    loudness = (0.35 + 0.65 * rng.random(int(seconds / step))).round(2)
    loudness[: len(loudness) // 10] = 0.0
    return Sound(step=step, loudness=tuple(loudness.tolist()))


def long_result(seconds: float) -> Result:
    """A result of that many seconds, with segments cut by the shipped model's rule."""
    curve, options = long_curve(seconds), SegmentOptions(threshold=0.3)
    calibration = load_package("fsenet-starter", None).calibration
    return Result(
        video=VideoInfo(duration=seconds, fps=25.0, width=640, height=360, has_audio=True),
        faces_seen=sum(curve.face_present),
        segments=cut_segments(curve, seconds, calibration, options),
        curve=curve,
        model=ModelIdentity(name="made-up", version="0", spec_hash="0", device="none"),
        timings={},
        options=options,
        calibration=calibration,
        sound=long_sound(seconds),
    )


def plant_long_result(service: RunningService, job_id: str, seconds: float) -> int:
    """Put it in the place of a finished job's result; returns the number of segments."""
    key = service.record(job_id).result_key
    assert key is not None
    result = long_result(seconds)
    (service.data / key).write_text(json.dumps(result.to_dict()))
    return len(result.segments)


def first_paint(visit: Visit) -> float:
    """Milliseconds until something was to be seen."""
    visit.go().page.wait_for_load_state("networkidle")
    name = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    return float(visit.page.evaluate(name))


def weight(visit: Visit) -> dict[str, int]:
    """Bytes and requests of the first screen."""
    bodies = [visit.context.request.get(url).body() for url in dict.fromkeys(visit.requests)]
    packed = sum(len(gzip.compress(body)) for body in bodies)
    return {"requests": len(bodies), "bytes": sum(map(len, bodies)), "bytes_gzipped": packed}


def measure(service: RunningService, clip: Path) -> dict[str, Any]:
    """All figures."""
    job_id = service.submit(clip)
    service.wait_ended(job_id)
    segments = plant_long_result(service, job_id, TWO_HOURS)
    with chromium() as browser:
        visits = [Visit(browser, service.url) for _ in range(VISITS)]
        paints = [first_paint(visit) for visit in visits]
        size = weight(visits[0])
        for visit in visits[1:]:
            visit.context.close()
        opened = visits[0].open_result(job_id)
        before = opened.main_thread_seconds()
        pan = json.loads(opened.page.evaluate(PAN, FRAMES))
        pan["main_thread_ms_per_frame"] = (opened.main_thread_seconds() - before) / pan["frames"] * 1000
        return {
            "browser": browser.version,
            "machine": {"processors": os.cpu_count(), "load_average": os.getloadavg()[0]},
            "first_contentful_paint_ms": {"median": statistics.median(paints), "all": paints},
            "weight": size,
            "two_hours": {"segments": segments, **pan},
        }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("bench/results/page.json"))
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
    output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
