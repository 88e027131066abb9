"""FSENet's ablations on real features: leave-one-actor-out, paired differences with 95 % intervals.

    python -m experiments.real_ablations DATA/javanese_av FEATURES [--rows full,no_pssc] [--seeds 0,1] [--epochs 3]
        [--out FILE] [--only-table] [--validation]

FEATURES is what `sentiloc extract DATA/javanese_av/*.mp4 -o FEATURES --spec SPEC` wrote, where SPEC has all three
streams (`sentiloc weights pull i3d` fetches the Kinetics weights). A run takes about one second an epoch on one thread:
width 32, two heads, 192 training sequences of six actors, 12 test sequences of the seventh
(`experiments/real_sequences.py`).
Each finished run is stored at once and is not repeated. The same seed and actor have the same sequences in every row,
so differences are paired. There is no model selection: the last epoch is scored. `--validation` serves to choose
settings: networks train on five actors and are scored on the next one, and the left-out actor is not used.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from experiments.mean_attention import STAGES, face_matters, without_attention
from experiments.real_sequences import AUDIO_VALUES, Clip, make_sequences, read_clips
from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.diagnostics import attention_entropy
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.fsenet.scoring import evaluate_items
from sentiloc.model.fsenet.train import AS_PRINTED, TrainConfig, train

RESULTS = Path(__file__).parent / "results" / "real_ablations.json"
# The test sequences have a seed of their own, so they are the same for every training seed.
SEQUENCES, TEST_SEQUENCES, TEST_SEED = 192, 12, 1000

NETWORK = FSENetConfig(
    visual_dim=1024,
    audio_shape=(AUDIO_VALUES,),
    face_dim=256,
    width=32,
    heads=2,
    projection_kernel=1,
    centred=True,
    saliency_width=32,
    class_width=16,
)
PROTOCOL = TrainConfig(
    network=NETWORK,
    learning_rate=3e-3,
    weight_decay=1e-3,
    batch_size=8,
    epochs=12,
    schedule="cosine",
    clip=1.0,
    precision="fp32",
)
Change = dict[str, dict[str, Any]]
ROWS: dict[str, Change] = {
    "full": {},
    "no_stage1": {"network": {"stage1": False}},
    "no_stage2": {"network": {"stage2": False}},
    "no_gsp": {"network": {"gsp": False}},
    "no_pssc": {"loss": {"sc": False}},
    "lean": {"network": {"stage2": False}, "loss": {"sc": False}},
    "bspg_none": {"loss": {"pseudo_label": "none"}},
    "audio_visual": {"network": {"face_dim": None}},
    "audio_face": {"network": {"visual_dim": None}},
    "visual_face": {"network": {"audio_shape": None}},
    "video_supervision": {"loss": {"supervision": "video"}},
    "full_supervision": {"loss": {"supervision": "full"}},
    "no_attention": {"network": {"stage1": False, "stage2": False}},
    "plain_adam": {
        "network": {"attention": "plain", "position": "none"},
        "train": {"optimizer": "adam"},
    },
    "no_positions": {"network": {"position": "none"}},
    "pssc_video": {
        "loss": {"prototypes": "video", "negatives": "class", "temperature": 1.0, "disjoint": False}
    },
    "pssc_rest": {"loss": {"prototypes": "video", "negatives": "rest", "temperature": 0.2, "disjoint": True}},
    "pssc_batch_rest": {
        "loss": {"prototypes": "batch", "negatives": "rest", "temperature": 0.2, "disjoint": True}
    },
    "inside_max": {"loss": {"inside": "max"}},
    "inside_step": {"loss": {"inside": "step"}},
    "bspg_threshold": {"loss": {"pseudo_label": "threshold"}},
    "bspg_step": {"loss": {"pseudo_label": "step"}},
    "audio": {"network": {"visual_dim": None, "face_dim": None}},
    "visual": {"network": {"audio_shape": None, "face_dim": None}},
    "face": {"network": {"audio_shape": None, "visual_dim": None}},
    "printed": {
        "network": {"attention": "plain", "position": "none"},
        "loss": {item.name: getattr(AS_PRINTED, item.name) for item in fields(AS_PRINTED)},
        "train": {"optimizer": "adam"},
    },
}


WITH_WORTH = ("full", "lean")
"""Rows that also measure what each stage's attention adds."""


