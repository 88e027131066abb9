"""The pictures of a composed sequence agree with its ground truth and change nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recipes.i3d import painting
from recipes.i3d.build import main_axes
from recipes.i3d.painting import Painter
from recipes.i3d.portraits import Picture
from recipes.i3d.render import FRAMES, film_person, film_scenery
from recipes.i3d.scenes import SceneBank
from recipes.starter.dataset import KINDS, make_items
from recipes.starter.faces.draft import FACE_STEP, SNIPPET, Draft, Shot, Sources
from recipes.starter.timelines import Span
from sentiloc.model.data.items import Item
from sentiloc.model.extractors.i3d_kinetics import class_names
from sentiloc.model.extractors.scene import GROUPS, SceneReader, group_members
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE
from tests.recipes.synthetic_sources import make_sources

DIM = 410
PEOPLE, SCENERY, CLIP = 402, 406, 408
"""Columns that say what is shown; the first 400 belong to the classes."""


@pytest.fixture(scope="module")
def sources() -> Sources:
    return make_sources()


@pytest.fixture
def painter(sources: Sources) -> Painter:
    """A bank in which every picture has a distinct value: people by label, scenery, clips by sentiment."""
    labels = np.repeat([NEGATIVE, POSITIVE, NON_SENTIMENT], 4)
    people = np.zeros((12, DIM), np.float32)
    people[np.arange(12), PEOPLE + labels] = 1.0
    scenery = np.zeros((5, DIM), np.float32)
    scenery[:, SCENERY] = 1.0
    clips = {clip.name: np.full((5, DIM), 0, np.float32) for clip in sources.clips}
    for clip in sources.clips:
        clips[clip.name][:, CLIP] = clip.sentiment + 1
    weight = torch.zeros(400, DIM)
    weight[:, :400] = 4 * torch.eye(400)
    reader = SceneReader(
        weight, torch.zeros(400), group_members(class_names()), torch.zeros(0, DIM), torch.zeros(DIM)
    )
    bank = SceneBank(people=people, labels=labels, scenery=scenery, clips=clips)
    return Painter(bank=bank, reader=reader, clips=tuple(sources.clips), seed=1)


def quiet(monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    """Turn off random changes, except those that a test enables."""
    for name in ("SAID_UNSEEN", "SAID_SEEN", "OTHER_ACTIONS", "CONFUSED"):
        monkeypatch.setattr(painting, name, values.get(name, 0.0))


def test_shots_are_painted_at_their_times(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    draft = Draft.empty(12 * SNIPPET)
    draft.shots = [
        Shot(kind="person", start=0.0, end=4 * SNIPPET, label=POSITIVE),
        Shot(kind="clip", start=4 * SNIPPET, end=8 * SNIPPET, number=0),
        Shot(kind="scene", start=2 * SNIPPET, end=4 * SNIPPET),
    ]
    found = painter.paint(np.random.default_rng(0), draft)
    assert (found[:4, PEOPLE + POSITIVE] > 0.9).tolist() == [True, True, False, False]
    assert (found[4:8, CLIP] == NEGATIVE + 1).all() and not found[4:8, SCENERY].any()
    assert (found[8:, SCENERY] > 0.9).all()


def test_a_face_shows_the_expression_of_its_episode(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch)
    draft = Draft.empty(20 * SNIPPET)
    draft.shots = [Shot(kind="person", start=0.0, end=20 * SNIPPET, label=label) for label in (2, 0)]
    found = painter.paint(np.random.default_rng(0), draft)
    assert (found[:, PEOPLE + NEGATIVE] > 0.9).all() and not found[:, PEOPLE + NON_SENTIMENT].any()


@pytest.mark.parametrize("label", [NEGATIVE, POSITIVE])
def test_only_episodes_are_moved_towards_their_sentiment(
    painter: Painter, label: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch, SAID_UNSEEN=1.0)
    draft = Draft.empty(20 * SNIPPET)
    draft.spans = [Span(5 * SNIPPET, 10 * SNIPPET, label)]
    read = painter.reader(torch.from_numpy(painter.paint(np.random.default_rng(3), draft))[None])[0].numpy()
    groups = list(GROUPS)
    meant = {NEGATIVE: ("crying", "fight"), POSITIVE: ("laughing", "joy")}
    own = np.exp(read[:, [groups.index(name) for name in meant[label]]]).max(1)
    other = np.exp(read[:, [groups.index(name) for name in meant[1 - label]]]).max(1)
    assert own[5:10].min() > 0.02 and own[5:10].min() > 2 * np.r_[own[:5], own[10:]].max()
    assert other.max() < 0.02


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_features_are_moved_until_the_classifier_agrees(painter: Painter, share: float) -> None:
    base = np.abs(np.random.default_rng(0).normal(0, 0.1, (40, DIM))).astype(np.float32)
    moved = painter._meaning(np.random.default_rng(1), base, "laughing", share)
    logits = moved.mean(0) @ painter.reader.weight.numpy().T
    powers = np.exp(logits - logits.max())
    assert abs(powers[class_names().index("laughing")] / powers.sum() - share) < 0.08
    assert (moved >= 0).all()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_painting_changes_nothing_else_and_is_repeatable(
    sources: Sources, painter: Painter, kind: str
) -> None:
    plain = make_items(sources, {kind: 2}, seed=1, spoil=True)
    first, again = (make_items(sources, {kind: 2}, seed=1, spoil=True, paint=painter) for _ in range(2))
    for item, twin, bare in zip(first, again, plain, strict=True):
        assert item.features.visual is not None and twin.features.visual is not None
        assert np.array_equal(item.features.visual, twin.features.visual)
        assert item.features.visual.shape == (len(bare.features), painter.reader.outputs)
        assert item.features.visual_present.all() and item.segments == bare.segments
        assert np.array_equal(np.asarray(item.features.audio), np.asarray(bare.features.audio))
        assert np.array_equal(np.asarray(item.features.face), np.asarray(bare.features.face))


def test_every_face_of_a_sequence_is_in_a_shot(sources: Sources) -> None:
    """The painter must know every visible face, or pictures would show nobody while a face is present."""
    drafts: list[Draft] = []

    def keep(item: Item, draft: Draft) -> Item:
        drafts.append(draft)
        return item

    make_items(sources, dict.fromkeys(KINDS, 3), seed=4, spoil=False, paint=keep)
    for draft in drafts:
        times = (np.flatnonzero(draft.seen) + 0.5) * FACE_STEP
        assert all(any(s.start <= t <= s.end + FACE_STEP for s in draft.shots) for t in times)


Film = Callable[[np.random.Generator, Picture, Picture], Picture]
FILMS: dict[str, Film] = {
    "before a picture": film_person,
    "close": lambda rng, face, _picture: film_person(rng, face, None),
    "scenery": lambda rng, _face, picture: film_scenery(rng, picture),
}


@pytest.mark.parametrize("kind", sorted(FILMS))
def test_films_are_snippets_that_move_and_repeat(kind: str) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    face = np.random.default_rng(1).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    one, same, other = (FILMS[kind](np.random.default_rng(seed), face, picture) for seed in (5, 5, 6))
    assert one.shape == (FRAMES, 224, 224, 3) and one.dtype == np.uint8
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_main_axes_give_unit_deviations_whatever_a_source_weighs() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([5.0, 1.0, 0.1])
    sources = [(rng.normal(0, 1, (n, 3)) * spread).astype(np.float32) for n in (4000, 200)]
    mean, axes = main_axes(sources, 2)
    coordinates = (sources[0] - mean) @ axes.T
    assert axes.shape == (2, 3) and np.allclose(coordinates.std(0), 1, atol=0.1)
    assert abs(axes[0, 0]) > 10 * abs(axes[0, 2])
