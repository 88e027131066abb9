"""Hundreds of jobs in one worker: its memory, its open files, and the files that remain after retention.

    python -m tests.proofs.soak [--jobs 500] [--keep 60] [--work runs/soak]

The worker's child is not replaced during the run. Every fifth video is broken. After the last job the
command waits until retention (`SENTILOC_KEEP_*_SECONDS`) has taken files and records away.
"""

from __future__ import annotations

import argparse
import struct
import time
from collections import Counter
from pathlib import Path

import numpy as np

from sentiloc.app.housekeeping.ownership import MARKER_KEY
from tests.proofs.faults.rig import PATIENCE_SECONDS, Row, clip, running, save
from tests.service.running import RunningService
from tests.service.test_uploads import memory

_AHEAD = 5
_WARM_UP = 0.2


def soak(service: RunningService, videos: list[Path], jobs: int) -> Row:
    """Keep a few jobs queued, wait for each, and measure the child after it."""
    child = service.worker_child()
    waiting: list[str] = []
    states: Counter[str] = Counter()
    resident, files = [], []
    started = time.monotonic()
    for index in range(jobs + _AHEAD):
        if index < jobs:
            waiting.append(service.submit(_unseen(service, videos[index % len(videos)], index)))
        if index >= _AHEAD:
            states[service.wait_ended(waiting.pop(0), PATIENCE_SECONDS)["state"]] += 1
            resident.append(memory(child))
            files.append(len(list(Path(f"/proc/{child}/fd").iterdir())))
    warm = np.array(resident[int(jobs * _WARM_UP) :], float)
    slope = float(np.polyfit(np.arange(len(warm)), warm, 1)[0]) * 100 / (1 << 20) if len(warm) > 2 else 0.0
    return {
        "jobs": jobs,
        "states": dict(states),
        "seconds": round(time.monotonic() - started),
        "worker_mb": {"first": resident[0] >> 20, "warm": int(warm[0]) >> 20, "last": resident[-1] >> 20},
        "slope_mb_per_100_jobs": round(slope, 2),
        "open_files": {"first": files[0], "last": files[-1]},
        "same_child": service.worker_child() == child,
    }


def _unseen(service: RunningService, video: Path, index: int) -> Path:
    """The video with a unique unused box, so that its features are not cached."""
    path = service.folder / "unseen.mp4"
    path.write_bytes(video.read_bytes() + struct.pack(">I4sQ", 16, b"free", index))
    return path


def left(service: RunningService) -> Row:
    """Remaining files and records."""
    redis = service.store().redis
    return {
        "uploads": len(list((service.data / "uploads").glob("*"))),
        "results": sum(path.name != Path(MARKER_KEY).name for path in (service.data / "results").iterdir()),
        "records": sum(1 for _ in redis.scan_iter("sentiloc:job:*")),
        "event_streams": sum(1 for _ in redis.scan_iter("sentiloc:events:*")),
    }


def await_empty(service: RunningService, seconds: float) -> Row:
    """Wait until nothing is left, with a time limit."""
    deadline = time.monotonic() + seconds
    while any(left(service).values()) and time.monotonic() < deadline:
        time.sleep(1)
    return left(service)


def main() -> None:
    """Soak, wait for retention, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--keep", type=int, default=60, help="seconds for which files and records are kept")
    parser.add_argument("--work", type=Path, default=Path("runs") / "soak")
    args = parser.parse_args()
    broken = args.work / "clips" / "broken.mp4"
    good = [clip(args.work, f"{n}.mp4", 0.4 + 0.3 * n, size=(64, 48)) for n in range(4)]
    broken.write_bytes(good[0].read_bytes()[:1500])
    settings = dict.fromkeys(
        ("keep_uploads_seconds", "keep_results_seconds", "keep_records_seconds"), args.keep
    )
    with running(args.work, "service", worker_max_jobs=10_000, **settings) as service:
        row = soak(service, [*good, broken], args.jobs)
        row["left_after_retention"] = await_empty(service, args.keep + PATIENCE_SECONDS)
    flat = abs(row["slope_mb_per_100_jobs"]) < 2.0
    row["passed"] = flat and row["same_child"] and not any(row["left_after_retention"].values())
    save("soak", f"python -m tests.proofs.soak --jobs {args.jobs} --keep {args.keep}", row)


if __name__ == "__main__":
    main()
