"""Acted voices as from an overdriven recorder: far too loud and clipped at full scale."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from recipes.starter.voices.augment import Wave, decode
from recipes.starter.voices.data import LogMels, frames_of, join_log_mels, read_index

LEVEL_DBFS = (-14.0, 2.0)
"""RMS level: about -22 dBFS, turned up by 8 to 24 dB."""

logger = logging.getLogger(__name__)


def overdrive(wave: Wave, random: np.random.Generator) -> Wave:
    """Samples (n,) amplified to a level of `LEVEL_DBFS` and clipped at full scale."""
    rms = float(np.sqrt(np.mean(np.square(wave)) + 1e-12))
    louder = wave * np.float32(10 ** (random.uniform(*LEVEL_DBFS) / 20) / rms)
    cut: Wave = np.clip(louder, -1, 1).astype(np.float32)
    return cut


def load_overdriven(folder: Path, cache: Path, seed: int = 0) -> LogMels:
    """Log-mels of every utterance of `folder`, overdriven; computed if they are not in `cache`."""
    file = cache / "overdriven.npz"
    if not file.exists():
        parts = []
        for number, utterance in enumerate(read_index(folder)):
            random = np.random.default_rng((seed, number))
            parts.append(frames_of(overdrive(decode(str(folder / utterance.file)), random)))
            if number % 500 == 0:
                logger.info("overdriven voices: %d", number)
        made = join_log_mels(parts)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, frames=made.frames, offsets=made.offsets)
    held = np.load(file)
    return LogMels(held["frames"], held["offsets"])
