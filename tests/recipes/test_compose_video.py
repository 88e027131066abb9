"""The evaluation MP4s are real files whose pictures and sound agree with the ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from recipes.starter.clips import Image, decode_sound, sampled_frames
from recipes.starter.compose_video import (
    Cast,
    compose_videos,
    join_videos,
    merge_spans,
    read_truth,
    write_mp4,
)
from recipes.starter.timelines import Span, TimelineStatistics
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

RATE = 16_000


def plain_frames(value: int, count: int) -> Iterator[Image]:
    return (np.full((64, 96, 3), value, np.uint8) for _ in range(count))


@pytest.fixture
def takes(tmp_path: Path) -> list[tuple[Path, str, int]]:
    """Clips of 2 s, a grey level per class, with a tone."""
    tone = (0.3 * np.sin(np.arange(2 * RATE) * 0.2)).astype(np.float32)
    found = []
    for label, value in ((NEGATIVE, 40), (POSITIVE, 220), (NON_SENTIMENT, 128)):
        path = tmp_path / f"{label}.mp4"
        write_mp4(path, plain_frames(value, 50), 25, tone)
        found.append((path, "somebody", label))
    return found


def test_a_written_file_has_its_pictures_and_its_sound(takes: list[tuple[Path, str, int]]) -> None:
    frames = list(sampled_frames(takes[1][0]))
    assert len(frames) == 13 and abs(float(frames[6].mean()) - 220) < 15
    sound = decode_sound(takes[1][0])
    assert abs(len(sound) - 2 * RATE) < 3000 and np.abs(sound).max() > 5000


def test_joined_videos_agree_with_the_ground_truth(
    tmp_path: Path, takes: list[tuple[Path, str, int]]
) -> None:
    folder = tmp_path / "joined"
    join_videos(folder, takes, count=2, seed=3)
    truth = read_truth(folder)
    assert sorted(truth) == ["joined00.mp4", "joined01.mp4"]
    for name, spans in truth.items():
        frames = list(sampled_frames(folder / name))
        for span in spans:
            level = frames[round((span.start + span.end) / 2 / 0.16)].mean()
            assert abs(float(level) - (220 if span.label == POSITIVE else 40)) < 15


def test_more_joined_videos_begin_with_the_same_ones(
    tmp_path: Path, takes: list[tuple[Path, str, int]]
) -> None:
    few, more = tmp_path / "few", tmp_path / "more"
    join_videos(few, takes, count=1, seed=3)
    join_videos(more, takes, count=2, seed=3)
    assert read_truth(more)["joined00.mp4"] == read_truth(few)["joined00.mp4"]
    assert read_truth(more)["joined01.mp4"] != read_truth(more)["joined00.mp4"]


def test_composed_videos_are_the_seeds(tmp_path: Path, takes: list[tuple[Path, str, int]]) -> None:
    photo = tmp_path / "face.jpg"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    everything = {c: [photo] for c in (NEGATIVE, POSITIVE, NON_SENTIMENT)}
    cast = Cast(faces=everything, voices={c: [takes[0][0]] for c in everything})
    statistics = TimelineStatistics(
        lengths=np.full(1, 3, np.float32), gaps=np.full(1, 9, np.float32), repeat=0.5, positive=0.5
    )
    for folder in ("a", "b"):
        compose_videos(tmp_path / folder, cast, statistics, count=1, seed=1)
    first, again = (read_truth(tmp_path / folder) for folder in ("a", "b"))
    assert first == again and len(first["composed00.mp4"]) >= 2
    one, other = (next(sampled_frames(tmp_path / folder / "composed00.mp4")) for folder in ("a", "b"))
    assert np.array_equal(one, other)


def test_touching_spans_of_one_class_merge() -> None:
    spans = [Span(0, 2, 1), Span(2, 3, 1), Span(3, 4, 2), Span(4, 5, 1), Span(5, 6, 0)]
    assert merge_spans(spans) == [Span(0, 3, 1), Span(4, 5, 1), Span(5, 6, 0)]
