"""Build the starter package from the data folder, step by step; every step that is done already is skipped.

    python -m model.starter.build --data SENTILOC_DATA --run RUN

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

from model.fsenet import FSENet
from model.items import Item
from model.losses import Supervision
from model.package import extractor_id, shipped_models_dir
from model.scoring import score_items
from model.serving import select_segments
from model.spec import FaceStream
from model.speech import SpeechEncoder
from model.starter.dataset import Material, embed_sound, load_speech_encoder, make_items, open_sources
from model.starter.draft import SNIPPET, Sources
from model.starter.face_bank import file_digest
from model.starter.fit import RECIPE, Fitted, finish, fit, write_package
from model.starter.judge import by_kind, crossed_probabilities, judge, outcomes
from model.starter.plots import plot_reliability, plot_timeline
from model.starter.shifts import shift_items
from model.train import TrainConfig

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
        default_factory=lambda: {"joined": 50, "acted": 50, "composed": 40, "scenery": 10}
    )
    recipe: TrainConfig = RECIPE
    supervision: Supervision = "full"


def build(data: Path, run: Path, out: Path, seed: int = 0, plan: Plan | None = None) -> Fitted:
    """Train what is missing and write the package folder `out`; its extractors lie beside it."""
    plan = plan or Plan()
    material = Material(
        data=data, run=run, expression=out.parent / "expression" / "expression.onnx", speech=run / "speech"
    )
    _train_extractors(material, out.parent, seed)
    encoder = load_speech_encoder(material.speech_encoder)
    items, held_out = make_training_items(material, encoder, plan, seed)
    result = fit(
        items,
        held_out,
        run=run / f"fsenet-{plan.supervision}-{_stamp(material, seed)}",
        seed=seed,
        supervision=plan.supervision,
        recipe=plan.recipe,
    )
    fitted = finish(result, encoder, held_out)
    out.mkdir(parents=True, exist_ok=True)
    face = FaceStream(encoder=extractor_id(material.expression.parent))
    write_package(fitted, face, out)
    draw(result.network, fitted, held_out, out)
    _report(result.network, fitted, held_out, run / "scores.json")
    return fitted


def make_training_items(
    material: Material, encoder: SpeechEncoder, plan: Plan, seed: int
) -> tuple[list[Item], list[Item]]:
    """Training and held-out sequences with embedded sound."""
    parts = []
    for part, counts, offset in (("train", plan.train, 0), ("held_out", plan.held_out, HELD_OUT_SEED)):
        sources: Sources = open_sources(material, held_out=part == "held_out", seed=seed)
        items = make_items(sources, counts, seed=seed + offset, spoil=True)
        store = material.cache / f"sound-{file_digest(material.speech_encoder)}"
        parts.append(embed_sound(items, encoder, store))
        logger.info("%s: %d sequences", part, len(items))
    return shift_items(parts[0], seed=seed), parts[1]


def _train_extractors(material: Material, models: Path, seed: int) -> None:
    data, run = ["--data", str(material.data)], material.run
    if not material.expression.exists():
        _module("train_expression", *data, "--run", str(run / "expression"), "--seed", str(seed))
        _module("export_expression", "--run", str(run / "expression"), "--out", str(models / "expression"))
    if not (models / "face-detector" / "detector.onnx").exists():
        package = str(models / "face-detector")
        _module("train_detector", *data, "--run", str(run / "detector"), "--package", package)
    if not material.speech_encoder.exists():
        _module("train_speech", *data, "--run", str(material.speech))


def _module(name: str, *arguments: str) -> None:
    logger.info("training an extractor: %s", name)
    subprocess.run([sys.executable, "-m", f"model.starter.{name}", *arguments], check=True)  # noqa: S603


def _stamp(material: Material, seed: int) -> str:
    return f"{file_digest(material.expression)[:6]}{file_digest(material.speech_encoder)[:6]}-{seed}"


def _report(network: FSENet, fitted: Fitted, held_out: list[Item], path: Path) -> None:
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


def draw(network: FSENet, fitted: Fitted, held_out: list[Item], out: Path) -> None:
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
