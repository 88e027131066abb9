"""The effect of a stride of the visual network on fsenet-i3d, calculated from features of every snippet.

    python -m experiments.visual_stride --data DIR --videos DIR --features DIR [--joined 40] [--strides 2 3 4 6]
        [--device openvino]

Features of the MP4s of `experiments.starter` are extracted once, into `--features`. For each stride, the features of
snippets that would not be read are interpolated as in `worker/extraction/visual_run.py`. The second row of a stride
also reads the first snippet that begins after each cut that the decoder found.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from experiments.starter import (
    COMPOSED,
    COMPOSED_SEED,
    JOINED,
    JOINED_SEED,
    add_package_options,
    ignore,
    make_videos,
    open_package,
    result_lines,
)
from recipes.starter.compose_video import read_truth
from sentiloc.model.segments import FloatArray
from sentiloc.worker.extraction.array_cache import cache_key
from sentiloc.worker.extraction.extraction import Extraction
from sentiloc.worker.extraction.visual_run import between
from sentiloc.worker.pipelines.sentiment import SentimentPipeline

PACKAGE = "fsenet-i3d"
KINDS = {"composed": "composed MP4s", "joined": "joined MP4s, unseen actors"}


def read_places(total: int, stride: int, beginnings: frozenset[int]) -> list[int]:
    """The snippets of `total` that are read: every `stride`-th one, counted from each of `beginnings`."""
    places: list[int] = []
    for index in range(total):
        if not places or index in beginnings or index - places[-1] >= stride:
            places.append(index)
    return places


def with_stride(features: FloatArray, places: Sequence[int], beginnings: frozenset[int]) -> FloatArray:
    """Features (T, dim) of which only the rows `places` were read."""
    changed = np.array(features)
    for place, after in zip(places, [*places[1:], len(features)], strict=True):
        stays = after == len(features) or after in beginnings
        target = features[place] if stays else features[after]
        changed[place + 1 : after] = between(features[place], target, after - place - 1)
    return changed


def extracted(pipeline: SentimentPipeline, path: Path) -> Extraction:
    """The features of a video, from the cache; they are extracted if they are not there."""
    assert pipeline.cache is not None
    key = cache_key(path, pipeline.extractor.identity)
    found = pipeline.cache.load(key)
    if found is None:
        pipeline.localize(path, ignore)
        found = pipeline.cache.load(key)
    assert found is not None
    return found


def shares(
    pipeline: SentimentPipeline, videos: Mapping[str, Extraction], stride: int, *, by_shots: bool
) -> tuple[dict[str, Extraction], float]:
    """The extractions with a stride, and the share of the snippets that is read."""
    changed, read, total = {}, 0, 0
    step = pipeline.package.spec.snippet_seconds
    for name, video in videos.items():
        features = np.asarray(video.features.visual)
        firsts = {math.ceil(round(cut / step, 6)) for cut in video.shots} if by_shots else set()
        places = read_places(len(features), stride, frozenset(firsts))
        visual = with_stride(features, places, frozenset(firsts))
        changed[name] = replace(video, features=replace(video.features, visual=visual))
        read, total = read + len(places), total + len(features)
    return changed, read / total


def main() -> None:
    """Print a table: mAP, mAP of shown segments, and time labelled right, in per cent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--videos", type=Path, required=True, help="folder for the evaluation MP4s")
    parser.add_argument("--joined", type=int, default=JOINED, help="number of joined MP4s")
    parser.add_argument("--strides", type=int, nargs="+", default=[2, 3, 4, 6])
    add_package_options(parser)
    parser.set_defaults(model=PACKAGE)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    pipeline = open_package(arguments)
    make_videos(
        arguments.data,
        arguments.videos,
        composed=(COMPOSED, COMPOSED_SEED),
        joined=(arguments.joined, JOINED_SEED),
    )
    for kind, what in KINDS.items():
        folder = arguments.videos / kind
        truth = read_truth(folder)
        videos = {name: extracted(pipeline, folder / name) for name in truth}
        for stride, by_shots in [(1, False), *((n, way) for n in arguments.strides for way in (False, True))]:
            changed, share = shares(pipeline, videos, stride, by_shots=by_shots)
            results = {
                name: pipeline.localize_features(one, pipeline.default_options)
                for name, one in changed.items()
            }
            values = [line.value for line in result_lines(truth, results, what, 0)]
            way = " and the first of each shot" if by_shots else ""
            print(
                f"{what}, one snippet of {stride}{way}: {share:.0%} read, mAP {values[0]:.1f}, "
                f"of shown segments {values[1]:.1f}, time right {values[2]:.1f}, neutral marked {values[3]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