def configure(row: str, seed: int, protocol: TrainConfig = PROTOCOL) -> TrainConfig:
    """The protocol with one row's changes."""
    change = ROWS[row]
    return replace(
        protocol,
        seed=seed,
        network=replace(NETWORK, **change.get("network", {})),
        loss=replace(protocol.loss, **change.get("loss", {})),
        **change.get("train", {}),
    )


def run_row(
    config: TrainConfig, items: Sequence[Item], test: Sequence[Item], *, worth: bool
) -> dict[str, Any]:
    """Train one row and score the left-out actor; with `worth`, also measure what each stage's attention adds."""
    started = time.process_time()
    result = train(config, items, [], device="cpu")
    metrics = evaluate_items(result.network, test)
    found: dict[str, Any] = {
        "mAP": metrics.average_map,
        "recall": float(np.mean(metrics.recall)),
        "F2": float(np.mean(metrics.f2)),
        "sc": result.losses["sc"],
        "entropy": attention_entropy(result.network, test[:6]),
    }
    if worth:
        found |= _worth(result.network, test)
    return found | {"cpu_seconds": round(time.process_time() - started, 2)}


def _worth(network: FSENet, test: Sequence[Item]) -> dict[str, float]:
    """mAP if a stage's attention is replaced by its mean over time, and the effect of a masked face on stage I."""
    found = {"face_changes_stage1": face_matters(network, test[:6])}
    for stage, names in stages_of(network).items():
        with without_attention(network, names):
            found[f"mean_{stage}"] = evaluate_items(network, test).average_map
    return found


def stages_of(network: FSENet) -> dict[str, tuple[str, ...]]:
    """The stages that a network has, and the names of their attentions in it."""
    present = {stage: tuple(n for n in names if n in network.attention) for stage, names in STAGES.items()}
    return {stage: names for stage, names in present.items() if names}


