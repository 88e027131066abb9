"""A cut of three real videos, read and rendered by other programs: `python -m tests.proofs.reels VIDEO VIDEO VIDEO`.

The highlights of the videos are written as MLT, FCP7 XML and a reel. `melt` renders the first, OpenTimelineIO reads the
second, FFmpeg's own `ffprobe` measures the third. The proof fails unless all show the same cuts to within a frame.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import opentimelineio as oti
from numpy.typing import NDArray

import sentiloc
from sentiloc.app.cuts import CUT_FORMATS
from sentiloc.app.cuts.sequence import Clip, GivenClip, GivenSource, SequenceOptions, make_sequence
from sentiloc.app.cuts.sequence import Sequence as CutSequence
from sentiloc.app.reels.plan import ReelLook, make_plan
from sentiloc.model.highlights.highlights import HighlightOptions, find_highlights
from sentiloc.model.highlights.moments import Footage, MomentOptions
from sentiloc.model.results.result import Result
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, SnippetFrames, decode
from sentiloc.worker.reels.render import render_reel

RESULTS = Path(__file__).parent / "results" / "reels.json"
SIDE = 96
NEARBY, COMPARED = 2, 24
MELT_SECONDS, MELT_TRIES = 90, 5
Picture = NDArray[np.float32]


def main() -> int:
    """Exit status: 0 if every reader agrees to within a frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--best", type=int, default=10)
    parser.add_argument("--min-confidence", type=float, default=0.2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = prove([path.resolve() for path in asked.videos], Path(name), asked.best, asked.min_confidence)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{json.dumps(found['summary'], indent=2)}\n")
    return 0 if found["summary"]["same_cuts_within_a_frame"] else 1


def prove(videos: Sequence[Path], folder: Path, best: int, min_confidence: float) -> dict[str, Any]:
    """Cut, let other programs read and render the cut, and compare."""
    sequence, seconds = cut(videos, best, min_confidence)
    project, timeline = folder / "best.mlt", folder / "best.xml"
    project.write_bytes(CUT_FORMATS["mlt"].write(sequence).data)
    timeline.write_bytes(CUT_FORMATS["fcp7"].write(sequence).data)
    by_otio = read_fcp7(timeline)
    by_melt = read_melt(project, sequence, folder)
    ours = [(clip.source.name, clip.first, clip.frames) for clip in sequence.clips]
    off = [
        max(abs(a[1] - o[1]), abs(a[2] - o[2]), abs(a[1] - m[1]), abs(a[2] - m[2]))
        for a, o, m in zip(ours, by_otio, by_melt, strict=True)
    ]
    reel = render(sequence, folder / "best.mp4")
    is_right = reel["frames_by_ffprobe"] == reel["frames_planned"]
    return {
        "summary": {
            "videos": [path.name for path in videos],
            "clips": len(ours),
            "most_frames_off": max(off),
            "same_cuts_within_a_frame": max(off) <= 1 and is_right,
            "reel_frames_off": abs(reel["frames_by_ffprobe"] - reel["frames_planned"]),
            "seconds_to_localize": seconds,
            "melt": version("melt", "-version"),
            "opentimelineio": oti.__version__,
        },
        "rate": str(sequence.base.rate),
        "clips": [
            {"video": a[0], "first": a[1], "frames": a[2], "otio": list(o[1:]), "melt": list(m[1:])}
            for a, o, m in zip(ours, by_otio, by_melt, strict=True)
        ],
        "reel": reel,
    }


def cut(videos: Sequence[Path], best: int, min_confidence: float) -> tuple[CutSequence, float]:
    """The highlights of some videos as a sequence, and the seconds of model time."""
    began = time.monotonic()
    model = sentiloc.load_model("fsenet-starter", config=RuntimeConfig(threads=1))
    footage = []
    for path in videos:
        result = model.localize(path).document
        assert isinstance(result, Result)
        footage.append(Footage(id=str(path), name=path.name, result=result))
    seconds = round(time.monotonic() - began, 1)
    options = HighlightOptions(count=best, moments=MomentOptions(min_confidence=min_confidence))
    chosen = find_highlights(footage, options)
    clips = [
        GivenClip(
            source_id=one.footage.id,
            start=one.cut.start,
            end=one.cut.end,
            label=one.moment.kind,
            confidence=one.moment.confidence,
        )
        for one in chosen
    ]
    sources = [
        GivenSource(id=one.id, name=one.name, video=one.result.video, folder=str(Path(one.id).parent))
        for one in footage
    ]
    return make_sequence(clips, sources, SequenceOptions(title="Best of three")), seconds


def read_fcp7(path: Path) -> list[tuple[str, int, int]]:
    """Each clip's file, first frame and length on the timeline, as OpenTimelineIO reads FCP7 XML."""
    read = oti.adapters.read_from_file(str(path), "fcp_xml")
    track = read.video_tracks()[0]
    found = []
    for clip in track:
        begins = clip.source_range.start_time - clip.media_reference.available_range.start_time
        length = track.range_of_child(clip).duration.rescaled_to(read.global_start_time.rate)
        found.append((clip.media_reference.name or clip.name, round(begins.value), round(length.value)))
    return found


def read_melt(project: Path, sequence: CutSequence, folder: Path) -> list[tuple[str, int, int]]:
    """Each clip's file, first frame and length, found by comparing what `melt` rendered with the sources."""
    output = folder / "melt.mkv"
    render_by_melt(project, output)
    rate = float(sequence.base.rate)
    rendered = pictures(output, rate, 0, None)
    found = []
    for clip in sequence.clips:
        count = min(COMPARED, clip.frames)
        head = shift(rendered, clip, rate, 0, count)
        tail = shift(rendered, clip, rate, clip.frames - count, count)
        found.append((clip.source.name, clip.first + head, clip.frames + tail - head))
    return found


def render_by_melt(project: Path, output: Path) -> None:
    """Render with `melt`. On a busy machine `melt` sometimes hangs; then it is restarted."""
    command = ["melt", str(project), "-consumer", f"avformat:{output}", "vcodec=ffv1", "an=1", "real_time=-1"]
    for left in reversed(range(MELT_TRIES)):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=MELT_SECONDS)
            return
        except subprocess.TimeoutExpired:
            if not left:
                raise


