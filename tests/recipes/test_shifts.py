"""A shifted sequence changes as a whole: changes over time and the ground truth stay the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recipes.starter.shifts import KEPT, LEAST_SNIPPETS, SHIFTED, shift_items
from sentiloc.model.data.items import Item, SegmentLabel
from sentiloc.model.segments import FloatArray, SnippetFeatures

TIME = LEAST_SNIPPETS


@pytest.fixture(scope="module")
def items() -> list[Item]:
    rng = np.random.default_rng(0)
    return [make_item(rng, number) for number in range(60)]


def make_item(rng: np.random.Generator, number: int) -> Item:
    present = rng.random(TIME) > 0.2 * (number % 6)
    return Item(
        name=f"item{number}",
        features=SnippetFeatures(
            visual=None,
            audio=rng.normal(number, 1, (TIME, 512)).astype(np.float32),
            face=rng.normal(number, 1, (TIME, 256)).astype(np.float32),
            visual_present=np.zeros(TIME, bool),
            audio_present=present,
            face_present=~present,
        ),
        fps=25.0,
        segments=(SegmentLabel(1.0, 3.0, 1),),
    )


def face(item: Item) -> FloatArray:
    assert item.features.face is not None
    return item.features.face


def audio(item: Item) -> FloatArray:
    assert item.features.audio is not None
    return item.features.audio


@pytest.mark.parametrize("stream", [face, audio])
def test_about_the_stated_share_moves_and_only_as_a_whole(
    items: list[Item], stream: Callable[[Item], FloatArray]
) -> None:
    steps = [stream(new) - stream(old) for new, old in zip(shift_items(items, seed=1), items, strict=True)]
    assert all(np.allclose(step, step[0], atol=1e-4) for step in steps)
    moved = np.mean([np.abs(step).max() > 1e-3 for step in steps])
    assert abs(moved - SHIFTED[stream.__name__]) < 0.2


def test_truth_and_presence_stay_and_the_seed_decides(items: list[Item]) -> None:
    first, again, other = (shift_items(items, seed=seed) for seed in (1, 1, 2))
    for old, new, twin in zip(items, first, again, strict=True):
        assert new.segments == old.segments
        assert np.array_equal(new.features.face_present, old.features.face_present)
        assert np.array_equal(audio(new), audio(twin))
    assert any(not np.array_equal(face(a), face(b)) for a, b in zip(first, other, strict=True))


def test_an_absent_stream_is_not_shifted(items: list[Item]) -> None:
    deaf = [
        replace(item, features=replace(item.features, audio_present=np.zeros(TIME, bool)))
        for item in items[:5]
    ]
    for old, new in zip(deaf, shift_items(deaf, seed=3), strict=True):
        assert np.array_equal(audio(old), audio(new))


def test_sequences_without_people_stay(items: list[Item]) -> None:
    empty = [replace(item, name=f"{KEPT}{item.name}") for item in items]
    assert all(new is old for old, new in zip(empty, shift_items(empty, seed=1), strict=True))


def test_short_sequences_stay(items: list[Item]) -> None:
    short = [
        replace(
            item,
            features=SnippetFeatures(
                visual=None,
                audio=audio(item)[:-1],
                face=face(item)[:-1],
                visual_present=item.features.visual_present[:-1],
                audio_present=item.features.audio_present[:-1],
                face_present=item.features.face_present[:-1],
            ),
        )
        for item in items
    ]
    assert all(new is old for old, new in zip(short, shift_items(short, seed=1), strict=True))
