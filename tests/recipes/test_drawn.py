"""Drawn faces of the recipes: labels, boxes, and photographs that are made to look drawn; no package is fetched."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from experiments.drawn_faces import drawn_examples
from recipes.starter.detector.compose import Composer
from recipes.starter.drawn import packages
from recipes.starter.drawn.avatars import face_box, rasterize
from recipes.starter.drawn.build import DrawnFaces, collect, sentiment_of, varied_crop
from recipes.starter.drawn.emoji import FACES
from recipes.starter.drawn.heads import Expression, draw_head, random_build, render
from recipes.starter.drawn.looks import STYLES
from recipes.starter.drawn.stylise import stylise
from sentiloc.model.extractors.expression import EMOTIONS
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE
from tests.recipes.synthetic_sources import make_detector_material

_FACE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="128" height="128">'
    '<circle cx="32" cy="32" r="28" fill="#fc3"/>{}</svg>'
)
_FEATURES = '<circle cx="24" cy="26" r="4"/><circle cx="40" cy="26" r="4"/><path d="M22 40h20v4h-20z"/>'


def _expression(**changes: object) -> Expression:
    plain = {
        "curve": 0.0,
        "opened": 0.0,
        "width": 0.4,
        "teeth": False,
        "inner": 0.0,
        "raised": 0.0,
        "lids": 0.9,
    }
    return Expression(**{**plain, **changes})  # type: ignore[arg-type]


def _drawn(count: int = 4) -> DrawnFaces:
    rng = np.random.default_rng(0)
    return collect((draw_head(rng) for _ in range(count)), held_out=False)


def test_every_label_is_an_emotion_and_only_clear_ones_have_a_sentiment() -> None:
    named = {emotion for style in STYLES for emotion in style.looks} | set(FACES)
    assert named <= set(EMOTIONS)
    found = {
        emotion: sentiment_of(EMOTIONS.index(emotion))
        for emotion in ("happiness", "neutral", "sadness", "anger")
    }
    assert found == {"happiness": POSITIVE, "neutral": NON_SENTIMENT, "sadness": NEGATIVE, "anger": NEGATIVE}
    assert sentiment_of(EMOTIONS.index("surprise")) == sentiment_of(-1) == -1


def test_no_code_point_has_two_emotions() -> None:
    points = [point for line in FACES.values() for point in line.split()]
    assert len(points) == len(set(points))


def test_the_box_surrounds_eyes_and_mouth() -> None:
    picture, opacity = rasterize(_FACE.format(_FEATURES))
    without, _ = rasterize(_FACE.format(""))
    box = face_box(picture, without, (0.2, 0.25, 0.3))
    assert box is not None and opacity[64, 64] == 255 and opacity[0, 0] == 0
    # Eyes and mouth reach from (20, 22) to (44, 44) of 64; the box adds what the extent says.
    assert np.allclose(box, (30.4, 33, 97.6, 101.2), atol=2)
    assert face_box(without, without, (0.2, 0.25, 0.3)) is None


def test_a_modelled_head_shows_its_expression() -> None:
    build, turn = random_build(np.random.default_rng(3)), np.eye(3, dtype=np.float32)
    light = np.array([0, 0, 1], np.float32)
    closed, _ = render(build, _expression(), turn, light, gloss=0)
    opened, opacity = render(build, _expression(opened=0.9), turn, light, gloss=0)
    mouth = np.abs(closed.astype(int) - opened).max(2) > 20
    rows, columns = np.flatnonzero(mouth.any(1)), np.flatnonzero(mouth.any(0))
    assert opacity[56, 56] == 255 and opacity[0, 0] == 0
    assert rows[0] > 48 and abs(columns.mean() - 55.5) < 2, "an opened mouth changes the lower middle only"


def test_a_modelled_head_lies_under_its_box() -> None:
    for seed in range(4):
        head = draw_head(np.random.default_rng(seed))
        x1, y1, x2, y2 = head.box.astype(int)
        assert head.opacity[max(0, y1) : y2, max(0, x1) : x2].mean() > 200
        assert head.emotion in EMOTIONS


def test_a_stylised_photograph_keeps_its_size_and_its_layout() -> None:
    rng = np.random.default_rng(0)
    face = np.full((48, 48), 60, np.uint8)
    cv2.circle(face, (24, 24), 20, 190, -1)
    cv2.ellipse(face, (24, 34), (8, 4), 0, 0, 180, 30, -1)
    for _ in range(6):
        drawn = stylise(rng, face)
        assert drawn.shape == face.shape and drawn.dtype == np.uint8
        assert np.corrcoef(drawn.ravel(), face.ravel())[0, 1] > 0.5


def test_a_crop_is_what_an_expression_network_reads() -> None:
    crop = varied_crop(np.random.default_rng(0), _drawn(), 1)
    assert crop.shape == (48, 48) and crop.dtype == np.uint8 and crop.std() > 5


def test_composed_scenes_contain_drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    material = make_detector_material(np.random.default_rng(1), _drawn())
    used: list[int] = []
    composer = Composer(material)
    original = Composer._drawn

    def counted(self: Composer, *arguments: object, **named: object) -> object:
        used.append(1)
        return original(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Composer, "_drawn", counted)
    scenes = [scene for i in range(8) for scene in composer.twins(np.random.default_rng(i), 160, 160)]
    assert used and all(scene.image.shape == (160, 160) for scene in scenes)
    assert sum(len(scene.faces) for scene in scenes) > 0


def test_a_package_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pack(command: Sequence[str], cwd: Path, check: bool) -> None:
        assert command[:2] == ["npm", "pack"] and check
        with tarfile.open(cwd / "scope-name-1.0.tgz", "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("package/a"), io.BytesIO())

    monkeypatch.setattr(subprocess, "run", pack)
    with pytest.raises(ValueError, match="has the digest"):
        packages.unpack_npm("@scope/name", "1.0", "0" * 64, tmp_path)
    assert not (tmp_path / "scope-name").exists()


def test_an_example_of_the_measurement_has_its_face_in_its_box() -> None:
    drawn = _drawn(3)
    grounds = [np.full((360, 640), 90, np.uint8)]
    examples = list(drawn_examples(np.random.default_rng(0), drawn, grounds))
    assert len(examples) == 3
    for image, box, kind in examples:
        x1, y1, x2, y2 = np.clip(box, 0, [640, 360, 640, 360]).astype(int)
        inside = image[y1:y2, x1:x2].astype(int)
        assert kind == "heads" and image.shape == (360, 640)
        assert np.abs(inside - 90).mean() > 10, "the box shows the face, not the ground"
