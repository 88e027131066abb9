"""Training data of the expression network: lessons, cut-out faces, pictures without people, shipped weights."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from recipes.starter.faces.augment import own_outline, remask
from recipes.starter.faces.export import export_onnx
from recipes.starter.faces.faces import FaceSet, FaceSplits
from recipes.starter.faces.lessons import (
    HELD_OUT_SUBJECTS,
    Lessons,
    WildFaces,
    face_lessons,
    faceless_lessons,
    join,
    make_lessons,
    outlines_of,
    smoothed,
)
from recipes.starter.faces.material import WILD_SHARES, FaceMaterial, held_out, seen_again
from recipes.starter.faces.teacher import BlendshapeTeacher
from recipes.starter.faces.train import ExpressionRecipe, lesson_loss
from recipes.starter.folded import load_folded
from recipes.starter.pictures import draw, fonts, read_pictures
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.expression import (
    BLENDSHAPES,
    EMOTIONS,
    FACE_SIZE,
    Readings,
    ServedExpression,
    build_net,
)
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE
from tests.support.shared_files import data_folder

IMAGES = np.zeros((3, FACE_SIZE, FACE_SIZE), np.uint8)


def test_sentiment_follows_from_emotion_and_surprise_teaches_none() -> None:
    lessons = make_lessons(IMAGES, smoothed(["sad", "happy", "surprise"], smoothing=0.0))
    assert lessons.sentiment[:2].argmax(1).tolist() == [NEGATIVE, POSITIVE]
    assert lessons.sentiment_weight.tolist() == [1.0, 1.0, 0.0]
    neutral = make_lessons(IMAGES[:1], smoothed(["neutral"]))
    assert neutral.sentiment.argmax(1).tolist() == [NON_SENTIMENT]
    np.testing.assert_allclose(neutral.sentiment.sum(1), 1, rtol=1e-6)


def test_blendshape_lessons_need_a_face_found_by_the_teacher() -> None:
    shapes = np.full((3, 52), 0.5, np.float32)
    shapes[1] = np.nan
    lessons = make_lessons(IMAGES, smoothed(["sad"] * 3), shapes=shapes)
    assert lessons.blendshapes_weight.tolist() == [1.0, 0.0, 1.0]
    assert np.isfinite(lessons.blendshapes).all()


def test_lessons_are_kept_and_joined(tmp_path: Path) -> None:
    lessons = join([make_lessons(IMAGES, smoothed(["sad"] * 3), masked=True), faceless_lessons(IMAGES)])
    lessons.save(tmp_path / "lessons.npz")
    again = Lessons.load(tmp_path / "lessons.npz")
    assert len(again) == 6
    assert again.face.tolist() == [1, 1, 1, 0, 0, 0]
    assert again.take(again.face < 1).emotion_weight.tolist() == [0, 0, 0]


def _readings(count: int) -> Readings:
    shapes = torch.zeros(count, len(BLENDSHAPES))
    return Readings(
        torch.zeros(count, 256), torch.zeros(count, 8), torch.zeros(count, 3), shapes, torch.zeros(count)
    )


def test_a_picture_without_a_face_teaches_only_that() -> None:
    recipe, spread = ExpressionRecipe(face=0.0), torch.ones(52)
    assert float(lesson_loss(_readings(3), faceless_lessons(IMAGES), recipe, spread)) == 0
    recipe = replace(recipe, face=1.0)
    assert float(lesson_loss(_readings(3), faceless_lessons(IMAGES), recipe, spread)) == pytest.approx(
        np.log(2), abs=1e-5
    )


def test_cut_out_faces_get_surroundings_and_others_are_cut_out() -> None:
    torch.manual_seed(0)
    axis = np.arange(FACE_SIZE)
    disc = (axis[:, None] - 23.5) ** 2 + (axis - 23.5) ** 2 < 20**2
    cut = torch.from_numpy(np.where(disc, 0.5, 0.0).astype(np.float32)).expand(200, 1, -1, -1)
    whole = torch.full((200, 1, FACE_SIZE, FACE_SIZE), 0.5)
    outlines = torch.from_numpy(outlines_of(np.where(disc, 128, 0).astype(np.uint8)[None]))
    masked = torch.arange(400) < 200
    mixed = remask(torch.cat([cut, whole]), masked, outlines)
    assert torch.equal(mixed[:, :, 20:28, 20:28], torch.full((400, 1, 8, 8), 0.5))
    black = (mixed[:, 0, 0, 0] == 0).float()
    assert 0.25 < float(black[:200].mean()) < 0.65
    assert 0.02 < float(black[200:].mean()) < 0.2
    assert own_outline(cut)[:, 0].float().mean() == pytest.approx(disc.mean(), abs=0.02)


def test_pictures_that_may_show_a_face_are_left_out(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (100, 900, 3), dtype=np.uint8)
    for name in ("stamps/people/fireman.png", "stamps/tools/saw.png", "char/tux.png", "tiny.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture if name != "tiny.png" else picture[:8, :8])
    found = read_pictures(tmp_path)
    assert [p.shape for p in found] == [(71, 640, 3)]


def test_drawn_pictures_differ_and_repeat() -> None:
    typefaces = fonts()
    if not typefaces:
        pytest.skip("no fonts here")
    one, same, other = (draw(np.random.default_rng(seed), typefaces) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    for seed in range(60):
        assert draw(np.random.default_rng(seed), typefaces).shape == (360, 640, 3)


def test_a_shipped_net_is_restored_with_its_batch_norms(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_net("small")
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.momentum = None
        for _ in range(5):
            net.train()(torch.rand(16, 1, FACE_SIZE, FACE_SIZE))
    export_onnx(net.eval(), tmp_path / "net.onnx", mirror=True)
    other = build_net("small")
    batches = [torch.rand(64, 1, FACE_SIZE, FACE_SIZE) for _ in range(4)]
    assert load_folded(other, tmp_path / "net.onnx", batches) == []
    faces = torch.rand(64, 1, FACE_SIZE, FACE_SIZE)
    found = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"faces": faces.numpy()})
    with torch.inference_mode():
        restored = ServedExpression(other.eval(), mirror=True)(faces)
        learning = other.train()(faces).embedding
    for one, two in zip(found, restored, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)
    gap = (learning - net(faces).embedding).abs().mean() / net(faces).embedding.std()
    assert gap < 0.5


def test_another_net_is_not_restored_from_the_file(tmp_path: Path) -> None:
    export_onnx(build_net("small").eval(), tmp_path / "net.onnx", mirror=False)
    with pytest.raises(ValueError, match="folded convolutions"):
        load_folded(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3)), tmp_path / "net.onnx", [])


def test_repeated_pictures_are_found() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, FACE_SIZE, FACE_SIZE), dtype=np.uint8)
    noisy = np.clip(images[:5] * 0.8 + rng.normal(0, 3, images[:5].shape), 0, 255).astype(np.uint8)
    assert seen_again(images, noisy).tolist() == [True] * 5 + [False] * 35
    assert 0 < held_out(np.zeros((1000, 1, 1), np.uint8)).mean() < 0.2


def test_the_teacher_reads_a_smile_and_an_open_mouth() -> None:
    folder = data_folder("faces_wild")
    teacher = BlendshapeTeacher(data_folder("weights"))
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "faces_wild.npz") as held:
        stream, offsets = held["jpeg"], held["offsets"]
    smiles = {}
    for label in ("happy", "neutral"):
        chosen = [i for i, r in enumerate(rows) if (r["source"], r["label"]) == ("unmasked_wild", label)][:10]
        pictures = [cv2.imdecode(stream[offsets[i] : offsets[i + 1]], cv2.IMREAD_COLOR_RGB) for i in chosen]
        smiles[label] = np.nanmean(
            teacher.label([np.asarray(p, np.uint8) for p in pictures])[:, BLENDSHAPES.index("mouthSmileLeft")]
        )
    assert smiles["happy"] > 0.5 > 0.3 > smiles["neutral"]


def test_a_folder_without_the_index_is_a_clear_error(tmp_path: Path) -> None:
    from recipes.starter.faces.lessons import read_wild

    with pytest.raises(SentilocError) as refused:
        read_wild(tmp_path, None)  # type: ignore[arg-type]
    assert refused.value.code is ErrorCode.INVALID_DATA
    assert len(EMOTIONS) == 8


def test_sources_and_people_that_are_left_out_are_not_in_the_lessons() -> None:
    sources = ("masked_wild", "unmasked_wild", "performers", "performers")
    wild = WildFaces(
        images=np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8),
        shapes=np.zeros((4, 52), np.float32),
        labels=("happy", "sad", "angry", "angry"),
        sources=sources,
        subjects=("", "", "01", next(iter(HELD_OUT_SUBJECTS))),
    )
    none = FaceSet(
        np.zeros((0, 48, 48), np.uint8), np.zeros((0, 8), np.float32), np.zeros(0, bool), np.zeros(0, "f4")
    )
    one = FaceSet(
        np.ones((1, 48, 48), np.uint8), np.eye(1, 8, dtype=np.float32), np.ones(1, bool), np.ones(1, "f4")
    )
    material = FaceMaterial(
        ferplus=FaceSplits(none, none, one),
        photos=FaceSplits(none, none, none),
        ferplus_shapes=np.zeros((0, 52), np.float32),
        photo_shapes=np.zeros((0, 52), np.float32),
        wild=wild,
        clips=face_lessons(none, np.zeros((0, 52), np.float32)),
        nothing=np.zeros((0, 48, 48), np.uint8),
    )

    def used(without: tuple[str, ...]) -> list[int]:
        images = material.training(without).images
        return [n for n, image in enumerate(wild.images) if (images == image).all((1, 2)).any()]

    assert used(()) == [0, 1, 2]
    assert used(("masked_wild", "performers")) == [1]
    assert used(tuple(WILD_SHARES)) == []
