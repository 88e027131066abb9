"""A synthetic result of any length that replaces a finished job's, for tests of a long video's page."""

from __future__ import annotations

import json

import numpy as np

from sentiloc.model.package import load_package
from sentiloc.model.results.cut import cut_segments
from sentiloc.model.results.result import Curve, ModelIdentity, Result, SegmentOptions, make_curve
from sentiloc.model.results.sound import VALUES_PER_SNIPPET, Sound
from sentiloc.model.segments import FrameScores, VideoInfo
from sentiloc.model.spec import SNIPPET_FRAMES
from tests.service.running import RunningService

TWO_HOURS = 7200.0
SNIPPET_SECONDS = SNIPPET_FRAMES / 25

# Pans by wheel, one step a frame; a message that is posted in a frame arrives after the frame's layout and painting.
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
    """Scores that vary like those of a film, with a fixed seed."""
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
    """A tenth of silence, then speech with pauses."""
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
    """Replace a finished job's result by a long one; returns the number of segments."""
    key = service.record(job_id).result_key
    assert key is not None
    result = long_result(seconds)
    (service.data / key).write_text(json.dumps(result.to_dict()), encoding="utf-8")
    return len(result.segments)
