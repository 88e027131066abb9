"""The cost of a lower precision of the visual network: mAP on a synthetic task, and changes of real videos' segments.

    python -m experiments.precision --work FOLDER [--device openvino] [--precision int8] [--seeds 3]
                              [--calibrate VIDEO ... --videos VIDEO ...]

I3D has random weights. Its batch norms are fitted to drawn snippets, so that features vary between snippets and
activations have the spread of a trained network's. A small FSENet (as in simulated_tsl300, full supervision) sees
pictures alone, so no other stream can compensate. It is trained on float32 features of the synthetic task
(precision_world.py) and tested on shots that were used neither for training nor for the quantization ranges. The test
features are float32; the other precision; the other precision with its error multiplied by 2, 4, 8 and 16; and features
of the wrong snippets, which shows the chance level. With `--calibrate` and `--videos` the first seed's network also
runs through the real pipeline on `--videos`, with an 8-bit I3D that is calibrated on `--calibrate`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

from bench.random_models import make_lively_i3d
from experiments.precision_world import (
    STEP,
    Bank,
    Floats,
    Snippets,
    draw_shot,
    only_pictures,
    shot_classes,
    string_videos,
)
from experiments.simulated_tsl300 import PROTOCOL
from sentiloc.model.data.items import Item
from sentiloc.model.evaluation.metrics import evaluate_detections
from sentiloc.model.fsenet.export import export_onnx
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.fsenet.scoring import detect, ground_truth, score_items
from sentiloc.model.fsenet.train import split_items, train
from sentiloc.model.proposals.rule import select_segments
from sentiloc.model.segments import FrameScores, Segment
from sentiloc.model.spec import ModelSpec
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.features.visual import VisualExtractor
from sentiloc.worker.precision.effect import feature_effect
from sentiloc.worker.precision.precision import compare, load_both, segment_effect
from sentiloc.worker.precision.quantize import quantize, sample_snippets
from sentiloc.worker.runtime.cpu import available_cpus
from sentiloc.worker.runtime.device import Device, Precision
from sentiloc.worker.runtime.onnx_session import create_session

RESULTS = Path(__file__).parent / "results" / "precision.json"
SHOTS = {"calibration": 16, "train": 96, "test": 96}
VIDEOS = {"train": 60, "test": 40}
# The error is also multiplied by these factors, to show at which size it would begin to matter.
TIMES = (2, 4, 8, 16)
RECIPE = replace(
    PROTOCOL,
    network=replace(PROTOCOL.network, audio_shape=None, face_dim=None),
    loss=replace(PROTOCOL.loss, supervision="full", base="paper"),
    epochs=16,
)
NAME = "planted"
Row = dict[str, Any]


def shots(part: str) -> list[Snippets]:
    """The drawn shots of a part. Parts do not share shots."""
    seed = list(SHOTS).index(part)
    return [
        draw_shot(shown, np.random.default_rng((seed, index)))
        for index, shown in enumerate(shot_classes(SHOTS[part]))
    ]


def graph(work: Path, precision: Precision, source: Path) -> Path:
    """The I3D of a precision; int8 is a quantized copy of `source`, calibrated on its own shots."""
    if precision != "int8":
        return source
    target = work / "i3d-rgb-int8.onnx"
    quantize(source, target, [shot[1] for shot in shots("calibration")])
    return target


def see(extractor: VisualExtractor, drawn: Sequence[Snippets]) -> Floats:
    """Features (shots, snippets, dim) of shots."""
    return np.stack([extractor.extract(list(shot)) for shot in drawn])


def visual_features(work: Path, device: Device, precision: Precision, threads: int) -> dict[str, Floats]:
    """Features of training shots (float32) and test shots (both precisions); float32 is cached in `work`."""
    source = make_lively_i3d(work / "i3d-rgb.onnx", [shot[1] for shot in shots("calibration")[:8]])
    kept, test = work / f"features-{device}.npz", shots("test")
    if not kept.exists():
        exact = VisualExtractor(create_session(source, device, threads))
        np.savez(kept, train=see(exact, shots("train")), test=see(exact, test))
    session = create_session(graph(work, precision, source), device, threads, precision)
    return {**np.load(kept), "other": see(VisualExtractor(session), test)}


def mean_map(scores: dict[str, FrameScores], items: Sequence[Item]) -> Row:
    """Average mAP@0.1:0.3 with the benchmark's rule."""
    found = evaluate_detections(ground_truth(items), detect(scores, items))
    return {"average_mAP": found.average_map, "mAP": found.mean_ap}


