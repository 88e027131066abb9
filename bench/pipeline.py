"""Seconds, memory and real-time factor of jobs in a real service, compared with bare decoding and the published recipe.

    python -m bench.pipeline [--specs starter i3d fsenet-i3d] [--heights 360 720 1080] [--codecs h264 hevc]
                             [--seconds 10 60]
                             [--device cpu] [--precision float32 int8] [--repeats 3] [--recipe] [--clips FOLDER]
                             [--video FILE ...]

Each case alternates a job through `sentiloc serve` (feature cache off) and `ffmpeg -i x -f null -`; the table gives
medians. `wall` is from the upload's first byte to the fetched result; `cpu` is the processor time of all processes of
the service. The I3D spec runs with random weights, in each `--precision` (int8 is calibrated on drawn shots that are
not in the clips). fsenet-i3d is the shipped package with its fetched weights. `--recipe` adds the published recipe on
the first clip of each spec. On a busy machine only ratios of processor seconds are reliable.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, get_args

from bench.clips import make_clip
from bench.harness import ROOT, Service, benchmark_parser, environment, save
from sentiloc.model.weights import cache_dir
from sentiloc.worker.runtime.cpu import available_cpus
from sentiloc.worker.runtime.device import Precision

RESULTS = Path(__file__).parent / "results" / "pipeline.json"
Row = dict[str, Any]


def one_job(service: Service, video: Path) -> Row:
    """One upload to its result."""
    service.tree.forget()
    before, start = service.tree.cpu_seconds(), time.perf_counter()
    result = service.wait(service.submit(video))
    wall, cpu = time.perf_counter() - start, service.tree.cpu_seconds() - before
    stages = {f"stage {name}": seconds for name, seconds in result["timings"].items()}
    numbers = {"wall": wall, "cpu": cpu, "peak_mib": service.tree.peak_mib, **stages}
    return {"video_seconds": result["video"]["duration"], "device": result["model"]["device"], **numbers}


def bare_decode(video: Path, threads: int) -> Row:
    """`ffmpeg -i x -f null -` with the same number of threads."""
    before, start = os.times(), time.perf_counter()
    words = ["ffmpeg", "-v", "error", "-threads", str(threads), "-i", str(video), "-f", "null", "-"]
    subprocess.run(words, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": time.perf_counter() - start, "cpu": cpu}


def recipe(video: Path, with_i3d: bool, threads: int) -> Row:
    """The published recipe in its own process: seconds of its stages, and their sums."""
    words = [sys.executable, "-m", "bench.recipe", str(video), "--threads", str(threads)]
    done = subprocess.run(
        [*words, *(["--i3d"] if with_i3d else [])],
        env=environment(),
        check=True,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    stages = json.loads(done.stdout)
    return {"stages": stages, **{kind: sum(s[kind] for s in stages.values()) for kind in ("wall", "cpu")}}


def medians(rows: list[Row]) -> Row:
    """The median of every number; other values are those of the first row."""
    first = rows[0]
    return {k: median(r[k] for r in rows) if isinstance(v, int | float) else v for k, v in first.items()}


def measure(service: Service, video: Path, repeats: int, threads: int) -> Row:
    """Jobs and bare decodes in turn."""
    jobs, bares = [], []
    # In turn, so that other load on the machine meets both alike.
    for _ in range(repeats):
        bares.append(bare_decode(video, threads))
        jobs.append(one_job(service, video))
    job, bare = medians(jobs), medians(bares)
    ratios = {f"to_bare_{kind}": job[kind] / bare[kind] for kind in ("wall", "cpu")}
    return {**job, "bare": bare, **ratios, "real_time_factor": job["video_seconds"] / job["wall"]}


def videos(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Names and paths of the cases, short and small first."""
    if options.video:
        return [(path.name, path) for path in options.video]
    cases = [(s, h, c) for s in options.seconds for h in options.heights for c in options.codecs]
    return [(f"{c} {h}p {s:g} s", make_clip(options.clips, c, h, s)) for s, h, c in cases]


