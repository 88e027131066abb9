"""FSENet and I3D on a GPU: snippets a second, share of the card's matrix throughput, memory, and the cores it needs.

    python -m bench.gpu [--device cuda] [--batches 1 4 16 64] [--budget 420] [--out FILE]
    python -m bench.gpu --device cpu --batches 1 --size 512        (dry run: the same code on the processor)

The weights are random, which does not change the speed. PyTorch and ONNX Runtime (CUDA, and TensorRT if it is
installed) run in float32, float16 and bfloat16. Then a drawn video is decoded to snippets of frames on the processor
and, if PyAV and the driver support it, by NVDEC. Configurations that do not run are listed with the reason; nothing
falls back to another device. Rows that would begin after `--budget` seconds are listed as left out. Needs PyTorch and
onnxruntime-gpu.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.clips import make_clip
from bench.gpu_report import Report, Run, synchronized
from bench.harness import benchmark_parser, save
from bench.random_models import NAME, make_i3d, make_package
from sentiloc.model.errors import SentilocError
from sentiloc.model.extractors.i3d import I3D
from sentiloc.model.fsenet.export import example_inputs
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import DecodeRequest, SnippetFrames, decode
from sentiloc.worker.runtime.onnx_session import create_session

RESULTS = Path(__file__).parent / "results" / "gpu.json"
TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SIDE = 224


def matrix_flops(device: str, kind: torch.dtype, size: int, repeats: int) -> float:
    """Floating point operations a second of a square matrix product."""
    left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    run = synchronized(device, lambda: left @ right)
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 2.0 * size**3 / median(seconds)


def count_flops(network: torch.nn.Module, inputs: list[torch.Tensor]) -> float:
    """Floating point operations of one forward pass."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return float(counter.get_total_flops())


def in_torch(
    report: Report, options: argparse.Namespace, name: str, network: torch.nn.Module, inputs: Any, per: int
) -> float:
    """Rows of a network in PyTorch; `inputs(batch)` makes its inputs, `per` snippets each. Returns FLOP a snippet."""
    flops = count_flops(network.eval(), inputs(1)) / per
    for kind, dtype in TYPES.items():
        peak = report.content["matrix_flops"].get(kind)
        for batch in options.batches:

            def prepare(dtype: torch.dtype = dtype, batch: int = batch) -> Run:
                network.to(options.device, dtype)
                given = [
                    one.to(options.device, dtype if one.is_floating_point() else None)
                    for one in inputs(batch)
                ]
                return synchronized(options.device, lambda: network(*given))

            report.measure(f"{name} PyTorch {kind} batch {batch}", batch * per, flops, peak, prepare)
    network.to("cpu", torch.float32)
    return flops


def in_onnx(
    report: Report, options: argparse.Namespace, name: str, path: Path, feed: Any, per: int, flops: float
) -> None:
    """Rows of a graph in ONNX Runtime; `feed(batch)` makes its inputs."""
    plans = [
        ("cuda", "float32"),
        ("cuda", "float16"),
        ("cuda", "bfloat16"),
        ("tensorrt", "float32"),
        ("tensorrt", "float16"),
    ]
    for device, kind in plans if options.device == "cuda" else [("cpu", "float32"), ("cpu", "float16")]:
        what = f"{name} ONNX Runtime {device} {kind}"
        try:
            session = open_graph(path, device, kind)
        except (SentilocError, ImportError, ValueError, RuntimeError) as error:
            report.leave_out(what, error)
            continue
        peak = report.content["matrix_flops"].get(kind)
        for batch in options.batches:
            given = feed(batch)
            report.measure(
                f"{what} batch {batch}",
                batch * per,
                flops,
                peak,
                partial(runs, session, given),
            )


def runs(session: ort.InferenceSession, given: dict[str, Any]) -> Run:
    """A function that runs a session on given inputs."""
    return lambda: session.run(None, given)


def open_graph(path: Path, device: Any, kind: Any) -> ort.InferenceSession:
    """A session that runs on `device` alone. Raises SentilocError or ValueError if that is impossible."""
    if kind == "bfloat16":
        raise ValueError("ONNX Runtime has no bfloat16 kernels for these convolutions")
    if kind == "float32" or device == "tensorrt":
        return create_session(path, device, None, kind)
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = path.with_name(f"{path.stem}-float16.onnx")
    if not half.exists():
        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), half)
    return create_session(half, device)


