"""Compare packages on new videos: other seeds than `experiments.starter` uses, the same unseen people.

    python -m experiments.fresh_videos --data DATA --videos FOLDER [--models MODELS ...]

Each `--models` is a folder of packages that holds a `fsenet-starter` and its extractors (default: the shipped one).
Fourteen composed and fourteen joined MP4s, through the whole pipeline.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import cv2

from experiments.starter import RESULTS, calibration_error, make_videos, video_lines
from sentiloc.model.package import load_package, shipped_models_dir
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.pipelines.sentiment import load_sentiment_pipeline

COUNT = 14
# Not those of `experiments.starter`, on which packages were compared before.
COMPOSED_SEED, JOINED_SEED = 107, 108


def measure(models: Path, videos: Path) -> dict[str, float]:
    """All metrics of one package by name; the last is the calibration error over both kinds of video."""
    pipeline = load_sentiment_pipeline(load_package("fsenet-starter", models), RuntimeConfig())
    rows: dict[str, float] = {}
    graded: list[tuple[float, bool]] = []
    for kind in ("composed", "joined"):
        lines, more = video_lines(pipeline, videos / kind, kind, 0)
        rows.update({line.what: round(line.value, 1) for line in lines})
        graded += more
    rows["ECE"] = round(calibration_error(graded), 3)
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
    make_videos(
        arguments.data, arguments.videos, composed=(COUNT, COMPOSED_SEED), joined=(COUNT, JOINED_SEED)
    )
    found = {folder.name: measure(folder, arguments.videos) for folder in arguments.models}
    text = json.dumps(found, indent=1)
    print(text)
    (RESULTS / "fresh_videos.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
