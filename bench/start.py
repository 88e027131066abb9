"""Cold start of `sentiloc localize` on a two-second clip; and a second upload of the same video.

python -m bench.start [--repeats 5] [--clips FOLDER]
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.clips import make_clip, make_short_clip
from bench.harness import ROOT, Service, benchmark_parser, command, environment, save

RESULTS = Path(__file__).parent / "results" / "start.json"


def cold_start(video: Path, repeats: int) -> dict[str, float]:
    """Median wall and processor seconds of the command, file caches warm."""
    rows = []
    for _ in range(repeats + 1):
        before, start = os.times(), time.perf_counter()
        words = command("localize", str(video))
        subprocess.run(words, env=environment(), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        rows.append((time.perf_counter() - start, cpu))
    return {"wall": median(row[0] for row in rows[1:]), "cpu": median(row[1] for row in rows[1:])}


def second_upload(video: Path, folder: Path) -> dict[str, Any]:
    """A video twice through one service, after a warm-up: wall and processor seconds of both."""
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
    options = parser.parse_args()
    video = make_clip(options.clips, "h264", 720, options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        small = make_short_clip(Path(folder) / "small.mp4", 360, 2.0)
        report = {
            "cold_start": cold_start(small, options.repeats),
            "second_upload": second_upload(video, Path(folder) / "service"),
        }
    print(json.dumps(report, indent=1))
    save(options.out, report)


if __name__ == "__main__":
    main()
