"""Build the starter package from the data folder in steps; finished steps are skipped.

    python -m recipes.starter.build --data SENTILOC_DATA --run RUN

Extractors in the models folder are reused. Missing ones are trained first (on two cores: expression network about 2 h,
face detector 1 h, audio encoder 1.5 h). All other steps take half an hour.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from recipes.starter.dataset import (
    Material,
    embed_sound,
    make_items,
    open_sources,
    read_faces_of,
    read_sound_of,
)
from recipes.starter.development import read_development
from recipes.starter.evaluate import (
    by_kind,
    clip_evidence,
    crossed_probabilities,
    evaluate,
    outcomes,
    shown_segments,
)
from recipes.starter.faces.bank import face_reading, file_digest
from recipes.starter.faces.draft import EMBEDDING
from recipes.starter.faces.material import gather
from recipes.starter.fit import RECIPE, Fitted, finish, fit, make_ensemble, starter_spec, write_package
from recipes.starter.plots import plot_reliability, plot_timeline
from recipes.starter.shifts import shift_items
from recipes.starter.sound.net import load_voice_reader
from recipes.starter.splits import FOLDS
from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.ensemble import Ensemble
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.fsenet.scoring import score_items
from sentiloc.model.fsenet.train import TrainConfig
from sentiloc.model.package import extractor_id, shipped_models_dir
from sentiloc.model.proposals.calibration import Fit
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import FaceStream

logger = logging.getLogger(__name__)

PACKAGE = "fsenet-starter"
# Far from the seeds of training rounds, so that no sequence is drawn twice.
HELD_OUT_SEED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Amounts of data; the defaults build the shipped package.

    `everyday` has one number per pair of networks. Each pair is trained on `rounds` times the sequences of `train` and
    `rounds` times its number of everyday sequences. Each round has new sequences.
    """

    train: dict[str, int] = field(default_factory=lambda: {"joined": 260, "acted": 220, "composed": 180})
    everyday: tuple[int, ...] = (200, 200, 300)
    rounds: int = 4
    held_out: dict[str, int] = field(
        default_factory=lambda: {"joined": 140, "acted": 140, "composed": 110, "everyday": 240}
    )
    recipe: TrainConfig = RECIPE


def build(data: Path, run: Path, out: Path, seed: int = 0, plan: Plan | None = None) -> Fitted:
    """Train what is missing and write the package folder `out`; its extractors lie beside it."""
    plan = plan or Plan()
    material = Material(
        data=data,
        run=run,
        expression=out.parent / "expression" / "expression.onnx",
    )
    train_extractors(material, out.parent, seed)
    hearing = load_voice_reader(material.hearing)
    held_out = make_held_out(material, plan, hearing, seed)
    ensemble = fit_networks(material, plan, held_out, seed)
    clips = read_development(data, material.cache / "clips_development", out.parent, hearing)
    fitted = finish(ensemble, hearing, held_out, clips)
    out.mkdir(parents=True, exist_ok=True)
    write_package(fitted, starter_spec(FaceStream(encoder=extractor_id(material.expression.parent))), out)
    # With the ensemble without audio encoder, because the sound of the items is already encoded.
    draw(ensemble, fitted, held_out, clips, out)
    report(ensemble, fitted, held_out, run / "scores.json")
    return fitted


def make_held_out(material: Material, plan: Plan, hearing: nn.Module, seed: int) -> list[Item]:
    """Sequences of held-out people, with face embeddings and encoded sound."""
    sources = open_sources(material, held_out=True, seed=seed)
    items = make_items(sources, plan.held_out, seed=seed + HELD_OUT_SEED, spoil=True)
    return embed_sound(items, hearing, material.store(material.hearing))


def make_training(material: Material, counts: dict[str, int], rounds: int, seed: int) -> list[Item]:
    """Training sequences, `rounds` times `counts` of each kind, with face embeddings and encoded sound.

    Half of the sound is encoded by a network that was not trained on these voices.
    """
    folds = [open_sources(material, held_out=False, seed=seed, fold=fold) for fold in range(FOLDS)]
    return [
        item
        for number in range(seed, seed + rounds)
        for item in read_sound_of(make_items(folds, counts, seed=number, spoil=True), material, seed=number)
    ]


def fit_network(
    material: Material, plan: Plan, faces: FloatArray, parts: tuple[list[Item], list[Item]], seed: int
) -> FSENet:
    """Train a network on sequences with faces projected by `faces` (m, 256); some are shifted as a whole."""
    items, held_out = (read_faces_of(part, faces) for part in parts)
    # Part of the folder's name, so that no checkpoint trained with other extractors is resumed.
    stamp = f"{file_digest(material.expression)[:6]}{file_digest(material.hearing)[:6]}"
    folder = material.run / f"fsenet-{len(faces)}-{stamp}-{seed}"
    return fit(shift_items(items, seed=seed), held_out, run=folder, seed=seed, recipe=plan.recipe).network


