"""The loudness of a video over time, for the timeline's sound lane; also of videos too long for a browser to decode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentiloc.model.extractors.logmel import DB_OFFSET, DB_SCALE, FRAMES
from sentiloc.model.segments import FloatArray

VALUES_PER_SNIPPET = 4
_SNIPPETS_AT_A_TIME = 512
_DECIMALS = 2
FAINT = 2.0
"""If the loudest moment is below this amplitude, it is drawn small; a full-scale sine has an amplitude of 45."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Value i of loudness holds for [i * step, (i + 1) * step) seconds: 0 silence, 1 the video's loudest moment.

    It is the square root of the amplitude, which makes a waveform easy to read.
    """

    step: float
    loudness: tuple[float, ...]


def measure_sound(log_mel: FloatArray, snippet_seconds: float) -> Sound:
    """Loudness from the serving log-mel (time, 32, 60), which may be mapped from a file."""
    # A mapped spectrogram of several hours must not be read into memory at once.
    blocks = range(0, len(log_mel), _SNIPPETS_AT_A_TIME)
    parts = [_amplitudes(log_mel[start : start + _SNIPPETS_AT_A_TIME]) for start in blocks]
    amplitude = np.concatenate(parts) if parts else np.empty(0)
    # Otherwise the noise of a silent video would fill the lane.
    loudest = max(float(amplitude.max(initial=0.0)), FAINT)
    values = np.sqrt(amplitude.astype(np.float64) / loudest).round(_DECIMALS)
    return Sound(step=snippet_seconds / VALUES_PER_SNIPPET, loudness=tuple(values.tolist()))


def _amplitudes(log_mel: FloatArray) -> FloatArray:
    """The highest amplitude in each quarter of a snippet: (time, 32, 60) to (time * 4,)."""
    power = 10 ** ((np.asarray(log_mel, np.float32) * DB_SCALE - DB_OFFSET) / 10)
    frames = np.sqrt(power.sum(axis=2))
    highest: FloatArray = frames.reshape(-1, FRAMES // VALUES_PER_SNIPPET).max(axis=1)
    return highest


def parse_sound(raw: Mapping[str, Any] | None) -> Sound | None:
    """Read what a result stores; None for results that have none."""
    return None if raw is None else Sound(step=raw["step"], loudness=tuple(raw["loudness"]))
