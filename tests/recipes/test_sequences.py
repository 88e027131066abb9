"""Composed sequences are consistent: the features at a time agree with the segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recipes.starter.dataset import KINDS, fold_of, make_items, read_faces_of
from recipes.starter.everyday import everyday
from recipes.starter.faces.draft import SNIPPET, SOUND_STEP, Draft, Sources
from recipes.starter.faces.person import Person, show_talking
from recipes.starter.sequences import finish, joined
from recipes.starter.timelines import Span
from recipes.starter.voices.data import LogMels
from sentiloc.model.data.items import Item
from sentiloc.model.extractors.logmel import FRAMES
from sentiloc.model.spec import NON_SENTIMENT
from tests.recipes.synthetic_sources import BURST_BAND, make_sources


@pytest.fixture(scope="module")
def sources() -> Sources:
    return make_sources()


def inside_out(item: Item) -> list[tuple[int, int]]:
    """(true class, class of the face) of snippets that have one class throughout and a face."""
    step, pairs = item.snippet_seconds, []
    assert item.features.face is not None
    for t in range(len(item.features)):
        touched = [s for s in item.segments if s.start < (t + 1) * step and s.end > t * step]
        whole = [s for s in touched if s.start <= t * step and s.end >= (t + 1) * step]
        if item.features.face_present[t] and len(touched) == len(whole) <= 1:
            shown = int(item.features.face[t, 0].round()) - 1
            pairs.append((touched[0].class_index if touched else NON_SENTIMENT, shown))
    return pairs


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_items_are_well_formed_and_repeatable(sources: Sources, kind: str) -> None:
    first, again = (make_items(sources, {kind: 3}, seed=1, spoil=True) for _ in range(2))
    for item, twin in zip(first, again, strict=True):
        features = item.features
        assert features.face is not None and features.audio is not None
        assert features.face.shape == (len(features), 256) and features.audio.shape == (len(features), 32, 60)
        assert np.isfinite(features.audio).all() and not features.visual_present.any()
        assert twin.features.audio is not None
        assert np.array_equal(features.audio, twin.features.audio) and item.segments == twin.segments
        assert len(item.points) == len(item.segments)
        assert all(0 <= s.start < s.end <= len(features) * SNIPPET + 1e-6 for s in item.segments)


def test_an_item_is_made_of_the_voices_of_its_fold(sources: Sources) -> None:
    """Only then can an encoder that was not trained on them encode the whole item."""
    mute = replace(
        sources, voices=replace(sources.voices, versions=[_silenced(v) for v in sources.voices.versions])
    )
    with_banks = make_items([sources, mute], {"acted": 4}, seed=1, spoil=False)
    for item, voiced in zip(with_banks, make_items(sources, {"acted": 4}, seed=1, spoil=False), strict=True):
        assert item.features.audio is not None and voiced.features.audio is not None
        assert np.array_equal(item.features.audio, voiced.features.audio) == (fold_of(item.name) == 0)


def test_a_talking_face_of_everyday_sequences_is_neutral(sources: Sources) -> None:
    draft = Draft.empty(12.8)
    show_talking(np.random.default_rng(1), draft, sources, 1.28, 9.6)
    seen = np.flatnonzero(draft.seen)
    assert seen.min() == 4 and seen.max() == 29 and len(seen) == 26
    assert np.allclose(draft.face[seen, 0], NON_SENTIMENT + 1, atol=0.1)


def test_a_reading_of_faces_leaves_absent_ones_empty(sources: Sources) -> None:
    items = make_items(sources, {"composed": 1}, seed=2, spoil=True)
    reading = np.random.default_rng(0).normal(size=(8, 256)).astype(np.float32)
    features = read_faces_of(items, reading)[0].features
    assert features.face is not None and items[0].features.face is not None
    seen = features.face_present
    assert not features.face[~seen].any()
    assert np.allclose(features.face[seen], items[0].features.face[seen] @ reading.T, atol=1e-4)


def _silenced(mels: LogMels) -> LogMels:
    return LogMels(np.full_like(mels.frames, -0.6), mels.offsets)


def test_joined_clips_agree_with_the_ground_truth(sources: Sources) -> None:
    items = make_items(sources, {"joined": 12}, seed=3, spoil=False)
    pairs = [pair for item in items for pair in inside_out(item)]
    assert len(pairs) > 300
    assert all(true == shown for true, shown in pairs), "hard cuts lie where the truth says"


def test_faces_of_acted_scenes_mostly_show_the_truth(sources: Sources) -> None:
    pairs = [p for i in make_items(sources, {"acted": 25}, seed=4, spoil=False) for p in inside_out(i)]
    assert np.mean([true == shown for true, shown in pairs]) > 0.75


def test_neighbours_of_one_class_are_one_segment(sources: Sources) -> None:
    draft = joined(np.random.default_rng(9), sources, 80.0)
    for before, after in zip(draft.spans, draft.spans[1:], strict=False):
        assert before.label != after.label or after.start - before.end >= 0.3


def test_half_of_everyday_sequences_are_neutral_and_have_sound(sources: Sources) -> None:
    drafts = [everyday(np.random.default_rng(n), sources, 40.0) for n in range(60)]
    calm = [draft for draft in drafts if not draft.spans]
    assert 0.35 < len(calm) / len(drafts) < 0.75
    assert np.mean([draft.power.any() for draft in calm]) > 0.7
    felt = sum(span.end - span.start for draft in drafts for span in draft.spans)
    assert felt < 0.35 * 40.0 * len(drafts), "most time is neutral"


def test_faces_of_everyday_episodes_show_them_and_others_are_neutral(sources: Sources) -> None:
    items = make_items(sources, {"everyday": 60}, seed=6, spoil=False)
    pairs = [pair for item in items for pair in inside_out(item)]
    calm = [shown == NON_SENTIMENT for true, shown in pairs if true == NON_SENTIMENT]
    felt = [shown == true for true, shown in pairs if true != NON_SENTIMENT]
    assert np.mean(calm) > 0.95 and np.mean(felt) > 0.6


def test_bursts_occur_only_in_segments_with_sentiment(sources: Sources) -> None:
    """Laughter and crying are the only sounds of the shelf that are in the top band here."""
    for seed in range(40):
        draft = everyday(np.random.default_rng(seed), sources, 40.0)
        times = (np.arange(len(draft.power)) + 0.5) * SOUND_STEP
        felt = np.zeros(len(times), bool)
        for span in draft.spans:
            felt |= (times >= span.start - SOUND_STEP) & (times < span.end + SOUND_STEP)
        rest = draft.power[~felt]
        assert not (rest[:, BURST_BAND] > 10 * rest[:, :BURST_BAND].max(1) + 1e-3).any()


def test_spoiling_never_takes_both_streams_of_a_whole_sequence(sources: Sources) -> None:
    items = make_items(sources, {"joined": 60}, seed=5, spoil=True)
    shares = np.array([(i.features.face_present.any(), i.features.audio_present.any()) for i in items])
    assert shares.any(1).all()
    assert (~shares).any(0).all(), "each stream is missing somewhere"


def test_silence_is_absent_and_a_voice_is_present(sources: Sources) -> None:
    draft = Draft.empty(6.4)
    draft.say(0.0, np.full((5 * FRAMES, 60), 1.0, np.float32))
    item = finish(np.random.default_rng(2), "x", draft, sources, spoil=False)
    assert item.features.audio_present[:5].all()


def test_an_expression_rises_and_falls(sources: Sources) -> None:
    draft = Draft.empty(12.8)
    Person(np.random.default_rng(0), sources).show(draft, 0.0, 12.8, 1, ramp=3.0)
    shown = draft.face[draft.seen, 0]
    distance = np.abs(shown - (NON_SENTIMENT + 1))
    assert distance[len(distance) // 2] > 3 * max(distance[0], distance[-1])


def test_samples_between_two_times_are_those_whose_middle_lies_there() -> None:
    draft = Draft.empty(6.4)
    assert draft.between(0.0, 0.64) == slice(0, 2)
    assert draft.between(0.17, 0.64) == slice(1, 2)
    assert Span(0.0, 1.0, 1) == (0.0, 1.0, 1)