def fit_networks(material: Material, plan: Plan, held_out: list[Item], seed: int) -> Ensemble:
    """Train an ensemble of pairs: one network of a pair sees the face reading, the other the face embedding."""
    whole, read = np.eye(EMBEDDING, dtype=np.float32), face_reading(material.expression)
    networks = []
    for pair, everyday in enumerate(plan.everyday):
        counts = {**plan.train, "everyday": everyday}
        # Seeds of the rounds follow each other, so the next pair starts after the last round of this one.
        parts = make_training(material, counts, plan.rounds, seed + pair * plan.rounds), held_out
        networks += [
            (fit_network(material, plan, faces, parts, seed + pair), faces) for faces in (read, whole)
        ]
    return make_ensemble(networks)


def train_extractors(material: Material, models: Path, seed: int) -> None:
    """Train the extractors that are missing in the folder `models` or in the run, each in its own process."""
    data, run = ["--data", str(material.data)], material.run
    pictures = run / "pictures"
    if not material.expression.exists():
        options = ["--pictures", str(pictures), "--seed", str(seed)]
        _module("faces.train", *data, "--run", str(run / "expression"), *options)
        _module(
            "faces.export",
            # Serving reads every other picture mirrored instead, at half the cost.
            "--no-mirror",
            "--run",
            str(run / "expression"),
            "--out",
            str(models / "expression"),
        )
    # Sequences take their still faces from this material, which is not shipped with a network.
    if not (material.faces / "wild.npz").exists():
        gather(material.data, pictures, material.faces)
    if not (models / "face-detector" / "detector.onnx").exists():
        teacher, package = run / "detector-teacher", str(models / "face-detector")
        _module("detector.train", *data, "--run", str(run / "detector"), "--package", str(teacher))
        taught = ["--teacher", str(teacher), "--package", package]
        # The student ships, because it takes half of the teacher's time.
        _module("detector.distil", *data, "--run", str(run / "detector-student"), *taught)
    encoders = (material.hearing, *map(material.fold_encoder, range(FOLDS)))
    if not all(path.exists() for path in encoders):
        _module("sound.build", *data, "--run", str(run), "--seed", str(seed))


def _module(name: str, *arguments: str) -> None:
    logger.info("training an extractor: %s", name)
    # A separate process, so that its memory is freed before the next step.
    subprocess.run([sys.executable, "-m", f"recipes.starter.{name}", *arguments], check=True)  # noqa: S603


def report(network: Ensemble, fitted: Fitted, held_out: list[Item], path: Path) -> None:
    """Write scores on held-out sequences, over all and by kind, as JSON and to the log."""
    scores = score_items(network, held_out)
    kinds = {"all": held_out, **by_kind(held_out)}
    rows = {
        kind: asdict(
            evaluate(part, {i.name: scores[i.name] for i in part}, fitted.calibration, fitted.threshold)
        )
        for kind, part in kinds.items()
        if any(item.segments for item in part)
    }
    summary = {"threshold": fitted.threshold, "ece": fitted.calibration_error, "held_out": rows}
    path.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    logger.info("held-out sequences: %s", json.dumps(summary))


def draw(network: Ensemble, fitted: Fitted, held_out: list[Item], clips: list[Item], out: Path) -> None:
    """Draw the plots of the model card: reliability (cross-fitted on two halves) and one composed sequence."""
    scores, clip_scores = score_items(network, held_out), score_items(network, clips)
    graded, more = outcomes(held_out, scores), clip_evidence(clips, clip_scores)
    method: Fit = "platt" if fitted.calibration.method == "platt" else "smooth"
    sure = crossed_probabilities(graded, method, more)
    plot_reliability(sure, graded.right, out / "reliability.png")
    item = next(item for item in held_out if item.name.startswith("composed") and len(item.segments) > 3)
    found = scores[item.name]
    shown = shown_segments([item], scores, fitted.calibration, fitted.threshold)[item.name]
    plot_timeline(item, found, shown, out / "timeline.png")


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description="Build exported/fsenet-starter from the data folder.")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with faces/ speech/ javanese_av/ ..."
    )
    parser.add_argument("--run", type=Path, required=True, help="folder for caches, checkpoints and scores")
    parser.add_argument("--out", type=Path, default=shipped_models_dir() / PACKAGE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    build(arguments.data, arguments.run, arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
