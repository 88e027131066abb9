"""The audio encoder's first training stage: held-out people, batches, and resumption."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.starter.splits import (
    FOLDS,
    VALIDATION_ACTORS,
    VALIDATION_SPEAKERS,
    folds_of,
    is_validation_speaker,
)
from recipes.starter.voices import augment as speech_augment
from recipes.starter.voices.data import EMOTIONS, LogMels, Utterance, read_index, training_items
from recipes.starter.voices.net import SpeechNet
from recipes.starter.voices.sequences import SpeechBatch, SpeechComposer
from recipes.starter.voices.train import SpeechTraining, open_run
from tests.support.shared_files import data_folder

UTTERANCES = [
    Utterance(file=f"{speaker}{emotion}", corpus=corpus, speaker=speaker, emotion=emotion)
    for corpus in ("nemo", "emodb")
    for speaker in ("a", "b")
    for emotion in range(len(EMOTIONS))
]


def _log_mels(recordings: int, frames: int) -> LogMels:
    values = np.random.default_rng(5).normal(0.2, 0.3, (recordings * frames, 60))
    return LogMels(values.astype(np.float16), np.arange(recordings + 1) * frames)


@pytest.fixture(scope="module")
def composer() -> SpeechComposer:
    mels = _log_mels(len(UTTERANCES), 120)
    return SpeechComposer(UTTERANCES, [mels], _log_mels(2, 900), list(range(len(UTTERANCES))))


def test_an_unseen_actor_is_unseen_in_both_javanese_sets() -> None:
    assert VALIDATION_SPEAKERS["javanese"] == VALIDATION_ACTORS
    assert is_validation_speaker("javanese", next(iter(VALIDATION_ACTORS)))
    with pytest.raises(KeyError):
        is_validation_speaker("unheard-of", "actor01")


def test_every_corpus_has_every_sentiment_on_both_sides() -> None:
    utterances = read_index(data_folder("speech"))
    seen = {(u.corpus, u.held_out, u.sentiment) for u in utterances if u.sentiment >= 0}
    assert seen == {(c, side, s) for c in VALIDATION_SPEAKERS for side in (False, True) for s in range(3)}
    for corpus, speakers in VALIDATION_SPEAKERS.items():
        assert speakers <= {u.speaker for u in utterances if u.corpus == corpus}


def test_every_training_speaker_is_left_out_in_one_fold_and_folds_hold_no_others() -> None:
    pairs = [("nemo", f"N{i}") for i in range(5)] + [("javanese", f"actor0{i}") for i in range(1, 8)]
    folds = folds_of([*pairs, ("nemo", "KD0")])
    assert set(folds) == {pair for pair in pairs if not is_validation_speaker(*pair)}
    assert {folds["nemo", f"N{i}"] for i in range(5)} == set(range(FOLDS))
    assert len({fold for (corpus, _), fold in folds.items() if corpus == "javanese"}) == 1
    utterances = [
        Utterance(file=speaker, corpus=corpus, speaker=speaker, emotion=0) for corpus, speaker in pairs
    ]
    for fold in range(FOLDS):
        heard = {(utterances[i].corpus, utterances[i].speaker) for i in training_items(utterances, fold)}
        assert heard == {pair for pair, place in folds_of(pairs).items() if place != fold}
    assert len(training_items(utterances, None)) == len(folds)


@pytest.mark.parametrize("long", [False, True])
def test_batches_are_repeatable_and_consistent(composer: SpeechComposer, long: bool) -> None:
    batch = composer.batch(np.random.default_rng(3), long=long)
    again = composer.batch(np.random.default_rng(3), long=long)
    np.testing.assert_array_equal(batch.audio, again.audio)
    assert np.isfinite(batch.audio).all()
    assert np.all(batch.targets.sum(axis=2) <= 1 + 1e-6)
    assert np.all(batch.targets[batch.present == 0] == 0)
    assert np.all(batch.weights.sum(axis=1) > 0)
    assert set(batch.sentiment) <= {-1, 0, 1, 2}


def test_snippet_targets_agree_with_the_utterance(composer: SpeechComposer) -> None:
    batch = composer.batch(np.random.default_rng(4), long=True)
    targets = batch.targets.reshape(-1, 4)
    for weights, sentiment in zip(batch.weights, batch.sentiment, strict=True):
        filled = targets[weights > 0.9]
        if sentiment >= 0:
            assert np.all(filled.argmax(axis=1) == sentiment)


@pytest.mark.parametrize("change", [change for _, change in speech_augment.CHANGES])
def test_changes_keep_a_voice_finite_and_about_as_long(change: speech_augment.Change) -> None:
    time = np.arange(24_000) / 16_000
    wave = (0.3 * np.sin(2 * np.pi * 220 * time) * np.abs(np.sin(5 * time))).astype(np.float32)
    changed = change(wave, np.random.default_rng(2))
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert 0.85 < len(changed) / len(wave) < 1.15
    assert np.square(changed).mean() > 1e-4


def _loss(batch: SpeechBatch, net: SpeechNet) -> torch.Tensor:
    return net.loss(batch)


def test_a_resumed_run_equals_an_uninterrupted_one(composer: SpeechComposer, tmp_path: Path) -> None:
    training = SpeechTraining(steps=20, seed=1)
    batches: list[SpeechBatch] = [composer.batch(np.random.default_rng(i), long=False) for i in range(3)]
    whole = open_run(tmp_path / "whole", training)
    for batch in batches:
        whole.take_step(partial(_loss, batch))
    (tmp_path / "halves").mkdir()
    first = open_run(tmp_path / "halves", training)
    first.take_step(partial(_loss, batches[0]))
    first.save()
    second = open_run(tmp_path / "halves", training)
    for batch in batches[1:]:
        second.take_step(partial(_loss, batch))
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(ValueError, match="another training"):
        open_run(tmp_path / "halves", SpeechTraining(steps=20, seed=2))
