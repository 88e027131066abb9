"""Streaming audio features: any chunking, any length of sound, and what counts as present."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.logmel import (
    NORMAL_LEVEL,
    SAMPLE_RATE,
    SILENT_VALUE,
    SNIPPET_SAMPLES,
    normalize_level,
    serving_log_mel,
    snippet_levels,
)
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import AudioStream, ModelSpec, parse_spec
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


LEVELLED = AudioStream(level=NORMAL_LEVEL)


def _speech_like(snippets: int) -> FloatArray:
    """Bursts of coloured noise with pauses, about as loud as a voice."""
    envelope = np.repeat(np.tile([1.0, 0.6, 0.02, 0.3], snippets)[:snippets], SNIPPET_SAMPLES)
    noise = np.convolve(_noise(snippets * SNIPPET_SAMPLES, 0.2), np.ones(8) / 8, "same")
    wave: FloatArray = (envelope * noise).astype(np.float32)
    return wave


def _levelled(samples: FloatArray, snippets: int) -> tuple[FloatArray, BoolArray]:
    extractor = AudioExtractor(LEVELLED)
    for first in range(0, len(samples), 3000):
        extractor.push(samples[first : first + 3000])
    return extractor.finish(snippets)


def test_a_quiet_recording_becomes_the_clean_one() -> None:
    wave = _speech_like(12)
    clean, present = _levelled(wave, 12)
    quiet, quiet_present = _levelled(wave * np.float32(10 ** (-35 / 20)), 12)
    np.testing.assert_array_equal(quiet_present, present)
    assert present.all()
    np.testing.assert_allclose(quiet, clean, atol=1e-3)
    assert abs(float(np.median(snippet_levels(clean)[::4])) - NORMAL_LEVEL) < 6


def test_an_overdriven_recording_comes_close_to_the_clean_one() -> None:
    wave = _speech_like(12)
    clean, present = _levelled(wave, 12)
    loud, loud_present = _levelled(np.clip(wave * 10, -1, 1).astype(np.float32), 12)
    np.testing.assert_array_equal(loud_present, present)
    plain = serving_log_mel(np.clip(wave * 10, -1, 1), 12)
    assert np.abs(loud - clean).mean() < 0.5 * np.abs(plain - clean).mean()


def test_the_level_does_not_depend_on_silence_around_the_sound() -> None:
    wave, nothing = _speech_like(12), np.zeros(40 * SNIPPET_SAMPLES, np.float32)
    alone, _ = _levelled(wave, 12)
    within, present = _levelled(np.concatenate([nothing, wave]), 52)
    np.testing.assert_allclose(within[41:51], alone[1:11], atol=1e-4)
    assert not present[:39].any()
    np.testing.assert_allclose(within[:39], SILENT_VALUE, atol=1e-6)


def test_dither_is_silence_at_any_level() -> None:
    steps = np.random.default_rng(3).integers(-1, 2, 10 * SNIPPET_SAMPLES).astype(np.float32)
    dither = steps / np.float32(32768)
    features, present = _levelled(dither, 10)
    assert not present.any()
    np.testing.assert_array_equal(features, serving_log_mel(dither, 10))


def test_streaming_equals_the_whole_recording() -> None:
    wave = _speech_like(9)[: 8 * SNIPPET_SAMPLES + 777] * np.float32(0.05)
    features, present = _levelled(wave, 9)
    whole, whole_present = normalize_level(serving_log_mel(wave))
    np.testing.assert_array_equal(features, whole)
    np.testing.assert_array_equal(present, whole_present)


def test_without_a_level_the_sound_is_unchanged() -> None:
    wave = _speech_like(4) * np.float32(0.02)
    features, _ = _extract(wave, [], 4)
    np.testing.assert_array_equal(features, serving_log_mel(wave, 4))


def test_a_level_is_part_of_the_spec_and_old_specs_read_as_before() -> None:
    old = ModelSpec(name="x", version="1")
    new = replace(old, audio=LEVELLED)
    assert "level" not in old.to_json()
    assert parse_spec(new.to_json()) == new
    assert parse_spec(old.to_json()) == old
    assert new.features_hash != old.features_hash
