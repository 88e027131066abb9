"""Test tones, as of machines, screens and signal generators. They count as noise, not as a voice."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from recipes.starter.voices.augment import Wave
from recipes.starter.voices.data import LogMels, frames_of, join_log_mels
from sentiloc.model.extractors.logmel import SAMPLE_RATE

TONES, SECONDS = 48, 8


def tone(random: np.random.Generator) -> Wave:
    """One to three waves of one shape: constant, swept, stepped or gated, in most cases with some hiss; RMS 0.1."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    shape = int(random.integers(3))
    total = np.zeros(len(time))
    for _ in range(int(random.integers(1, 4))):
        phase = 2 * np.pi * np.cumsum(_pitch(time, random)) / SAMPLE_RATE
        wave = np.sin(phase)
        total += (
            wave if shape == 0 else np.sign(wave) if shape == 1 else 2 * np.abs(phase / np.pi % 2 - 1) - 1
        )
    if random.random() < 0.5:
        total *= time % random.uniform(0.2, 2) < random.uniform(0.05, 0.8)
    if random.random() < 0.7:
        total += random.normal(size=len(time)) * 10 ** random.uniform(-3, -0.7)
    scaled: Wave = (0.1 * total / np.sqrt(np.mean(np.square(total)) + 1e-9)).astype(np.float32)
    return scaled


def _pitch(time: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Frequency in Hz over time: constant, a sweep, or steps."""
    # Up to just below 8 kHz, the highest frequency at a rate of 16 kHz.
    low, high = np.sort(np.exp(random.uniform(np.log(40), np.log(7_000), 2))).tolist()
    kind = int(random.integers(3))
    if kind == 0:
        return np.full(len(time), low)
    if kind == 1:
        period = random.uniform(1, SECONDS)
        return np.asarray(low * (high / low) ** (time % period / period))
    steps = random.uniform(low, high, 1 + int(SECONDS / 0.1))
    return np.asarray(steps[(time / random.uniform(0.1, 1)).astype(int)])


@cache
def tone_bank(seed: int = 0) -> LogMels:
    """Log-mels of TONES different test tones."""
    random = np.random.default_rng((seed, 77))
    return join_log_mels([frames_of(tone(random)) for _ in range(TONES)])
