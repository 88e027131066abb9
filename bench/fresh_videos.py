"""Packages compared on other videos than `bench.starter`'s: other seeds, the same unseen people.

    python -m bench.fresh_videos --data DATA --videos FOLDER [--models MODELS ...]

Each `--models` is a folder of packages that holds a `fsenet-starter` and its extractors (default: the shipped one).
Fourteen composed and fourteen joined MP4s, through the whole pipeline.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import cv2
import numpy as np

from app.settings import Settings
from bench.starter import ROOT, video_lines
from model.calibration import expected_calibration_error
from model.package import shipped_models_dir
from model.starter.compose_video import compose_videos, held_out_cast, held_out_takes, join_videos
from model.starter.timelines import read_statistics
from worker.pipeline import load_pipeline

COUNT = 14
COMPOSED_SEED, JOINED_SEED = 107, 108


def make(data: Path, videos: Path) -> None:
    """Write the videos that are not there yet."""
    statistics = read_statistics(data / "tsl300" / "videosenti_gt.json")
    compose_videos(videos / "composed", held_out_cast(data), statistics, count=COUNT, seed=COMPOSED_SEED)
    join_videos(videos / "joined", held_out_takes(data / "javanese_av"), count=COUNT, seed=JOINED_SEED)


def measure(models: Path, videos: Path) -> dict[str, float]:
    """All figures of one package, by what they say; the last is the calibration error over both kinds."""
    pipeline = load_pipeline(Settings(models_dir=models))
    rows: dict[str, float] = {}
    graded: list[tuple[float, bool]] = []
    for kind in ("composed", "joined"):
        lines, more = video_lines(pipeline, videos / kind, kind, 0)
        rows.update({line.what: round(line.value, 1) for line in lines})
        graded += more
    confidence, right = np.array(graded, np.float64).T
    rows["ECE"] = round(expected_calibration_error(confidence, right), 3)
    return rows


def main() -> None:
    """Measure each package, print, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--videos", type=Path, required=True, help="folder for the MP4s")
    parser.add_argument("--models", type=Path, nargs="+", default=[shipped_models_dir()])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    cv2.setNumThreads(1)
    make(arguments.data, arguments.videos)
    found = {folder.name: measure(folder, arguments.videos) for folder in arguments.models}
    text = json.dumps(found, indent=1)
    print(text)
    (ROOT / "bench" / "results" / "fresh_videos.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
