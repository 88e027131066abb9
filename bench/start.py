"""Cold start of `sentiloc localize` on a short clip, compared with its imports; a warm model; a repeated upload.

python -m bench.start [--repeats 5] [--clips FOLDER]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.clips import make_clip, make_short_clip
from bench.harness import ROOT, Service, benchmark_parser, command, environment, save

RESULTS = Path(__file__).parent / "results" / "start.json"


Row = tuple[float, float]
BARE = "import onnxruntime, av, cv2"
WARM = """
import json, os, sys, time, sentiloc
from bench.harness import Tree
model, tree, rows = sentiloc.load_model(threads=2), Tree(os.getpid()), []
for _ in range(int(sys.argv[2]) + 1):
    start, cpu = time.perf_counter(), tree.cpu_seconds()
    model.localize(sys.argv[1])
    rows.append((time.perf_counter() - start, tree.cpu_seconds() - cpu))
print(json.dumps(rows[1:]))
"""


def cold_start(video: Path, repeats: int) -> dict[str, Any]:
    """Medians of the command and of the imports alone, alternating, with warm file caches; and their ratio."""
    bare, ours = [], []
    for _ in range(repeats + 1):
        bare.append(_timed([sys.executable, "-c", BARE]))
        ours.append(_timed(command("localize", str(video))))
    found = {"bare": _medians(bare[1:]), "localize": _medians(ours[1:])}
    ratio = {kind: found["localize"][kind] / found["bare"][kind] for kind in ("wall", "cpu")}
    return {**found, "ratio": ratio}


def warm_job(video: Path, repeats: int) -> dict[str, float]:
    """Medians of one model that localizes the same video repeatedly."""
    words = [sys.executable, "-c", WARM, str(video), str(repeats)]
    done = subprocess.run(words, env=environment(), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return _medians([(wall, cpu) for wall, cpu in json.loads(done.stdout)])


def _timed(words: list[str]) -> Row:
    """Wall and processor seconds of a command."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        words, env=environment(), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu


def _medians(rows: list[Row]) -> dict[str, float]:
    return {"wall": median(row[0] for row in rows), "cpu": median(row[1] for row in rows)}


def second_upload(video: Path, folder: Path) -> dict[str, Any]:
    """Upload a video twice to one service after a warm-up; returns wall and processor seconds of both."""
    rows: list[dict[str, float]] = []
    with Service(folder) as service:
        service.wait(service.submit(make_clip(video.parent, "h264", 144, 10)))
        for _ in range(2):
            before, start = service.tree.cpu_seconds(), time.perf_counter()
            service.wait(service.submit(video))
            wall = time.perf_counter() - start
            rows.append({"wall": wall, "cpu": service.tree.cpu_seconds() - before})
    share = {kind: rows[1][kind] / rows[0][kind] for kind in ("wall", "cpu")}
    return {"video": video.name, "first": rows[0], "second": rows[1], "share": share}


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=60, help="length of the video that is uploaded twice"
    )
    parser.add_argument("--start-only", action="store_true", help="without the video that is uploaded twice")
    options = parser.parse_args()
    video = make_clip(options.clips, "h264", 720, 10 if options.start_only else options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        small = make_short_clip(Path(folder) / "small.mp4", 360, 2.0)
        report: dict[str, Any] = {
            "cold_start": cold_start(small, options.repeats),
            "warm_job": warm_job(small, 2 * options.repeats),
        }
        if not options.start_only:
            report["second_upload"] = second_upload(video, Path(folder) / "service")
    print(json.dumps(report, indent=1))
    save(options.out, report)


if __name__ == "__main__":
    main()
