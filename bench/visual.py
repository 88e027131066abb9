"""Seconds per snippet of I3D with random weights, by device and precision; and the differences to float32.

    python -m bench.visual [--repeats 3] [--threads 2]

Runs every device and precision that this installation and processor support, and PyTorch, on drawn snippets: first
pairs of snippets, then batches of 1, 2, 4 and 8 with bound buffers. Needs `sentiloc weights pull i3d`, and for int8
`sentiloc weights quantize VIDEO...` (or the random weights of `bench.random_models`, by SENTILOC_CACHE_DIR).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from bench.drawn_shots import draw_shot
from bench.harness import benchmark_parser, save
from bench.random_models import as_clips
from sentiloc.model.errors import SentilocError
from sentiloc.model.extractors.i3d import I3D
from sentiloc.model.weights import require_i3d
from sentiloc.worker.features.visual import Memory, VisualExtractor
from sentiloc.worker.precision.effect import feature_effect
from sentiloc.worker.runtime.device import GPUS, Device, Precision
from sentiloc.worker.runtime.onnx_session import create_session

RESULTS = Path(__file__).parent / "results" / "visual.json"
SNIPPETS, BATCHES = 2, (1, 2, 4, 8)
Snippet = NDArray[np.uint8]
Extract = Callable[[list[Snippet]], NDArray[np.float32]]


def in_torch(snippets: list[Snippet]) -> NDArray[np.float32]:
    """Seconds per snippet of PyTorch in float32. Its weights differ, so features are not compared."""
    with torch.inference_mode():
        return np.asarray(I3D().eval()(as_clips(snippets)).numpy(), np.float32)


def runnable(threads: int) -> dict[str, Extract]:
    """What can run here, by name."""
    found: dict[str, Extract] = {"pytorch float32": in_torch}
    for device in get_args(Device):
        for precision in get_args(Precision):
            try:
                session = create_session(require_i3d(precision), device, threads, precision)
            except SentilocError as error:
                print(f"left out: {device} {precision}: {error.detail}")
                continue
            found[f"{device} {precision}"] = VisualExtractor(session).extract
            memory: Memory = "cuda" if device in GPUS else "cpu"
            for size in BATCHES:
                extractor = VisualExtractor(session, size, memory)
                found[f"{device} {precision}, batch {size}"] = extractor.extract
    return found


def timed(extract: Extract, snippets: list[Snippet]) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Features, and wall and processor seconds per snippet."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = extract(snippets)
    return found, ((time.perf_counter() - wall) / len(snippets), (time.process_time() - cpu) / len(snippets))


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    snippets = [draw_shot(index % 3, np.random.default_rng((9, index)))[0] for index in range(max(BATCHES))]
    rounds: dict[str, list[tuple[float, float]]] = {}
    outputs: dict[str, NDArray[np.float32]] = {}
    extractors = runnable(options.threads)
    for turn in range(options.repeats + 1):
        for name, extract in extractors.items():
            given = snippets if "batch" in name else snippets[:SNIPPETS]
            outputs[name], spent = timed(extract, given)
            # The first turn loads kernels and allocates memory.
            if turn:
                rounds.setdefault(name, []).append(spent)
    reference = next(outputs[name] for name in outputs if name in {"cpu float32", "openvino float32"})
    rows: dict[str, dict[str, Any]] = {}
    for name, times in rounds.items():
        error = feature_effect(reference, outputs[name][:SNIPPETS]).largest
        rows[name] = {
            "wall": median(pair[0] for pair in times),
            "cpu": median(pair[1] for pair in times),
            "error": None if name.startswith("pytorch") else error,
        }
        print(f"{name:28}", rows[name])
    save(options.out, {"threads": options.threads, "rows": rows})


if __name__ == "__main__":
    main()
