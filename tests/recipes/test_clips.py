"""Real clips are read with their faces, their voice and their time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recipes.starter.clips import (
    IGNORED,
    Box,
    Clip,
    Image,
    decode_image,
    read_clips,
    sampled_frames,
    sentiment_of,
    teacher_detector,
)
from recipes.starter.faces.bank import talk
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE
from tests.support.media import make_clip, read_time
from tests.support.shared_files import data_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_clip(tmp_path / "a.mp4", seconds=2.0, fps=30.0, audio="aac")
    (tmp_path / "index.csv").write_text(
        "file,actor,sentence,emotion\na.mp4,actor01,s,happy\n", encoding="utf-8"
    )
    return tmp_path


def in_the_middle(image: Image) -> Box | None:
    height, width = image.shape[:2]
    return width / 4, height / 4, width / 2, height / 2


def read(folder: Path) -> Clip:
    return read_clips(folder, folder / "cache", in_the_middle)[0]


def test_every_fourth_frame_of_the_grid_is_sampled(folder: Path) -> None:
    times = [read_time(frame) for frame in sampled_frames(folder / "a.mp4")]
    assert len(times) == 13
    assert np.abs(np.array(times) - 0.16 * np.arange(13)).max() <= 1 / 30 + 1e-3


def test_a_clip_keeps_loose_crops_and_sound(folder: Path) -> None:
    clip = read(folder)
    assert clip.sentiment == POSITIVE and clip.actor == "actor01" and clip.seen.all()
    assert len(clip.crops) == len(clip.boxes) == 13
    assert clip.seconds == pytest.approx(2.08)
    crop = decode_image(clip.crops[0])
    assert crop.shape[0] == crop.shape[1] == pytest.approx(2 * max(clip.boxes[0, 2:]), abs=1)
    assert len(clip.samples) == pytest.approx(2 * 16_000, abs=2500)


def test_a_clip_is_decoded_once(folder: Path) -> None:
    first = read(folder)
    (folder / "a.mp4").unlink()
    again = read(folder)
    assert again.crops == first.crops and np.array_equal(again.samples, first.samples)


def test_a_clip_without_a_face_has_none(folder: Path) -> None:
    clip = read_clips(folder, folder / "cache", lambda image: None)[0]
    assert not clip.seen.any() and clip.crops[0] == b""


def test_emotions_have_the_sentiment_of_the_data_sheet() -> None:
    assert sentiment_of("happy") == POSITIVE and sentiment_of("calm") == NON_SENTIMENT
    assert {sentiment_of(e) for e in ("angry", "sad", "fearful", "disgust", "contempt")} == {NEGATIVE}
    assert sentiment_of("surprised") == IGNORED


def test_the_teacher_sees_real_faces() -> None:
    weights = data_folder("weights") / "yunet_n_dynamic.onnx"
    find = teacher_detector(weights)
    frame = next(sampled_frames(data_folder("javanese_av") / "01-01-01_01.mp4"))
    box = find(frame)
    assert box is not None and 40 < box[3] < 200
    assert find(np.full_like(frame, 127)) is None


def test_a_talking_face_moves_below_the_nose_only() -> None:
    face = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    closed, opened = talk(face, 0.0), talk(face, 1.0)
    assert np.abs(closed[:30].astype(int) - face[:30]).max() <= 12
    assert np.abs(opened[:28].astype(int) - face[:28]).max() <= 12
    assert np.abs(opened[34:].astype(int) - face[34:]).mean() > 20
    assert talk(np.repeat(face[..., None], 3, 2), 0.5).shape == (48, 48, 3)