def changed(before: dict[str, FrameScores], after: dict[str, FrameScores]) -> Row:
    """Differences of scores, and of segments at a threshold of 0.5."""
    moved = np.concatenate([np.abs(before[name].scores - after[name].scores) for name in before])
    effect = segment_effect([(_segments(before[name]), _segments(after[name])) for name in before])
    return {"score_largest": float(moved.max()), "score_mean": float(moved.mean()), **effect.to_dict()}


def _segments(scores: FrameScores) -> list[Segment]:
    return select_segments(scores, STEP, threshold=0.5)


def run_seed(seed: int, visual: dict[str, Floats]) -> tuple[FSENet, list[Row]]:
    """Train on float32 features; test on every kind of test features."""
    config = replace(RECIPE, seed=seed)
    items = string_videos(Bank(visual["train"], shot_classes(SHOTS["train"])), VIDEOS["train"], 2 * seed)
    network = train(config, *split_items(items, config.val_fraction, seed), device="cpu").network
    rows, exact = list[Row](), dict[str, FrameScores]()
    for name, test in test_sets(visual, 2 * seed + 1).items():
        scores = score_items(network, test)
        exact = exact or scores
        rows.append({"features": name, "seed": seed, **mean_map(scores, test), **changed(exact, scores)})
    return network, rows


def test_sets(visual: dict[str, Floats], seed: int) -> dict[str, list[Item]]:
    """The test videos by kind of features, float32 first."""
    error, classes = visual["other"] - visual["test"], shot_classes(SHOTS["test"])
    kinds = {"float32": 0, "other": 1, **{f"error x {times}": times for times in TIMES}}
    found = {
        name: string_videos(Bank(visual["test"] + np.float32(times) * error, classes), VIDEOS["test"], seed)
        for name, times in kinds.items()
    }
    rng = np.random.default_rng(seed)
    wrong = [
        replace(item, features=only_pictures(rng.permutation(np.asarray(item.features.visual))))
        for item in found["float32"]
    ]
    return {**found, "wrong moments": wrong}


def on_videos(work: Path, network: FSENet, options: argparse.Namespace) -> Row:
    """Run the real pipeline in both precisions on videos that were not used for calibration."""
    spec = ModelSpec(name=NAME, version="0.0.0", audio=None, face=None)
    package, cache = work / "models" / NAME, work / "real"
    package.mkdir(parents=True, exist_ok=True)
    cache.mkdir(exist_ok=True)
    export_onnx(network, spec, package / "fsenet.onnx")
    write_package(package, spec)
    (cache / "i3d-rgb.onnx").write_bytes((work / "i3d-rgb.onnx").read_bytes())
    os.environ["SENTILOC_CACHE_DIR"] = str(cache)
    config = RuntimeConfig(models_dir=package.parent, device=options.device, threads=options.threads)
    if options.precision == "int8":
        snippets = sample_snippets(options.calibrate, config.decode_limits)
        quantize(cache / "i3d-rgb.onnx", cache / "i3d-rgb-int8.onnx", snippets, options.calibrate)
    return compare(*load_both(config, NAME, options.precision), options.videos).to_dict()


def write_package(folder: Path, spec: ModelSpec) -> None:
    """Write a package whose calibration is the identity."""
    (folder / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    (folder / "calibration.json").write_text("{}", encoding="utf-8")


def table(rows: Sequence[Row]) -> list[str]:
    """Mean ± sample deviation of the mAP over seeds, and of its paired difference to float32."""
    exact = {row["seed"]: row["average_mAP"] for row in rows if row["features"] == "float32"}
    lines = []
    for name in dict.fromkeys(row["features"] for row in rows):
        values = [row["average_mAP"] for row in rows if row["features"] == name]
        lost = [row["average_mAP"] - exact[row["seed"]] for row in rows if row["features"] == name]
        spread = stdev(values) if len(values) > 1 else 0.0
        lines.append(f"{name:12} mAP {mean(values):.3f} ± {spread:.3f}, to float32 {mean(lost):+.4f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for networks and features")
    parser.add_argument("--device", default="openvino")
    parser.add_argument("--precision", choices=("int8", "bfloat16", "float16"), default="int8")
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calibrate", type=Path, nargs="+", default=[])
    parser.add_argument("--videos", type=Path, nargs="+", default=[])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    visual = visual_features(options.work, options.device, options.precision, options.threads)
    flat = [visual[name].reshape(-1, visual[name].shape[-1]) for name in ("test", "other")]
    report: Row = {"device": options.device, "precision": options.precision, "rows": []}
    report["features"] = asdict(feature_effect(flat[0], flat[1]))
    print(report["features"], flush=True)
    for seed in range(options.seeds):
        network, rows = run_seed(seed, visual)
        report["rows"] += rows
        print("\n".join(table(report["rows"])), flush=True)
        if not seed and options.videos:
            report["videos"] = on_videos(options.work, network, options)
            print(report["videos"], flush=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
