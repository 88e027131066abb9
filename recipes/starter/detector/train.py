"""Train the face detector: `python -m recipes.starter.detector.train --data DIR --run DIR [--package DIR]`.

`--data` is the folder that holds faces/, javanese_av/ and weights/ (a YuNet teacher, for labels only). An interrupted
run resumes from its last checkpoint. Every image depends only on the seed and its number.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from recipes.starter.detector.blend import blend
from recipes.starter.detector.checkpoints import averaged, inner, resume, save
from recipes.starter.detector.compose import MOST_BOXES, Composer, Scene
from recipes.starter.detector.data import Material, gather
from recipes.starter.detector.package import SERVED_STEM, SERVED_WIDTH, write_package
from recipes.starter.folded import load_folded
from recipes.starter.sources.picture_packages import unpack_all
from sentiloc.model.extractors.face_boxes import match_faces, suppress
from sentiloc.model.extractors.face_detector import FaceDetector, assign, detection_loss, export_onnx

# Height and width, in turn. Multiples of 32, the network's largest stride; upright and wide, as films are.
SHAPES = ((256, 256), (160, 256), (256, 160), (224, 224), (192, 256))
# Boxes that overlap by more than this show the same face.
MAX_IOU = 0.4
# The longer side is that of the served first look; both are multiples of 32.
EVALUATION_SHAPE = (288, 320)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All hyperparameters of the run; they are stored beside the weights."""

    seed: int = 20
    cycles: tuple[int, ...] = (2000, 4000)
    batch: int = 16
    rates: tuple[float, ...] = (3e-3, 2e-3)
    warmup: int = 100
    weight_decay: float = 1e-3
    averaging: float = 0.99
    width: int = 48
    stem: tuple[int, int] = (16, 32)
    threads: int = 1
    held_out_scenes: int = 500


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder for material, checkpoints and logs")
    parser.add_argument("--package", type=Path, help="where to write detector.onnx and spec.json")
    parser.add_argument(
        "--pictures", type=Path, help="folder of pictures without people; default: beside the run"
    )
    parser.add_argument("--drawn", type=Path, help="folder of drawn faces' packages; default: beside the run")
    parser.add_argument("--start", type=Path, help="ONNX file of a shipped detector to start from")
    parser.add_argument("--steps", type=int, default=1600, help="with --start: how many")
    parser.add_argument(
        "--share", type=float, default=1.0, help="with --start: how much of the new weights to take, 0..1"
    )
    parser.add_argument(
        "--export-only", action="store_true", help="write the package from the last checkpoint"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.pictures = unpack_all(arguments.pictures or arguments.run.parent / "pictures")
    arguments.drawn = arguments.drawn or arguments.run.parent / "drawn-packages"
    recipe = Recipe()
    if arguments.start is not None:
        recipe = Recipe(cycles=(arguments.steps,), rates=(8e-4,), width=SERVED_WIDTH, stem=SERVED_STEM)
    model = load_average(arguments.run, recipe) if arguments.export_only else train(arguments, recipe)
    steps = trained_steps(arguments.run)
    if arguments.start is not None and arguments.share < 1:
        model = between(model, arguments, recipe)
    scores = evaluate(model, arguments, recipe)
    (arguments.run / "held_out.json").write_text(json.dumps(scores, indent=2), encoding="utf-8")
    _log.info("held out: %s", scores["best"])
    if arguments.package:
        arguments.package.mkdir(parents=True, exist_ok=True)
        export_onnx(model, arguments.package / "detector.onnx")
        write_package(arguments.package, scores, asdict(recipe), steps)


def train(arguments: argparse.Namespace, recipe: Recipe) -> FaceDetector:
    """Run or resume the recipe; returns the weight average."""
    torch.set_num_threads(recipe.threads)
    cv2.setNumThreads(recipe.threads)
    torch.manual_seed(recipe.seed)
    composer = Composer(_gathered(arguments, held_out=False))
    model = FaceDetector(recipe.width, recipe.stem)
    if arguments.start is not None:
        start_from(model, arguments.start, composer, recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = averaged(model, recipe.averaging)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rates[0], weight_decay=recipe.weight_decay)
    first = resume(arguments.run / "checkpoint.pt", model, average, optimizer)
    model.train()
    running = 0.0
    for step in range(first, sum(recipe.cycles)):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, recipe)
        loss = _step(model, optimizer, composer, recipe, step)
        average.update_parameters(model)
        running = loss if step == first else 0.98 * running + 0.02 * loss
        if step % 50 == 49:
            _log.info("step %d loss %.4f", step + 1, running)
        if step % 200 == 199 or step + 1 == sum(recipe.cycles):
            save(arguments.run / "checkpoint.pt", step + 1, model, average, optimizer)
    return inner(average)


def start_from(model: FaceDetector, network: Path, composer: Composer, recipe: Recipe) -> None:
    """Load the weights of a shipped detector; its batch norms are measured on 128 composed scenes."""
    batches = []
    for index in range(16):
        # 2: other scenes than those of training (0) and of evaluation (1).
        rng = np.random.default_rng((recipe.seed, 2, index))
        batches.append(collate([s for _ in range(4) for s in composer.twins(rng, *EVALUATION_SHAPE)])[0])
    load_folded(model, network, batches)


