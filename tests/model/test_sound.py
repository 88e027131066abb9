"""The loudness in the page's sound lane."""

from __future__ import annotations

import numpy as np
import pytest

from sentiloc.model.extractors.logmel import (
    FRAMES,
    MELS,
    SAMPLE_RATE,
    SILENT_VALUE,
    SNIPPET_SAMPLES,
    serving_log_mel,
)
from sentiloc.model.results.sound import VALUES_PER_SNIPPET, measure_sound, parse_sound
from sentiloc.model.segments import FloatArray

STEP = 0.64


def tone(amplitude: float, snippets: int) -> FloatArray:
    time = np.arange(snippets * SNIPPET_SAMPLES) / SAMPLE_RATE
    return (amplitude * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def test_loud_is_one_and_a_quarter_of_its_amplitude_a_half() -> None:
    sound = measure_sound(serving_log_mel(np.concatenate([tone(0.8, 4), tone(0.2, 4), tone(0.0, 4)])), STEP)
    assert sound.step == STEP / VALUES_PER_SNIPPET
    assert len(sound.loudness) == 12 * VALUES_PER_SNIPPET
    loud, softer, silent = (np.array(sound.loudness[at : at + 12]) for at in (2, 18, 35))
    assert loud == pytest.approx(1.0, abs=0.01)
    assert softer == pytest.approx(0.5, abs=0.01)
    assert silent == pytest.approx(0.0, abs=0.01)


def test_values_are_written_with_two_decimals() -> None:
    loudness = measure_sound(
        serving_log_mel(tone(0.8, 4) * np.linspace(0, 1, 4 * SNIPPET_SAMPLES)), STEP
    ).loudness
    assert len({*loudness}) > 5
    assert all(value == round(value, 2) for value in loudness)


def test_a_whisper_is_not_blown_up() -> None:
    assert max(measure_sound(serving_log_mel(tone(0.004, 4)), STEP).loudness) < 0.5


def test_two_hours_take_as_many_blocks_as_needed() -> None:
    log_mel = np.full((1200, FRAMES, MELS), SILENT_VALUE, np.float32)
    log_mel[1100] = 0.9
    loudness = measure_sound(log_mel, STEP).loudness
    assert [i for i, value in enumerate(loudness) if value > 0.5] == [4400, 4401, 4402, 4403]


def test_older_results_have_none() -> None:
    assert parse_sound(None) is None
    assert measure_sound(np.empty((0, FRAMES, MELS), np.float32), STEP).loudness == ()
