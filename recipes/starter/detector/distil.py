"""Distil the face detector into a smaller one: `python -m recipes.starter.detector.distil --help`.

The student is narrower than the teacher, the detector of a package that takes grey pictures. It sees the composed
scenes of the training, without their labels: every cell learns the teacher's score (quality focal loss towards that
score) and, where the teacher sees a face, its box (generalized IoU, weighted by the score). An interrupted run resumes
from its last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from recipes.starter.detector.checkpoints import averaged, inner, resume, save
from recipes.starter.detector.compose import Composer
from recipes.starter.detector.data import Grey, Material, as_grey, gather
from recipes.starter.detector.package import SERVED_STEM, SERVED_WIDTH, SMALLEST_FACE, VERSION
from recipes.starter.sources.picture_packages import unpack_all
from sentiloc.model.extractors.face_boxes import match_faces, suppress
from sentiloc.model.extractors.face_detector import (
    BOX_LOSS_WEIGHT,
    FaceDetector,
    export_onnx,
    generalized_iou,
)
from sentiloc.model.segments import FloatArray
from sentiloc.worker.features.face_detection import GREY, read_spec
from sentiloc.worker.runtime.onnx_session import create_session

# Height and width, in turn. Multiples of 32, the network's largest stride.
SHAPES = ((256, 256), (160, 256), (256, 160), (192, 320), (192, 256), (320, 192))
LEAST_SCORE = 0.05
"""Below this score, the teacher's boxes are meaningless."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilRecipe:
    """All hyperparameters. `width` and `stem` are those of `FaceDetector`; `frames` is the share of scenes that are
    frames or walls of frames instead of compositions; `averaging` is the decay of the weights' average.
    """

    width: int = SERVED_WIDTH
    stem: tuple[int, int] = SERVED_STEM
    steps: int = 14_000
    batch: int = 16
    rate: float = 4e-3
    warmup: int = 200
    weight_decay: float = 1e-4
    averaging: float = 0.998
    frames: float = 0.4
    seed: int = 30


class Teacher:
    """The detector of a package, read cell by cell."""

    def __init__(self, package: Path) -> None:
        self.spec = read_spec(package)
        if self.spec["input"]["colour"] != GREY:
            raise ValueError(f"the teacher {package.name} must take grey pictures")
        self._session = create_session(package / self.spec["network"], threads=1)

    def rows(self, images: Grey) -> FloatArray:
        """Grey images (batch, height, width) -> score and box of every cell (batch, A, 5)."""
        return np.asarray(self._session.run(None, {"image": images})[0])

    def read(self, images: Grey) -> tuple[Tensor, Tensor]:
        """Grey images (batch, height, width) -> scores (batch, A) and boxes (batch, A, 4)."""
        rows = torch.from_numpy(self.rows(images))
        return rows[..., 0], rows[..., 1:]


def _luminance(images: Grey) -> Tensor:
    """Grey images (batch, height, width) as the network's input (batch, 1, height, width) in [-1, 1]."""
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1


def distil_loss(logits: Tensor, boxes: Tensor, scores: Tensor, targets: Tensor) -> Tensor:
    """Loss of the student's logits (batch, A) and boxes (batch, A, 4) against the teacher's scores and boxes."""
    cross = functional.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    focal = (logits.sigmoid() - scores).square() * cross
    faces = scores >= LEAST_SCORE
    overlap = generalized_iou(boxes[faces], targets[faces])[1]
    # A batch without faces still trains the scores.
    weight = scores[faces].sum().clamp(min=1)
    return (focal.sum() + BOX_LOSS_WEIGHT * ((1 - overlap) * scores[faces]).sum()) / weight


