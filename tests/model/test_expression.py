from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from recipes.starter.faces.augment import augment, move
from recipes.starter.faces.export import OUTPUTS, export_onnx, export_package, load_net
from recipes.starter.faces.faces import FaceSet, read_expressions, read_ferplus, vote_targets
from recipes.starter.faces.lessons import Lessons, face_lessons
from recipes.starter.faces.train import ExpressionRecipe, ExpressionTrainer, accuracy, make_recipe
from sentiloc.model.extractors.expression import EMOTIONS, FACE_SIZE, ServedExpression, build_net
from tests.support.shared_files import data_folder

SHIPPED = Path(__file__).parents[2] / "exported" / "expression"
SMALL = ExpressionRecipe(sides=((2, 16),), cycles=((2, 0.02),), batch=16)


def two_kinds(count: int = 64) -> FaceSet:
    """Half the faces are bright above, half below: separable by any working network."""
    labels = np.arange(count) % 2
    images = np.random.default_rng(0).integers(60, 120, (count, FACE_SIZE, FACE_SIZE), dtype=np.uint8)
    images[labels == 0, : FACE_SIZE // 2] += 120
    images[labels == 1, FACE_SIZE // 2 :] += 120
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[labels]
    return FaceSet(images, targets, np.ones(count, np.bool_), np.ones(count, np.float32))


def two_lessons(count: int = 64) -> Lessons:
    """The same faces as lessons: emotions and what follows from them."""
    return face_lessons(two_kinds(count))


@pytest.mark.parametrize(("name", "millions"), [("small", (0.5, 2.5)), ("resemotenet", (75, 85))])
def test_both_nets_learn_from_one_step_and_have_the_stated_size(
    name: str, millions: tuple[float, float], tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    trainer = ExpressionTrainer(replace(SMALL, net=name), tmp_path)
    size = sum(parameter.numel() for parameter in trainer.net.parameters()) / 1e6
    assert millions[0] < size < millions[1]
    before = trainer.net.classifier.state_dict()
    before = {key: value.clone() for key, value in before.items()}
    trainer._set_rate(0.5)
    faces = torch.rand(2, 1, FACE_SIZE, FACE_SIZE)
    loss = trainer.train_step(faces, two_lessons(2))
    assert 0 < loss < 20
    after = trainer.net.classifier.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    shapes = [tuple(reading.shape) for reading in trainer.averaged(faces)]
    assert shapes == [(2, 256), (2, 8), (2, 3), (2, 52), (2,)]


def test_an_unknown_net_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown net"):
        build_net("large")


def test_training_separates_separable_data(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = replace(SMALL, sides=((12, 16),), cycles=((12, 0.02),), average=0.8)
    trainer = ExpressionTrainer(recipe, tmp_path)
    trainer.fit(two_lessons(), {})
    assert accuracy(trainer.averaged, two_kinds()) > 0.9
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(losses) == 12
    assert losses[-1] < losses[0] / 2


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = ExpressionTrainer(SMALL, tmp_path / "whole")
    whole.fit(two_lessons(), {})
    stopped = ExpressionTrainer(SMALL, tmp_path / "parts")
    stopped.run.mkdir()
    stopped.train_epoch(two_lessons())
    stopped.epoch = 1
    stopped._save()
    resumed = ExpressionTrainer(SMALL, tmp_path / "parts")
    resumed.resume()
    resumed.fit(two_lessons(), {})
    for key, value in whole.averaged.state_dict().items():
        assert torch.equal(value, resumed.averaged.state_dict()[key]), key


def test_another_recipe_does_not_resume_a_run(tmp_path: Path) -> None:
    ExpressionTrainer(SMALL, tmp_path)._save()
    with pytest.raises(ValueError, match="another recipe"):
        ExpressionTrainer(replace(SMALL, seed=1), tmp_path).resume()


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    recipe = make_recipe("small", None, 0)
    (first, peak), (second, restart) = recipe.cycles
    assert recipe.rate(0) == 0
    assert recipe.rate(recipe.warmup * first) == pytest.approx(peak)
    assert recipe.rate(first - 1e-6) == pytest.approx(0, abs=1e-9)
    assert recipe.rate(first) == pytest.approx(restart)
    assert recipe.rate(first + second) == pytest.approx(0, abs=1e-9)
    assert recipe.epochs == first + second
    sides = [recipe.side(epoch) for epoch in range(recipe.epochs)]
    assert sides == sorted(sides)
    assert sides[-1] == FACE_SIZE


@pytest.mark.parametrize("mirror", [True, False])
def test_the_exported_graph_computes_the_net_for_any_batch(mirror: bool, tmp_path: Path) -> None:
    trainer = ExpressionTrainer(SMALL, tmp_path)
    trainer.train_epoch(two_lessons())
    net = trainer.averaged
    export_onnx(net, tmp_path / "net.onnx", mirror)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3, 17):
        faces = torch.rand(count, 1, FACE_SIZE, FACE_SIZE)
        found = session.run(list(OUTPUTS), {"faces": faces.numpy()})
        with torch.inference_mode():
            expected = ServedExpression(net, mirror)(faces)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_with_mirror_a_face_and_its_mirror_image_feel_the_same() -> None:
    torch.manual_seed(0)
    served = ServedExpression(build_net("small"), mirror=True).eval()
    faces = torch.rand(2, 1, FACE_SIZE, FACE_SIZE)
    with torch.inference_mode():
        for one, other in zip(served(faces), served(faces.flip(-1)), strict=True):
            torch.testing.assert_close(one, other)


def test_a_package_is_written_from_a_checkpoint(tmp_path: Path) -> None:
    trainer = ExpressionTrainer(SMALL, tmp_path)
    trainer._save()
    export_package(trainer.checkpoint, tmp_path / "out")
    spec = json.loads((tmp_path / "out" / "spec.json").read_text(encoding="utf-8"))
    network = (tmp_path / "out" / spec["network"]).read_bytes()
    assert spec["sha256"] == hashlib.sha256(network).hexdigest()
    assert not load_net(trainer.checkpoint).training


def test_votes_become_soft_labels_and_unclear_faces_go() -> None:
    votes = np.array(
        [
            [6, 0, 0, 3, 1, 0, 0, 0, 0, 0],
            [2, 0, 0, 2, 0, 0, 0, 0, 6, 0],
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            [2, 2, 0, 0, 0, 0, 0, 0, 0, 5],
            [0, 3, 0, 0, 0, 0, 0, 1, 3, 3],
        ],
        np.uint8,
    )
    targets, usable = vote_targets(votes)
    assert usable.tolist() == [True, False, False, False, False]
    np.testing.assert_allclose(targets[0], [6 / 9, 0, 0, 3 / 9, 0, 0, 0, 0], rtol=1e-6)


def test_augmented_faces_stay_faces() -> None:
    torch.manual_seed(3)
    faces = torch.rand(64, 1, FACE_SIZE, FACE_SIZE)
    changed = augment(faces, 32)
    assert changed.shape == (64, 1, 32, 32)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert changed.std() > 0.02


def test_moving_keeps_the_middle_near_the_middle() -> None:
    torch.manual_seed(0)
    faces = torch.zeros(256, 1, FACE_SIZE, FACE_SIZE)
    faces[:, :, 20:28, 20:28] = 1
    moved = move(faces, FACE_SIZE).mean(0)[0]
    centre = (moved.sum(0) * torch.arange(FACE_SIZE)).sum() / moved.sum()
    assert float(centre) == pytest.approx((FACE_SIZE - 1) / 2, abs=0.7)
    assert moved[24, 24] > 0.8
    assert moved[24, 24] < 1.0 + 1e-4


def test_ferplus_splits_share_no_image_and_have_the_known_size() -> None:
    splits = read_ferplus(data_folder("faces") / "ferplus_dev.npz")
    assert len(splits.report) == 3555
    seen = {image.tobytes() for image in splits.train.images}
    for kept_apart in (splits.report, splits.selection):
        assert not any(image.tobytes() in seen for image in kept_apart.images)
    np.testing.assert_allclose(splits.train.targets.sum(1), 1, rtol=1e-5)


def test_photos_are_split_by_person() -> None:
    splits = read_expressions(data_folder("faces") / "expressions")
    parts = (splits.train, splits.selection, splits.report)
    assert sum(map(len, parts)) == 6131
    assert all(len(part) > 300 for part in parts)


def test_the_shipped_net_beats_chance_by_far_on_held_out_faces() -> None:
    spec = json.loads((SHIPPED / "spec.json").read_text(encoding="utf-8"))
    network = SHIPPED / spec["network"]
    assert hashlib.sha256(network.read_bytes()).hexdigest() == spec["sha256"]
    assert tuple(spec["emotions"]) == EMOTIONS
    assert network.stat().st_size < 20e6
    report = read_ferplus(data_folder("faces") / "ferplus_dev.npz").report
    faces = report.images[:500, None].astype(np.float32) / 255
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    embedding, emotion = session.run(["embedding", "emotion"], {"faces": faces})
    assert embedding.shape == (500, 256)
    assert 0.3 < float(embedding.std()) < 3
    np.testing.assert_allclose(emotion.sum(1), 1, atol=1e-4)
    assert (emotion.argmax(1) == report.labels[:500]).mean() > 0.75
