"""A two-hour video: the position of events in exports of a variable-rate video, and the drift of sound.

    python -m tests.proofs.two_hours [--seconds 7200]

Pictures: a video with random time stamps (a phone's 30 fps with jitter and lost frames) flashes at twenty known times.
The service's decoder reads it, the flashes become segments, and every export is rendered and read back by the readers
of `tests.proofs.formats`. Sound: a broadcast stream has clicks at known times, and its layout switches between 2.0 and
5.1 every 0.6 s. The drift is the spread of the distances between decoded and written clicks.
"""

from __future__ import annotations

import argparse
import random
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from sentiloc.app.formats import FORMATS
from sentiloc.app.formats.timeline import make_timeline
from sentiloc.model.segments import Segment, VideoInfo
from sentiloc.worker.decoder.decode import (
    AudioChunk,
    DecodeLimits,
    DecodeRequest,
    EndOfMedia,
    SnippetFrames,
    decode,
)
from tests.proofs.faults.rig import Row, save
from tests.proofs.formats import READERS
from tests.support.broadcast import click_times, make_broadcast

EVENTS = 20
FLASH_SNIPPETS = 2
SNIPPET = 0.64
TICKS = 90_000
AUDIO_RATE = 16_000
SWITCH_EVERY = 20
SIDE = 48
LABELS = ("positive", "negative")
LIMITS = DecodeLimits(threads=1)


def event_times(seconds: float) -> list[float]:
    """Twenty times on the snippet grid, the last one three snippets before the end."""
    last = int(seconds / SNIPPET) - 3
    return [round(number * last / EVENTS) * SNIPPET for number in range(1, EVENTS + 1)]


def stamps(seconds: float, events: list[float]) -> list[float]:
    """Random stamps around 30 fps: jitter of 4 ms, one frame in fifty lost, and one frame at each edge of a flash."""
    rng = random.Random(0)
    drawn = [
        index / 30 + rng.uniform(-0.004, 0.004) for index in range(1, int(seconds * 30)) if rng.randrange(50)
    ]
    edges = [edge for start in events for edge in (start, start + FLASH_SNIPPETS * SNIPPET)]
    ordered = sorted([0.0, *drawn, *edges])
    fixed = set(edges)
    close = {min(a, b, key=lambda t: t in fixed) for a, b in pairwise(ordered) if b - a < 0.012}
    return [stamp for stamp in ordered if stamp not in close]


def draw(path: Path, seconds: float) -> list[float]:
    """Write the video; returns the times of the flashes."""
    events = event_times(seconds)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, SIDE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.options = {"preset": "ultrafast", "g": "60", "bf": "0"}
        for stamp in stamps(seconds, events):
            bright = any(start <= stamp < start + FLASH_SNIPPETS * SNIPPET for start in events)
            picture = np.full((SIDE, 64, 3), 235 if bright else 16, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(stamp * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return events


def flashes(path: Path) -> tuple[VideoInfo, list[tuple[float, float]]]:
    """The decoder's description of the video, and the times in seconds at which its pictures turn bright and dark."""
    request = DecodeRequest(face_samples=tuple(range(16)), face_max_side=64)
    bright: list[bool] = []
    for event in decode(path, request, LIMITS):
        match event:
            case VideoInfo():
                info = event
            case SnippetFrames():
                bright += [image.mean() > 128 for image in event.faces]
            case EndOfMedia():
                info = event.complete(info)
    turns = np.flatnonzero(np.diff(np.asarray(bright, np.int8))) + 1
    return info, [(a / 25, b / 25) for a, b in turns.reshape(-1, 2).tolist()]


def picture_errors(path: Path, events: list[float]) -> Row:
    """Error of the last and of the worst event, in frames of each format's timeline."""
    info, found = flashes(path)
    segments = [
        Segment(start=start, end=end, label=LABELS[number % 2], confidence=0.9, peak=start)
        for number, (start, end) in enumerate(found)
    ]
    timeline = make_timeline("drawn.mp4", info, segments)
    rate = timeline.base.rate
    rows: Row = {}
    for name, read in READERS.items():
        spans = sorted(read(FORMATS[name].render(timeline), timeline))
        errors = [
            float(abs(span[0] - Fraction(event)) * rate) for span, event in zip(spans, events, strict=True)
        ]
        rows[name] = {"last": round(errors[-1], 3), "worst": round(max(errors), 3)}
    return {
        "timebase": info.timebase,
        "variable_rate": info.variable_rate,
        "average_fps": round(info.fps, 3),
        "events": len(found),
        "frames_off": rows,
    }


def sound_drift(path: Path, clicks: list[float]) -> Row:
    """Spread of decoded minus written click times, in seconds."""
    request = DecodeRequest(face_samples=(0,), face_max_side=64, audio_rate=AUDIO_RATE)
    chunks = [event.samples for event in decode(path, request, LIMITS) if isinstance(event, AudioChunk)]
    heard = click_times(np.concatenate(chunks), AUDIO_RATE)
    offsets = [a - b for a, b in zip(heard, clicks, strict=True)]
    return {
        "clicks": len(clicks),
        "drift_seconds": round(max(offsets) - min(offsets), 4),
        "last_minus_first": round(offsets[-1] - offsets[0], 4),
    }


def measure(folder: Path, seconds: int) -> Row:
    """Both figures for videos of `seconds`."""
    folder.mkdir(parents=True, exist_ok=True)
    video, broadcast = folder / "drawn.mp4", folder / "broadcast.ts"
    events = draw(video, seconds)
    pictures = picture_errors(video, events)
    clicks = make_broadcast(broadcast, every=SWITCH_EVERY, seconds=seconds, fps=5)
    return {"seconds": seconds, "pictures": pictures, "sound": sound_drift(broadcast, clicks)}


def passes(row: Row) -> bool:
    """Every event within one frame in every format; drift below one snippet."""
    errors = row["pictures"]["frames_off"].values()
    return all(error["worst"] <= 1 for error in errors) and row["sound"]["drift_seconds"] < SNIPPET


def main() -> None:
    """Make the videos, measure, save; fail if a figure misses its limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs") / "two_hours")
    parser.add_argument("--seconds", type=int, default=7200)
    args = parser.parse_args()
    row = measure(args.work, args.seconds)
    save("two_hours", "python -m tests.proofs.two_hours", {**row, "passed": passes(row)})
    if not passes(row):
        raise SystemExit(f"missed: {row}")


if __name__ == "__main__":
    main()