def networks(report: Report, options: argparse.Namespace) -> None:
    """FSENet on videos of `--length` snippets, and I3D."""
    if "fsenet" in options.networks:
        config, length = FSENetConfig(), options.length
        fsenet = FSENet(config)
        graph = make_package(options.clips / "models") / NAME / "fsenet.onnx"
        flops = in_torch(
            report, options, "FSENet", fsenet, lambda n: example_inputs(config, n, length), length
        )
        names = [
            one.name for one in ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).get_inputs()
        ]

        def feed(batch: int) -> dict[str, Any]:
            return dict(
                zip(names, (one.numpy() for one in example_inputs(config, batch, length)), strict=True)
            )

        in_onnx(report, options, "FSENet", graph, feed, length, flops)
    if "i3d" in options.networks:
        flops = in_torch(
            report, options, "I3D", I3D(), lambda n: [torch.rand(n, 3, 16, SIDE, SIDE) * 2 - 1], 1
        )
        rng = np.random.default_rng(0)

        def frames(batch: int) -> dict[str, Any]:
            return {"frames": rng.integers(0, 255, (batch, 16, SIDE, SIDE, 3), np.uint8)}

        in_onnx(report, options, "I3D", make_i3d(options.clips / "cache") / "i3d-rgb.onnx", frames, 1, flops)


def end_to_end(report: Report, options: argparse.Namespace) -> None:
    """Decoding speed compared with the network's best rate: how many cores keep the card busy."""
    clip = make_clip(options.clips, "h264", 720, 10)
    best = max(
        (r["snippets_a_second"] for r in report.content["rows"] if r["what"].startswith("I3D")), default=None
    )
    for what, snippets in (("decoded on the processor", on_processor), ("decoded by NVDEC", by_nvdec)):
        if report.is_late(what):
            return
        try:
            wall, cpu, count = spent(partial(snippets, clip, options.device))
        except Exception as error:
            report.leave_out(what, error)
            continue
        row = {"what": what, "snippets_a_second": count / wall, "cpu_seconds_a_snippet": cpu / count}
        row["cores_for_one_card"] = None if best is None else best * cpu / count
        report.content["end_to_end"].append(row)
        cores = "" if best is None else f", {row['cores_for_one_card']:.1f} cores keep the network busy"
        print(
            f"{what:48}{count / wall:12.1f} snippets/s, {1000 * cpu / count:.1f} CPU ms each{cores}",
            flush=True,
        )


def spent(work: Callable[[], int]) -> tuple[float, float, int]:
    """Wall seconds, processor seconds of this process and its children, and the return value of `work`."""
    before, start = os.times(), time.perf_counter()
    count = work()
    after, wall = os.times(), time.perf_counter() - start
    return wall, sum(after[:4]) - sum(before[:4]), max(1, count)


def on_processor(clip: Path, _device: str) -> int:
    """The number of snippets from the sandboxed decoder."""
    limits = RuntimeConfig().decode_limits
    with closing(decode(clip, DecodeRequest(visual_size=SIDE), limits)) as events:
        return sum(isinstance(event, SnippetFrames) for event in events)


def by_nvdec(clip: Path, device: str) -> int:
    """The number of snippets that NVDEC decodes and the processor scales. Raises if the card cannot decode them."""
    import av
    from av.codec.hwaccel import HWAccel

    if device != "cuda":
        raise RuntimeError("a dry run has no NVDEC")
    accelerator = HWAccel("cuda", allow_software_fallback=False)
    count = 0
    with av.open(str(clip), hwaccel=accelerator) as container:
        for frame in scaled(container):
            count += frame.shape[0] == SIDE
    return count // 16


def scaled(container: Any) -> Iterator[Any]:
    """Each frame as (224, 224, 3)."""
    for frame in container.decode(video=0):
        yield frame.reformat(SIDE, SIDE, "rgb24").to_ndarray()


def refuse_fallback(device: str) -> None:
    """Exit if the requested card is missing, because the measurements would be those of the processor."""
    if device != "cuda":
        return
    if not torch.cuda.is_available():
        sys.exit("bench.gpu: PyTorch sees no CUDA device; --device cpu makes a dry run")
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        sys.exit("bench.gpu: this ONNX Runtime has no CUDA: pip install 'onnxruntime-gpu[cuda,cudnn]'")


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--networks", nargs="+", choices=("fsenet", "i3d"), default=["fsenet", "i3d"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--length", type=int, default=390, help="snippets of a video for FSENet")
    parser.add_argument(
        "--size", type=int, default=8192, help="side of the square matrices of the reference product"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=float, default=420, help="seconds after which no row begins")
    options = parser.parse_args(arguments)
    refuse_fallback(options.device)
    report = Report(options)
    for kind, dtype in TYPES.items():
        report.content["matrix_flops"][kind] = matrix_flops(
            options.device, dtype, options.size, options.repeats
        )
        print(
            f"matrix product {kind:33}{report.content['matrix_flops'][kind] / 1e12:12.2f} TFLOP/s", flush=True
        )
    networks(report, options)
    end_to_end(report, options)
    save(options.out, report.content)


if __name__ == "__main__":
    main()