def load_results(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """Load stored runs; exits with an error if the file holds runs of another protocol."""
    if not path.exists():
        return header | {"runs": {}}
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if stored.get("protocol") != json.loads(json.dumps(header["protocol"])):
        raise SystemExit(f"{path.name} holds runs of another protocol: move it away first")
    return stored


def store(path: Path, header: dict[str, Any], key: str, run: dict[str, Any]) -> None:
    """Add a run to the file. Several processes may do so at once, and an interruption leaves a complete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = load_results(path, header)
        results["runs"][key] = run
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)


def paired(results: dict[str, Any], row: str, metric: str = "mAP") -> NDArray[np.float64]:
    """The full network's mAP minus a row's, in points, over the seeds and actors that both have."""
    runs = results["runs"]
    keys = [key.partition("/")[2] for key in runs if key.startswith(f"{row}/")]
    both = [key for key in keys if f"full/{key}" in runs]
    return np.array([100 * (runs[f"full/{key}"]["mAP"] - runs[f"{row}/{key}"][metric]) for key in both])


def worth_of(results: dict[str, Any], row: str, stage: str) -> NDArray[np.float64]:
    """The loss of each of a row's networks if the stage's attention is replaced by its mean over time, in points of
    mAP.
    """
    runs = [run for key, run in sorted(results["runs"].items()) if key.startswith(f"{row}/")]
    return np.array([100 * (run["mAP"] - run[f"mean_{stage}"]) for run in runs if f"mean_{stage}" in run])


def table(results: dict[str, Any]) -> str:
    """One line per row: mAP mean ± sd, the full network's lead with its 95 % interval, attention entropy."""
    lines = [f"{'row':<20}{'mAP':>14}{'full leads by':>24}{'entropy I':>11}{'II':>6}{'runs':>6}"]
    for row in ROWS:
        runs = [run for key, run in results["runs"].items() if key.startswith(f"{row}/")]
        if runs:
            values = 100 * np.array([run["mAP"] for run in runs])
            lead = "" if row == "full" else interval(paired(results, row))
            stages = "".join(
                f"{_entropy(runs, names):>{width}}"
                for names, width in zip(STAGES.values(), (11, 6), strict=True)
            )
            lines.append(
                f"{row:<20}{values.mean():>7.1f} ± {values.std(ddof=1):>4.1f}{lead:>24}{stages}{len(runs):>6}"
            )
    lines += [
        f"{row}, {stage} as a mean over time: loses {interval(lost)} ({lost.size} runs)"
        for row in WITH_WORTH
        for stage in STAGES
        if (lost := worth_of(results, row, stage)).size
    ]
    changes = [run["face_changes_stage1"] for run in results["runs"].values() if "face_changes_stage1" in run]
    lines.append(f"masking the face changes stage I by {100 * float(np.mean(changes)):.0f} % of its size")
    return "\n".join(lines)


def interval(differences: NDArray[np.float64]) -> str:
    """Mean and 95 % interval of paired differences."""
    if differences.size < 2:
        return "-"
    quantile = float(student.ppf(0.975, differences.size - 1))
    half = quantile * differences.std(ddof=1) / differences.size**0.5
    return f"{differences.mean():+.1f} [{differences.mean() - half:+.1f}, {differences.mean() + half:+.1f}]"


def _entropy(runs: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    values = [run["entropy"][name] for run in runs for name in names if name in run["entropy"]]
    return f"{np.mean(values):.2f}" if values else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of javanese_av")
    parser.add_argument("features", type=Path, help="folder that `sentiloc extract` wrote")
    parser.add_argument("--rows", default=",".join(ROWS), help="rows to run, in this order")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--epochs", type=int, default=PROTOCOL.epochs, help="with another --out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only-table", action="store_true", help="print the stored runs' table")
    parser.add_argument("--validation", action="store_true", help="score the next actor, with another --out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    protocol = replace(PROTOCOL, epochs=arguments.epochs)
    label = "real features, joined clips of seven actors" + (", validation" if arguments.validation else "")
    header = {"label": label, "protocol": asdict(protocol)}
    if not arguments.only_table:
        clips = read_clips(arguments.data, arguments.features)
        for seed in map(int, arguments.seeds.split(",")):
            for scored, trained in splits(clips, validation=arguments.validation):
                _run_pair((trained, scored), seed, arguments.rows.split(","), arguments.out, header, protocol)
    print(table(load_results(arguments.out, header)))


def splits(clips: Sequence[Clip], *, validation: bool) -> list[tuple[list[Clip], list[Clip]]]:
    """For each left-out actor: the clips that are scored, and the clips that are trained on."""
    actors = sorted({clip.actor for clip in clips})
    found = []
    for index, left_out in enumerate(actors):
        scored = actors[(index + 1) % len(actors)] if validation else left_out
        trained = [clip for clip in clips if clip.actor not in (left_out, scored)]
        found.append(([clip for clip in clips if clip.actor == scored], trained))
    return found


def _run_pair(
    clips: tuple[Sequence[Clip], Sequence[Clip]],
    seed: int,
    rows: Sequence[str],
    out: Path,
    header: dict[str, Any],
    protocol: TrainConfig,
) -> None:
    """Run the rows for one seed and one actor; `clips` are (trained on, scored)."""
    trained, scored = clips
    missing = [row for row in rows if _key(row, seed, scored) not in load_results(out, header)["runs"]]
    if not missing:
        return
    items = make_sequences(trained, SEQUENCES, seed)
    test = make_sequences(scored, TEST_SEQUENCES, TEST_SEED + seed)
    for row in missing:
        run = run_row(configure(row, seed, protocol), items, test, worth=row in WITH_WORTH)
        key = _key(row, seed, scored)
        store(out, header, key, run)
        print(f"{key}: {run['mAP']:.4f} in {run['cpu_seconds']} CPU s", flush=True)


def _key(row: str, seed: int, scored: Sequence[Clip]) -> str:
    return f"{row}/{seed}/{scored[0].actor}"


if __name__ == "__main__":
    main()