def shift(rendered: list[Picture], clip: Clip, rate: float, begins: int, count: int) -> int:
    """The number of source frames by which `count` rendered pictures of a clip are late.

    It is the shift with the smallest difference of the pictures, or 0 if the pictures do not move enough.
    """
    own = float(clip.source.base.rate)
    wanted = [clip.first + round((begins + step) * own / rate) for step in range(count)]
    low = max(0, wanted[0] - NEARBY)
    around = pictures(Path(clip.source.path), own, low, wanted[-1] + NEARBY + 1)
    shown = rendered[clip.start + begins : clip.start + begins + count]
    differences = {}
    for by in sorted(range(-NEARBY, NEARBY + 1), key=abs):
        places = [min(max(frame + by - low, 0), len(around) - 1) for frame in wanted]
        pairs = zip(shown, (around[place] for place in places), strict=False)
        differences[by] = float(np.mean([np.abs(a - b).mean() for a, b in pairs]))
    best = min(differences, key=lambda by: differences[by])
    return best if differences[best] < 0.97 * differences[0] else 0


def pictures(path: Path, rate: float, first: int, end: int | None) -> list[Picture]:
    """Grey pictures of a fixed size, cropped to the area that both renderings show."""
    request = DecodeRequest(
        frame_rate=rate,
        snippet_frames=1,
        face_samples=(0,),
        face_max_side=480,
        first_snippet=first,
        end_snippet=end,
    )
    found = []
    for event in decode(path, request, DecodeLimits()):
        if isinstance(event, SnippetFrames):
            grey = cv2.cvtColor(event.faces[0], cv2.COLOR_RGB2GRAY)
            small = cv2.resize(bars_off(grey), (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
            # Renderers differ in brightness and contrast, not in what is shown.
            found.append((small - small.mean()) / (small.std() + 1.0))
    return found


def bars_off(grey: NDArray[Any]) -> NDArray[Any]:
    """The middle half of the picture, which no letterbox of these shapes covers."""
    rows, columns = grey.shape
    return grey[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]


def render(sequence: CutSequence, path: Path) -> dict[str, Any]:
    """Render our own reel and measure it with ffprobe."""
    plan = make_plan(
        sequence, {source.id: source.id for source in sequence.sources}, ReelLook(captions=True, max_side=640)
    )
    began = time.monotonic()
    render_reel(plan, path, DecodeLimits(threads=1), lambda _stage, _done: None)
    seconds = time.monotonic() - began
    probe = shutil.which("ffprobe")
    assert probe is not None
    asked = ["-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames,duration"]
    answer = subprocess.run(
        [probe, "-v", "error", *asked, "-of", "json", str(path)], check=True, capture_output=True
    )
    (stream,) = json.loads(answer.stdout)["streams"]
    return {
        "frames_planned": plan.frames,
        "frames_by_ffprobe": int(stream["nb_read_frames"]),
        "seconds_planned": round(plan.seconds, 3),
        "seconds_by_ffprobe": float(stream["duration"]),
        "seconds_to_render": round(seconds, 1),
        "overlaps": list(plan.overlaps),
        "size": [plan.width, plan.height],
        "bytes": path.stat().st_size,
        "clips": [asdict(clip)["frames"] for clip in plan.clips],
    }


def version(command: str, option: str) -> str:
    """The first line of a program's version output."""
    done = subprocess.run([command, option], capture_output=True, text=True, check=False)
    return next(iter((done.stdout + done.stderr).strip().splitlines()), "")


if __name__ == "__main__":
    sys.exit(main())
