"""FSENet as served, compared with a 91-million-parameter transformer in PyTorch; and its time by length of the video.

    python -m bench.localizer [--threads 2] [--repeats 5] [--folder FOLDER]

The package has the full spec (pictures, log-mel, faces), random weights and random features of one video. Both networks
run alternately in the same process with the same threads; the table gives medians. Long videos go through the served
`Localizer`, in windows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.harness import benchmark_parser, save
from bench.random_models import NAME, make_models
from bench.train_step import ReferenceTransformer
from sentiloc.model.fsenet.network import FSENetConfig
from sentiloc.model.package import load_package
from sentiloc.model.segments import SnippetFeatures
from sentiloc.worker.pipelines.localizer import Localizer
from sentiloc.worker.runtime.onnx_session import create_session

RESULTS = Path(__file__).parent / "results" / "localizer.json"
SHORT, MIDDLE, LONG = 390, 1_100, 11_000


def features(length: int) -> SnippetFeatures:
    """Random features of `length` snippets, with every stream present."""
    rng, present = np.random.default_rng(0), np.ones(length, np.bool_)
    return SnippetFeatures(
        visual=rng.standard_normal((length, 1024), np.float32),
        audio=rng.standard_normal((length, 32, 60), np.float32),
        face=rng.standard_normal((length, 256), np.float32),
        visual_present=present,
        audio_present=present,
        face_present=present,
    )


def reference(length: int) -> Callable[[], object]:
    """A forward pass of the transformer on audio embeddings, so the spectrogram does not count."""
    network = ReferenceTransformer(FSENetConfig(audio_shape=(512,))).eval()
    inputs = [torch.randn(1, length, dim) for dim in (1024, 512, 256)]

    def forward() -> object:
        with torch.inference_mode():
            return network(*inputs)

    return forward


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Median wall and processor seconds of each call; the calls alternate, after one warm-up round."""
    rounds = [{name: timed(call) for name, call in calls.items()} for _ in range(repeats + 1)][1:]
    return {
        name: {"wall": median(r[name][0] for r in rounds), "cpu": median(r[name][1] for r in rounds)}
        for name in calls
    }


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    models, _ = make_models(options.clips)
    package = load_package(NAME, models)
    localizer = Localizer(package, create_session(package.network, "cpu", options.threads))
    inputs = {length: features(length) for length in (SHORT, MIDDLE, LONG)}
    calls: dict[str, Callable[[], object]] = {
        f"FSENet, ONNX, T={length}": partial(localizer.score, given) for length, given in inputs.items()
    }
    calls[f"transformer 91M, PyTorch, T={SHORT}"] = reference(SHORT)
    rows = interleaved(calls, options.repeats)
    ours, middle, long, theirs = rows.values()
    ratios: dict[str, Any] = {
        kind: {"faster": theirs[kind] / ours[kind], "long_to_middle": long[kind] / middle[kind]}
        for kind in ("wall", "cpu")
    }
    for name, row in rows.items():
        print(f"{name:34}{row['wall']:9.3f} s{row['cpu']:9.3f} CPU s")
    print(json.dumps(ratios))
    settings = {"threads": options.threads, "repeats": options.repeats}
    save(options.out, {**settings, "rows": rows, "ratios": ratios})


if __name__ == "__main__":
    main()