class SceneSource:
    """Grey scenes of one shape: compositions of the detector's training, real frames at random sizes, and walls of
    small frames, whose faces are as small as any that are looked for.
    """

    def __init__(self, material: Material, frames: float) -> None:
        self._composer, self._frames, self._share = Composer(material), material.frames, frames

    def batch(self, rng: np.random.Generator, count: int, height: int, width: int) -> Grey:
        """Scenes (count, height, width)."""
        images: list[Grey] = []
        while len(images) < count:
            if rng.random() < self._share:
                make = self._frame if rng.random() < 0.5 else self._wall
                images.append(make(rng, height, width))
            else:
                # The labels are not needed: the teacher's output is the target.
                images += [scene.image for scene in self._composer.twins(rng, height, width)]
        return np.stack(images[:count])

    def _frame(self, rng: np.random.Generator, height: int, width: int) -> Grey:
        """A part of a frame at any size between a third and twice the scene's."""
        scale = float(np.exp(rng.uniform(np.log(1 / 3), np.log(2))))
        large = self._resized(rng, scale * max(height, width) / max(self._frames.shape[1:]))
        scene = np.zeros((height, width), np.uint8)
        top, left = (
            int(rng.integers(max(1, a - b + 1))) for a, b in zip(large.shape, scene.shape, strict=True)
        )
        part = large[top : top + height, left : left + width]
        scene[: part.shape[0], : part.shape[1]] = part
        return scene

    def _wall(self, rng: np.random.Generator, height: int, width: int) -> Grey:
        """Rows of frames, each row at a size between a sixth and a half of the frames' own."""
        scene = np.zeros((height, width), np.uint8)
        top = 0
        while top < height:
            scale = float(np.exp(rng.uniform(np.log(0.18), np.log(0.5))))
            for left in range(0, width, round(scale * self._frames.shape[2])):
                small = self._resized(rng, scale)
                part = small[: height - top, : width - left]
                scene[top : top + part.shape[0], left : left + part.shape[1]] = part
            top += len(small)
        return scene

    def _resized(self, rng: np.random.Generator, scale: float) -> Grey:
        """A frame at another size; half of them are mirrored."""
        frame = self._frames[int(rng.integers(len(self._frames)))]
        sized = as_grey(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        return sized[:, ::-1] if rng.random() < 0.5 else sized


class Distiller:
    """Student, averaged student and optimizer of one run."""

    def __init__(self, recipe: DistilRecipe, run: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.checkpoint = recipe, run / "checkpoint.pt"
        self.net = FaceDetector(recipe.width, recipe.stem)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = averaged(self.net, recipe.averaging)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay
        )
        run.mkdir(parents=True, exist_ok=True)
        self.step = resume(self.checkpoint, self.net, self.average, self.optimizer)

    @property
    def student(self) -> FaceDetector:
        """The averaged student."""
        return inner(self.average).eval()

    def fit(self, source: SceneSource, teacher: Teacher) -> None:
        """Train from the last checkpoint to the last step."""
        self.net.train()
        running = 0.0
        while self.step < self.recipe.steps:
            loss = self._train_step(source, teacher)
            running = 0.98 * running + 0.02 * loss if running else loss
            self.step += 1
            if self.step % 100 == 0:
                _log.info("step %d loss %.4f", self.step, running)
            if self.step % 500 == 0 or self.step == self.recipe.steps:
                save(self.checkpoint, self.step, self.net, self.average, self.optimizer)

    def _train_step(self, source: SceneSource, teacher: Teacher) -> float:
        # By step, so that a resumed run sees the same scenes as an uninterrupted one.
        rng = np.random.default_rng((self.recipe.seed, 0, self.step))
        images = source.batch(rng, self.recipe.batch, *SHAPES[self.step % len(SHAPES)])
        scores, boxes = teacher.read(images)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        found = self.net(_luminance(images).contiguous(memory_format=torch.channels_last))
        loss = distil_loss(found[0], found[1], scores, boxes)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.net)
        return float(loss.detach())

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.recipe.warmup)
        return (
            self.recipe.rate
            * warm
            * (0.01 + 0.99 * (1 + math.cos(math.pi * self.step / self.recipe.steps)) / 2)
        )


