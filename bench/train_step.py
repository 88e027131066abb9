"""One training step of FSENet and of a 91-million-parameter transformer: seconds and memory per video.

    python -m bench.train_step [--videos 16] [--time 390] [--threads 2] [--repeats 3]

Both networks run on random features: forward pass, losses, backward pass and optimiser step. Each has its own process,
because peak memory is measured per process. The table also gives CPU seconds, because wall time depends on other load.
FSENet's losses have no parameters, so training adds nothing to the served graph; both parameter counts are printed.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.harness import benchmark_parser, save
from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.fsenet.batching import Batch, collate
from sentiloc.model.fsenet.losses import LossConfig, total_loss
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.fsenet.recipes import TrainConfig, build_optimizer
from sentiloc.model.segments import SnippetFeatures

RESULTS = Path(__file__).parent / "results" / "train_step.json"
NETWORKS = ("fsenet-log-mel", "fsenet-embedded", "transformer-91M")


class ReferenceTransformer(nn.Module):
    """A plain transformer encoder of the predecessor's size (91 M parameters), for comparison."""

    def __init__(self, config: FSENetConfig, width: int = 1024, layers: int = 7) -> None:
        super().__init__()
        inputs = (config.visual_dim or 0) + (config.audio_shape or (0,))[0] + (config.face_dim or 0)
        self.project = nn.Linear(inputs, width)
        # 72 more than the usual four times the width: that makes 91 million parameters.
        block = nn.TransformerEncoderLayer(width, 16, 4 * width + 72, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.classify = nn.Linear(width, config.classes + 1)

    def forward(self, visual: Tensor, audio: Tensor, face: Tensor) -> Tensor:
        """visual (B, T, 1024), audio (B, T, 512), face (B, T, 256) -> scores (B, T, C + 1)."""
        encoded = self.encoder(self.project(torch.cat([visual, audio, face], dim=-1)))
        return torch.sigmoid(self.classify(encoded))


def random_items(videos: int, length: int, config: FSENetConfig) -> list[Item]:
    """Videos of T snippets of noise with five points and segments each."""
    rng = np.random.default_rng(0)
    present = np.ones(length, bool)
    items = []
    for index in range(videos):
        features = SnippetFeatures(
            visual=rng.standard_normal((length, config.visual_dim or 0), np.float32),
            audio=rng.standard_normal((length, *(config.audio_shape or ())), np.float32),
            face=rng.standard_normal((length, config.face_dim or 0), np.float32),
            visual_present=present,
            audio_present=present,
            face_present=rng.random(length) > 0.1,
        )
        middles = [(place + 1) * length // 6 for place in range(5)]
        points = tuple(PointLabel(middle, (index + middle) % 2) for middle in middles)
        segments = tuple(SegmentLabel(step * 0.64 - 3, step * 0.64 + 3, label) for step, label in points)
        items.append(Item(name=f"{index}", features=features, fps=25.0, points=points, segments=segments))
    return items


def measure(name: str, videos: int, length: int, threads: int, repeats: int) -> dict[str, Any]:
    """Best of several repeats: wall and CPU seconds per video of a step and of a forward pass; peak memory."""
    torch.set_num_threads(threads)
    config = FSENetConfig(audio_shape=(32, 60) if name == "fsenet-log-mel" else (512,))
    batch = collate(random_items(videos, length, config), config, "point")
    network: nn.Module = ReferenceTransformer(config) if name == "transformer-91M" else FSENet(config)
    optimizer = build_optimizer(network, TrainConfig())
    loss = _reference_loss if name == "transformer-91M" else _fsenet_loss

    def forward() -> Tensor:
        return loss(network, batch)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(forward())
        optimizer.step()

    def forward_only() -> None:
        with torch.inference_mode():
            forward()

    # Not timed: the first step allocates memory.
    step()
    wall, cpu = _best(step, repeats)
    forward_wall, forward_cpu = _best(forward_only, repeats)
    return {
        "network": name,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "step_seconds_per_video": wall / videos,
        "step_cpu_seconds_per_video": cpu / videos,
        "forward_seconds_per_video": forward_wall / videos,
        "forward_cpu_seconds_per_video": forward_cpu / videos,
        "peak_memory_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _fsenet_loss(network: nn.Module, batch: Batch) -> Tensor:
    return total_loss(network(**batch.inputs()), batch.labels, batch.valid, LossConfig()).total


def _reference_loss(network: nn.Module, batch: Batch) -> Tensor:
    scores: Tensor = network(**batch.streams)
    return nn.functional.binary_cross_entropy(scores[..., :-1], batch.labels.points.float())


def _best(action: Callable[[], None], repeats: int) -> tuple[float, float]:
    timings = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        timings.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(timings)


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--reference-videos", type=int, default=4, help="batch of the large network")
    parser.add_argument("--time", type=int, default=390)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name in NETWORKS:
        videos = options.reference_videos if name == "transformer-91M" else options.videos
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            arguments = (name, videos, options.time, options.threads, options.repeats)
            rows.append(pool.apply(measure, arguments) | {"videos": videos})
    reference = rows[-1]
    print(f"{'network':<18}{'params':>9}{'s/video':>9}{'forward':>9}{'CPU s':>8}{'MiB':>7}{'speed-up':>10}")
    for row in rows:
        row["speed_up"] = reference["step_cpu_seconds_per_video"] / row["step_cpu_seconds_per_video"]
        print(
            f"{row['network']:<18}{row['parameters'] / 1e6:>8.1f}M{row['step_seconds_per_video']:>9.3f}"
            f"{row['forward_seconds_per_video']:>9.3f}{row['step_cpu_seconds_per_video']:>8.3f}"
            f"{row['peak_memory_MiB']:>7.0f}{row['speed_up']:>9.1f}x"
        )
    settings = {"time": options.time, "threads": options.threads, "repeats": options.repeats}
    save(options.out, {**settings, "rows": rows})


if __name__ == "__main__":
    main()
