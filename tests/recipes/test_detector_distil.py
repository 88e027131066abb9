"""Distillation of the face detector: a student learns what its teacher computes, and becomes a package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.starter.detector.distil import (
    Distiller,
    DistilRecipe,
    SceneSource,
    Teacher,
    distil_loss,
    write_package,
)
from sentiloc.model.extractors.face_detector import FaceDetector, export_onnx
from sentiloc.model.package import shipped_models_dir
from sentiloc.worker.features.face_detection import StarterDetector
from tests.recipes.synthetic_sources import make_detector_material


@pytest.fixture
def teacher(tmp_path: Path) -> Callable[[str], Path]:
    def make(colour: str) -> Path:
        """A package of an untrained detector: enough to be learned from."""
        package = tmp_path / f"teacher-{colour}"
        package.mkdir()
        torch.manual_seed(1)
        export_onnx(FaceDetector(16, (8, 8)).eval(), package / "detector.onnx")
        spec = json.loads((shipped_models_dir() / "face-detector" / "spec.json").read_text(encoding="utf-8"))
        spec["input"]["colour"] = colour
        spec["sha256"] = hashlib.sha256((package / "detector.onnx").read_bytes()).hexdigest()
        (package / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        return package

    return make


def test_a_detector_that_equals_its_teacher_has_no_loss() -> None:
    scores = torch.tensor([[0.9, 0.02, 0.4]])
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 5, 5], [20, 20, 60, 60]]])
    logits = torch.logit(scores)
    assert float(distil_loss(logits, boxes, scores, boxes)) == pytest.approx(0, abs=1e-6)
    # A box where the teacher sees no face does not count; one where it does counts.
    other = boxes.clone()
    other[0, 1] += 3
    assert float(distil_loss(logits, other, scores, boxes)) == pytest.approx(0, abs=1e-6)
    other[0, 0] += 3
    assert float(distil_loss(logits, other, scores, boxes)) > 0.5
    assert float(distil_loss(logits - 2, boxes, scores, boxes)) > 0.1


def test_a_detector_learns_its_teacher_and_becomes_a_package(
    teacher: Callable[[str], Path], tmp_path: Path
) -> None:
    source = SceneSource(make_detector_material(np.random.default_rng(0)), frames=0.5)
    its = Teacher(teacher("grey"))
    recipe = DistilRecipe(width=16, stem=(4, 8), steps=6, batch=2, averaging=0.5)
    distiller = Distiller(recipe, tmp_path / "run")
    distiller.fit(source, its)
    assert Distiller(recipe, tmp_path / "run").step == 6
    write_package(tmp_path / "student", its, distiller.student, recipe, {"recall": 1.0})
    served = StarterDetector(tmp_path / "student")
    assert served.takes_grey
    assert served.detect(np.zeros((96, 128), np.uint8)).shape[1] == 5


def test_a_teacher_that_takes_colours_is_refused(teacher: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match="grey"):
        Teacher(teacher("RGB"))