def agreement(
    student: FaceDetector, teacher: Teacher, source: SceneSource, scenes: int = 320
) -> dict[str, float]:
    """How well the student's faces agree with the teacher's on scenes of held-out people, at the teacher's threshold.

    `recall` and `precision` at an IoU of 0.5, and `box_error`: the mean difference of edges by the longer side.
    """
    # The student is evaluated with the thresholds with which it is served.
    threshold, max_iou = float(teacher.spec["threshold"]), float(teacher.spec["max_iou"])
    counts, errors = np.zeros(3), []
    for number in range(scenes // 8):
        images = source.batch(np.random.default_rng((1, number)), 8, *SHAPES[number % len(SHAPES)])
        with torch.inference_mode():
            logits, boxes = student(_luminance(images))
        mine = torch.cat((logits.sigmoid()[..., None], boxes), -1).numpy()
        for one, other in zip(mine, teacher.rows(images), strict=True):
            found, wanted = (_faces(suppress(rows, threshold, max_iou)) for rows in (one, other))
            match = match_faces(found[:, 1:], wanted[:, 1:])
            counts += (match >= 0).sum(), len(found), len(wanted)
            pairs = found[match >= 0, 1:], wanted[match[match >= 0], 1:]
            errors += (
                np.abs(pairs[0] - pairs[1]).mean(1) / (pairs[1][:, 2:] - pairs[1][:, :2]).max(1)
            ).tolist()
    hit, found_count, wanted_count = counts.tolist()
    return {
        "recall": hit / max(1, wanted_count),
        "precision": hit / max(1, found_count),
        "box_error": float(np.mean(errors)),
    }


def _faces(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rows (n, 5) of faces that are large enough to be looked for."""
    return np.asarray(rows[(rows[:, 3:] - rows[:, 1:3]).prod(1) >= SMALLEST_FACE**2])


def write_package(
    folder: Path, teacher: Teacher, student: FaceDetector, recipe: DistilRecipe, agreed: dict[str, float]
) -> None:
    """Write the student's network and its spec, which is the teacher's with the differing values."""
    folder.mkdir(parents=True, exist_ok=True)
    export_onnx(student, folder / "detector.onnx")
    digest = hashlib.sha256((folder / "detector.onnx").read_bytes()).hexdigest()
    own = {"version": VERSION, "network": "detector.onnx", "sha256": digest}
    made = {"agreement": agreed, "trained_steps": recipe.steps, "recipe": asdict(recipe)}
    # The teacher's evaluation does not apply to the student.
    taught = {name: value for name, value in teacher.spec.items() if name != "held_out"}
    spec = {**taught, **own, "teacher": teacher.spec["sha256"], **made}
    (folder / "spec.json").write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Train, or resume training, and write the package."""
    parser = argparse.ArgumentParser(description="Distil the face detector into a smaller one.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder for material, checkpoints and logs")
    parser.add_argument("--teacher", type=Path, required=True, help="package that takes grey pictures")
    parser.add_argument("--package", type=Path, required=True, help="where to write the student")
    parser.add_argument("--pictures", type=Path, help="pictures without people; default: beside the run")
    parser.add_argument("--steps", type=int, default=DistilRecipe().steps)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    recipe = DistilRecipe(steps=arguments.steps)
    pictures = unpack_all(arguments.pictures or arguments.run.parent / "pictures")
    taught, held_out = (
        SceneSource(
            gather(arguments.data, arguments.run / "material", held_out=out, pictures=pictures), recipe.frames
        )
        for out in (False, True)
    )
    teacher, distiller = Teacher(arguments.teacher), Distiller(recipe, arguments.run)
    distiller.fit(taught, teacher)
    agreed = agreement(distiller.student, teacher, held_out)
    _log.info("agreement on held-out scenes: %s", agreed)
    write_package(arguments.package, teacher, distiller.student, recipe, agreed)


if __name__ == "__main__":
    main()
