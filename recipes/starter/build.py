"""Build the starter package from the data folder, step by step; every step that is done already is skipped.

    python -m recipes.starter.build --data SENTILOC_DATA --run RUN

Extractors that the models folder already holds are used as they are; without them they are trained first
(on two cores: expression net about 2 h, face detector 1 h, speech encoder 1 h, the rest 40 minutes).
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
import torch

from recipes.starter.dataset import (
    Material,
    embed_sound,
    make_items,
    open_sources,
    read_faces_of,
    read_voices_of,
    with_audio_columns,
)
from recipes.starter.faces.bank import face_reading, file_digest
from recipes.starter.faces.draft import SNIPPET
from recipes.starter.fit import READING_RECIPE, RECIPE, VOICE, Fitted, finish, fit, seat, write_package
from recipes.starter.judge import by_kind, crossed_probabilities, judge, outcomes
from recipes.starter.plots import plot_reliability, plot_timeline
from recipes.starter.shifts import shift_items
from recipes.starter.splits import FOLDS
from recipes.starter.voices.net import load_speech_net, load_voice_reader
from sentiloc.model.data.items import Item
from sentiloc.model.fsenet.ensemble import Committee
from sentiloc.model.fsenet.network import FSENet
from sentiloc.model.fsenet.scoring import score_items
from sentiloc.model.fsenet.train import TrainConfig
from sentiloc.model.package import extractor_id, shipped_models_dir
from sentiloc.model.proposals.rule import select_segments
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import FaceStream

logger = logging.getLogger(__name__)

PACKAGE = "fsenet-starter"
HELD_OUT_SEED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything; the defaults build what is shipped."""

    train: dict[str, int] = field(
        default_factory=lambda: {"joined": 260, "acted": 280, "composed": 200, "scenery": 60}
    )
    held_out: dict[str, int] = field(
        default_factory=lambda: {"joined": 150, "acted": 150, "composed": 120, "scenery": 30}
    )
    whole: TrainConfig = RECIPE
    reading: TrainConfig = READING_RECIPE


def build(data: Path, run: Path, out: Path, seed: int = 0, plan: Plan | None = None) -> Fitted:
    """Train what is missing and write the package folder `out`; its extractors lie beside it."""
    plan = plan or Plan()
    material = Material(
        data=data, run=run, expression=out.parent / "expression" / "expression.onnx", speech=run / "speech"
    )
    _train_extractors(material, out.parent, seed)
    held_out = make_held_out(material, plan, seed)
    faces = face_reading(material.expression)
    whole = fit_whole(material, plan, held_out, seed)
    committee = seat(whole, fit_reading(material, plan, held_out, faces, seed), faces)
    fitted = finish(committee, load_voice_reader(material.speech_encoder, whole=True), held_out)
    out.mkdir(parents=True, exist_ok=True)
    face = FaceStream(encoder=extractor_id(material.expression.parent))
    write_package(fitted, face, out)
    draw(committee, fitted, held_out, out)
    _report(committee, fitted, held_out, run / "scores.json")
    return fitted


def make_held_out(material: Material, plan: Plan, seed: int) -> list[Item]:
    """Sequences of people that training never saw: face embeddings, voices embedded and read (T, 512 + 24)."""
    strangers = open_sources(material, held_out=True, seed=seed)
    items = make_items(strangers, plan.held_out, seed=seed + HELD_OUT_SEED, spoil=True)
    path = material.speech_encoder
    return embed_sound(items, load_voice_reader(path, whole=True), material.store(path, "whole"))


def fit_whole(material: Material, plan: Plan, held_out: list[Item], seed: int) -> FSENet:
    """The network that learns from whole embeddings: it knows most, of the training people most of all."""
    sources = open_sources(material, held_out=False, seed=seed)
    path = material.speech_encoder
    items = make_items(sources, plan.train, seed=seed, spoil=True)
    items = embed_sound(items, load_speech_net(path).encoder, material.store(path, "sound"))
    folder = material.run / f"fsenet-whole-{_stamp(material, seed)}"
    strangers = with_audio_columns(held_out, slice(VOICE))
    return fit(shift_items(items, seed=seed), strangers, run=folder, seed=seed, recipe=plan.whole).network


