"""The planted task says what it shows: labels lie where the shots of their class are, whatever saw them."""

from __future__ import annotations

import numpy as np

from experiments.precision_world import SHOT_SNIPPETS, STEP, Bank, draw_shot, shot_classes, string_videos
from sentiloc.model.spec import NON_SENTIMENT

CLASSES = shot_classes(12)


def _bank(offset: float) -> Bank:
    """Each shot's features are its own index, and `offset`."""
    shots = np.arange(len(CLASSES), dtype=np.float32) + offset
    return Bank(np.tile(shots[:, None, None], (1, SHOT_SNIPPETS, 4)), CLASSES)


def test_segments_match_the_shots_of_their_class() -> None:
    for item in string_videos(_bank(0), 3, seed=1):
        shots = item.features.visual[:, 0].astype(int)  # type: ignore[index]
        shown = np.array(CLASSES)[shots]
        labelled = np.full(len(shown), NON_SENTIMENT)
        for start, end, index in item.segments:
            labelled[round(start / STEP) : round(end / STEP)] = index
        assert (labelled == shown).all()
        assert [shown[snippet] for snippet, _ in item.points] == [index for _, index in item.points]


def test_another_look_at_the_same_shots_changes_the_pictures_alone() -> None:
    for one, other in zip(
        string_videos(_bank(0), 2, seed=1), string_videos(_bank(0.5), 2, seed=1), strict=True
    ):
        assert (one.segments, one.points) == (other.segments, other.points)
        assert np.allclose(one.features.visual + 0.5, other.features.visual)  # type: ignore[operator, arg-type]


def test_classes_look_different_before_the_same_room() -> None:
    drawn = [draw_shot(shown, np.random.default_rng(0)) for shown in range(3)]
    assert {shot.shape for shot in drawn} == {(SHOT_SNIPPETS, 16, 224, 224, 3)}
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert 0.005 < (drawn[one] != drawn[other]).any(axis=-1).mean() < 0.5