def between(model: FaceDetector, arguments: argparse.Namespace, recipe: Recipe) -> FaceDetector:
    """The network between the one that training started from and `model`; it must have a grey input."""
    trained, blended = (arguments.run / name for name in ("trained.onnx", "blended.onnx"))
    export_onnx(model, trained)
    blend(arguments.start, trained, arguments.share, blended)
    between_them = FaceDetector(recipe.width, recipe.stem)
    start_from(between_them, blended, Composer(_gathered(arguments, held_out=False)), recipe)
    return between_them


def load_average(run: Path, recipe: Recipe) -> FaceDetector:
    """The weight average of the last checkpoint in folder `run`; FileNotFoundError if there is none."""
    average = averaged(FaceDetector(recipe.width, recipe.stem), recipe.averaging)
    average.load_state_dict(torch.load(run / "checkpoint.pt", weights_only=True)["average"])
    return inner(average)


def trained_steps(run: Path) -> int:
    """The number of steps of the last checkpoint in folder `run`."""
    return int(torch.load(run / "checkpoint.pt", weights_only=True)["step"])


def rate_at(step: int, recipe: Recipe) -> float:
    """Learning rate; each cycle has a linear warm-up, then half a cosine down to a hundredth."""
    start = 0
    cycles = list(zip(recipe.cycles, recipe.rates, strict=True))
    while len(cycles) > 1 and step >= start + cycles[0][0]:
        start += cycles.pop(0)[0]
    length, rate = cycles[0]
    if step - start < recipe.warmup:
        return rate * (step - start + 1) / recipe.warmup
    done = min(1.0, (step - start - recipe.warmup) / max(1, length - recipe.warmup))
    return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def collate(scenes: list[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes of one shape -> luminance (batch, 1, height, width) in [-1, 1], faces and ignored (batch, G, 4)."""
    images = torch.from_numpy(np.stack([scene.image for scene in scenes]))[:, None].float() / 127.5 - 1
    boxes = np.zeros((2, len(scenes), MOST_BOXES, 4), np.float32)
    for index, scene in enumerate(scenes):
        boxes[0, index, : len(scene.faces)] = scene.faces
        boxes[1, index, : len(scene.ignored)] = scene.ignored
    return images, torch.from_numpy(boxes[0]), torch.from_numpy(boxes[1])


def _gathered(arguments: argparse.Namespace, *, held_out: bool) -> Material:
    return gather(
        arguments.data,
        arguments.run / "material",
        held_out=held_out,
        pictures=arguments.pictures,
        drawn=arguments.drawn,
    )


def evaluate(model: FaceDetector, arguments: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    """Recall and precision at IoU 0.5 on scenes of held-out people and drawn styles, by threshold; the best F1."""
    composer = Composer(_gathered(arguments, held_out=True))
    model.eval()
    # Thresholds 0.05 to 0.95.
    curve = np.zeros((19, 3))
    for index in range(recipe.held_out_scenes):
        scene, _ = composer.twins(np.random.default_rng((recipe.seed, 1, index)), *EVALUATION_SHAPE)
        curve += _counts(model, scene)
    rows = [
        {"threshold": round(0.05 * (i + 1), 2), "recall": hit / faces, "precision": hit / max(1, found)}
        for i, (hit, found, faces) in enumerate(curve.tolist())
    ]
    # Half of F1, which has the same order.
    best = max(rows, key=lambda r: r["recall"] * r["precision"] / max(1e-9, r["recall"] + r["precision"]))
    return {"best": best, "scenes": recipe.held_out_scenes, "max_iou": MAX_IOU, "curve": rows}


def _counts(model: FaceDetector, scene: Scene) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(19, 3): faces found, boxes (without those on ignored faces) and true faces, by threshold."""
    with torch.inference_mode():
        logits, boxes = model(collate([scene])[0])
    # At the lowest threshold of the curve; the others are subsets.
    found = suppress(torch.cat((logits.sigmoid()[..., None], boxes), -1)[0].numpy(), 0.05, MAX_IOU)
    on_ignored = match_faces(found[:, 1:], scene.ignored, 0.3) >= 0
    hit = match_faces(found[:, 1:], scene.faces) >= 0
    counts = np.zeros((19, 3))
    for i in range(19):
        over = found[:, 0] >= 0.05 * (i + 1)
        counts[i] = (hit & over).sum(), (over & (hit | ~on_ignored)).sum(), len(scene.faces)
    return counts


def _step(
    model: FaceDetector, optimizer: torch.optim.Optimizer, composer: Composer, recipe: Recipe, step: int
) -> float:
    height, width = SHAPES[step % len(SHAPES)]
    # Numbered through the whole run, so that a resumed run continues with the same scenes.
    pairs = range(step * recipe.batch // 2, (step + 1) * recipe.batch // 2)
    generators = [np.random.default_rng((recipe.seed, 0, pair)) for pair in pairs]
    scenes = [scene for rng in generators for scene in composer.twins(rng, height, width)]
    images, faces, ignored = collate(scenes)
    logits, boxes = model(images.contiguous(memory_format=torch.channels_last))
    loss = detection_loss(logits, boxes, assign(faces, ignored, height, width))
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach())


if __name__ == "__main__":
    main()