def make_read_items(material: Material, counts: dict[str, int], faces: FloatArray, seed: int) -> list[Item]:
    """Training sequences of readings: faces (T, 8), voices (T, 24), half of them by an encoder that knows them."""
    folds = [open_sources(material, held_out=False, seed=seed, fold=fold) for fold in range(FOLDS)]
    items = read_voices_of(make_items(folds, counts, seed=seed, spoil=True), material, seed=seed)
    return shift_items(read_faces_of(items, faces), seed=seed)


def fit_reading(material: Material, plan: Plan, held_out: list[Item], faces: FloatArray, seed: int) -> FSENet:
    """The network that learns from readings, half of the time of voices that their reader has not heard."""
    items = make_read_items(material, plan.train, faces, seed)
    strangers = read_faces_of(with_audio_columns(held_out, slice(VOICE, None)), faces)
    folder = material.run / f"fsenet-reading-{_stamp(material, seed)}"
    return fit(items, strangers, run=folder, seed=seed, recipe=plan.reading).network


def _train_extractors(material: Material, models: Path, seed: int) -> None:
    data, run = ["--data", str(material.data)], material.run
    if not material.expression.exists():
        _module("faces.train", *data, "--run", str(run / "expression"), "--seed", str(seed))
        _module("faces.export", "--run", str(run / "expression"), "--out", str(models / "expression"))
    if not (models / "face-detector" / "detector.onnx").exists():
        package = str(models / "face-detector")
        _module("detector.train", *data, "--run", str(run / "detector"), "--package", package)
    if not material.speech_encoder.exists():
        _module("voices.train", *data, "--run", str(material.speech))
    for fold in range(FOLDS):
        path = material.fold_encoder(fold)
        if not path.exists():
            options = [
                "--fold",
                str(fold),
                "--seed",
                str(fold + 1),
                "--cache",
                str(material.speech / "cache"),
            ]
            _module("voices.train", *data, "--run", str(path.parent), *options)


def _module(name: str, *arguments: str) -> None:
    logger.info("training an extractor: %s", name)
    subprocess.run([sys.executable, "-m", f"recipes.starter.{name}", *arguments], check=True)  # noqa: S603


def _stamp(material: Material, seed: int) -> str:
    voices = (material.speech_encoder, *map(material.fold_encoder, range(FOLDS)))
    return "".join(file_digest(path)[:4] for path in (material.expression, *voices)) + f"-{seed}"


def _report(network: Committee, fitted: Fitted, held_out: list[Item], path: Path) -> None:
    """Scores on held-out sequences, all and by kind, as JSON and in the log."""
    scores = score_items(network, held_out)
    kinds = {"all": held_out, **by_kind(held_out)}
    rows = {
        kind: asdict(
            judge(part, {i.name: scores[i.name] for i in part}, fitted.calibration, fitted.threshold)
        )
        for kind, part in kinds.items()
        if any(item.segments for item in part)
    }
    summary = {"threshold": fitted.threshold, "ece": fitted.calibration_error, "held_out": rows}
    path.write_text(json.dumps(summary, indent=1))
    logger.info("held-out sequences: %s", json.dumps(summary))


def draw(network: Committee, fitted: Fitted, held_out: list[Item], out: Path) -> None:
    """The card's plots: reliability (each half under the other's calibration) and one composed sequence."""
    scores = score_items(network, held_out)
    score, right, owner = outcomes(held_out, scores)
    sure = crossed_probabilities(score, right, owner, fitted.calibration.method)
    plot_reliability(sure, right, out / "reliability.png")
    item = next(item for item in held_out if item.name.startswith("composed") and len(item.segments) > 3)
    found = scores[item.name]
    shown = select_segments(found, SNIPPET, threshold=fitted.threshold, calibration=fitted.calibration)
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