def run_spec(spec: str, options: argparse.Namespace, report: dict[str, Any]) -> None:
    """All cases of one spec in each of its precisions; every row is written at once."""
    cases = videos(options)
    if options.recipe:
        name, video = cases[0]
        row = recipe(video, spec != "starter", options.threads)
        report["recipe"].append({"spec": spec, "case": name, **row})
    for precision in ["float32"] if spec == "starter" else options.precision:
        with tempfile.TemporaryDirectory() as folder:
            settings = service_settings(spec, precision, options)
            with Service(Path(folder), **settings) as service:
                # The first job also loads the models.
                one_job(service, cases[0][1])
                for name, video in cases:
                    row = measure(service, video, options.repeats, options.threads)
                    report["rows"].append({"spec": spec, "precision": precision, "case": name, **row})
                    print(line(report["rows"][-1]), flush=True)
                    save(options.out, report)


def service_settings(spec: str, precision: str, options: argparse.Namespace) -> dict[str, object]:
    """The service's settings. Networks of the I3D spec are made if they do not exist."""
    settings: dict[str, object] = {
        "device": options.device,
        "threads": options.threads,
        "feature_cache_bytes": 0,
        **({"face_looks": options.face_looks} if options.face_looks else {}),
        "visual_stride": options.visual_stride,
        "visual_by_shots": options.visual_by_shots,
    }
    if spec == "i3d":
        from bench.random_models import NAME, make_models

        models, cache = make_models(options.clips, with_int8=precision == "int8")
        settings |= {"models_dir": models, "cache_dir": cache, "model": NAME, "precision": precision}
    elif spec != "starter":
        settings |= {"cache_dir": cache_dir(), "model": spec, "precision": precision}
    return settings


def line(row: Row) -> str:
    """One line of the table."""
    times = f"{row['wall']:8.1f} s{row['cpu']:8.1f} CPU s{row['real_time_factor']:8.1f}x"
    ratios = f"{row['to_bare_wall']:7.2f} of bare wall{row['to_bare_cpu']:6.2f} of bare CPU"
    return f"{row['spec']:8}{row['precision']:9}{row['case']:18}{times}{ratios}{row['peak_mib']:7.0f} MiB"


def compare_with_recipe(report: dict[str, Any]) -> None:
    """Print how many times faster the service was on the recipe's clip, by precision."""
    for row in report["recipe"]:
        ours = [r for r in report["rows"] if (r["spec"], r["case"]) == (row["spec"], row["case"])]
        kinds = ("wall", "cpu")
        row["faster"] = {one["precision"]: {kind: row[kind] / one[kind] for kind in kinds} for one in ours}
        print(
            f"{row['spec']:8}{row['case']:18} recipe {row['wall']:.1f} s, {row['cpu']:.1f} CPU s: {row['faster']}"
        )


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--specs", nargs="+", choices=("starter", "i3d", "fsenet-i3d"), default=["starter"])
    parser.add_argument("--heights", type=int, nargs="+", default=[720])
    parser.add_argument("--codecs", nargs="+", choices=("h264", "hevc"), default=["h264"])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 60])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", choices=get_args(Precision), default=["float32"])
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--face-looks", type=int, help="SENTILOC_FACE_LOOKS of the service")
    parser.add_argument("--visual-stride", type=int, default=1, help="SENTILOC_VISUAL_STRIDE of the service")
    parser.add_argument(
        "--visual-by-shots", action="store_true", help="SENTILOC_VISUAL_BY_SHOTS of the service"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--recipe", action="store_true")
    parser.add_argument("--video", type=Path, nargs="+", help="measure these files instead of drawn ones")
    options = parser.parse_args()
    settings = {name: getattr(options, name) for name in ("device", "precision", "threads", "repeats")}
    report: dict[str, Any] = {**settings, "rows": [], "recipe": []}
    for spec in options.specs:
        run_spec(spec, options, report)
    compare_with_recipe(report)
    save(options.out, report)


if __name__ == "__main__":
    main()
