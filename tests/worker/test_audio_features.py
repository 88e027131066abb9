"""Streaming audio features: any chunking, any length of sound, and what counts as present."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.logmel import SAMPLE_RATE, SILENT_VALUE, SNIPPET_SAMPLES, serving_log_mel
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import AudioStream
from sentiloc.worker.features.audio import AudioExtractor


def _noise(samples: int, amplitude: float = 0.1) -> FloatArray:
    return (amplitude * np.random.default_rng(7).standard_normal(samples)).astype(np.float32)


def _extract(samples: FloatArray, chunks: list[int], snippets: int) -> tuple[FloatArray, BoolArray]:
    extractor = AudioExtractor()
    for part in np.split(samples, np.cumsum(chunks)):
        extractor.push(part)
    return extractor.finish(snippets)


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(0, 4 * SNIPPET_SAMPLES),
    chunks=st.lists(st.integers(0, 2 * SNIPPET_SAMPLES), max_size=12),
    snippets=st.integers(1, 6),
)
def test_chunking_changes_no_bit(samples: int, chunks: list[int], snippets: int) -> None:
    wave = _noise(samples)
    audio, present = _extract(wave, chunks, snippets)
    whole, whole_present = _extract(wave, [], snippets)
    assert audio.shape == (snippets, 32, 60)
    assert audio.dtype == np.float32
    np.testing.assert_array_equal(audio, whole)
    np.testing.assert_array_equal(present, whole_present)
    np.testing.assert_array_equal(audio, serving_log_mel(wave, snippets))


def test_no_track_is_silence_and_absent() -> None:
    audio, present = AudioExtractor().finish(3)
    assert np.all(audio == np.float32(SILENT_VALUE))
    assert not present.any()


def test_sound_that_ends_early_is_absent_after_its_end() -> None:
    audio, present = _extract(_noise(2 * SNIPPET_SAMPLES), [100], 5)
    assert present.tolist() == [True, True, False, False, False]
    assert np.all(audio[3:] == np.float32(SILENT_VALUE))


def test_sound_longer_than_the_video_is_cut() -> None:
    audio, present = _extract(_noise(5 * SNIPPET_SAMPLES), [], 2)
    assert len(audio) == len(present) == 2


def test_digital_silence_inside_a_track_is_absent() -> None:
    wave = _noise(3 * SNIPPET_SAMPLES)
    wave[SNIPPET_SAMPLES : 2 * SNIPPET_SAMPLES] = 0
    assert _extract(wave, [], 3)[1].tolist() == [True, False, True]


@pytest.mark.parametrize(("decibels", "expected"), [(-58.0, True), (-62.0, False)])
def test_presence_begins_at_sixty_decibels_below_full_scale(decibels: float, expected: bool) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(SNIPPET_SAMPLES) / SAMPLE_RATE)
    wave = (tone * np.sqrt(2) * 10 ** (decibels / 20)).astype(np.float32)
    assert _extract(wave, [], 1)[1].tolist() == [expected]


def test_memory_of_the_waveform_stays_below_two_snippets() -> None:
    extractor = AudioExtractor()
    for _ in range(200):
        extractor.push(_noise(1601))
        assert len(extractor._unfinished) < SNIPPET_SAMPLES
        assert len(extractor._spectrogram._pending) < 2 * SNIPPET_SAMPLES


def test_published_rule_cannot_be_extracted() -> None:
    with pytest.raises(SentilocError) as error:
        AudioExtractor(AudioStream(rule="tsl300"))
    assert error.value.code is ErrorCode.SPEC_MISMATCH
