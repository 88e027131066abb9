"""Jobs with a time range: how much is decoded, and how far their scores differ from those of the whole video.

    python -m bench.time_range --videos FOLDER [-o FILE]

Scores: features of the FOLDER's longest clips are joined three times in different orders; 40 parts of 4 to 60 snippets
are scored with different amounts of context. Decoding: a drawn video of ten minutes, and one minute of it.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from bench.clips import make_clip
from bench.harness import benchmark_parser, save
from sentiloc.model.package import load_package
from sentiloc.model.segments import SnippetFeatures
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, EndOfMedia, decode
from sentiloc.worker.extraction.extraction import WHOLE, Extraction, Part
from sentiloc.worker.pipelines.sentiment import CONTEXT, SentimentPipeline, load_sentiment_pipeline

RESULTS = Path(__file__).parent / "results" / "time_range.json"
CONTEXTS = (0, 32, 64, 128, CONTEXT, 256)
STREAMS = ("visual", "audio", "face")
FIELDS = (*STREAMS, *(f"{stream}_present" for stream in STREAMS))


def longest(folder: Path, count: int) -> list[Path]:
    """The clips that can be opened, by their declared length."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            with av.open(str(path)) as container:
                found.append((container.duration or 0, path))
        except (OSError, ValueError):
            continue
    return [path for _, path in sorted(found, reverse=True)[:count]]


def strung(pipeline: SentimentPipeline, clips: list[Path]) -> Extraction:
    """Join the features of many videos into those of one."""
    single = [pipeline.extractor.extract(path, lambda *_: None) for path in clips]
    order, parts = random.Random(3), list[SnippetFeatures]()
    for _ in range(3):
        parts += [one.features for one in single]
        order.shuffle(single)
    rows: dict[str, Any] = {
        name: None
        if getattr(parts[0], name) is None
        else np.concatenate([getattr(one, name) for one in parts])
        for name in FIELDS
    }
    return replace(single[0], features=SnippetFeatures(**rows))


def cut(whole: SnippetFeatures, inside: slice) -> SnippetFeatures:
    """The features of some snippets."""
    rows: dict[str, Any] = {
        name: None if getattr(whole, name) is None else getattr(whole, name)[inside] for name in FIELDS
    }
    return SnippetFeatures(**rows)


def differences(pipeline: SentimentPipeline, video: Extraction) -> list[dict[str, float]]:
    """Differences of the scores inside parts, by context."""
    total, draw = len(video.features), np.random.default_rng(1)
    whole = pipeline.localizer.score(video.features).scores
    parts = [
        (start, start + int(draw.integers(4, 60))) for start in draw.integers(0, total - 60, 40).tolist()
    ]
    rows = []
    for context in CONTEXTS:
        found = []
        for start, end in parts:
            first = max(0, start - context)
            features = cut(video.features, slice(first, end + context))
            scores = pipeline.localizer.score(features).scores
            found.append(np.abs(scores[start - first : end - first] - whole[start:end]))
        rows.append(
            {
                "context_snippets": context,
                "greatest": round(max(float(one.max()) for one in found), 4),
                "mean": round(float(np.mean([one.mean() for one in found])), 4),
            }
        )
    return rows


def decoding() -> dict[str, Any]:
    """Frames and seconds of decoding the whole video, and a minute with its context."""
    step, limits = 0.64, DecodeLimits(threads=1)
    parts = {"whole": WHOLE, "minute": Part(int(300 / step) - CONTEXT, int(360 / step) + CONTEXT)}
    parts["minute_alone"] = Part(int(300 / step), int(360 / step))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = make_clip(Path(folder), "h264", 360, 600.0)
        for name, part in parts.items():
            request = DecodeRequest(
                face_samples=(4, 12), audio_rate=16_000, first_snippet=part.first, end_snippet=part.end
            )
            began = time.monotonic()
            for event in decode(path, request, limits):
                if isinstance(event, EndOfMedia):
                    found[name] = {"frames": event.frames, "seconds": round(time.monotonic() - began, 2)}
    return found


def main() -> None:
    """Measure, print, write."""
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--videos", type=Path, required=True, help="folder of real clips")
    arguments = parser.parse_args()
    pipeline = load_sentiment_pipeline(load_package("fsenet-starter"), RuntimeConfig())
    video = strung(pipeline, longest(arguments.videos, 14))
    result = {
        "snippets": len(video.features),
        "scores": differences(pipeline, video),
        "decoding_ten_minutes": decoding(),
    }
    print(json.dumps(result, indent=2))
    save(arguments.out, result)


if __name__ == "__main__":
    main()
