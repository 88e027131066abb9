"""Converts sound to log-mel snippets while it is being decoded. Only one snippet of the waveform is kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors import logmel
from sentiloc.model.extractors.logmel import Samples, SpectrogramStream
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import AudioStream
from sentiloc.worker.features.feature_file import FeatureFile

SERVED = AudioStream()
"""The only audio stream that can be served, at any level. `tsl300` features are read from files, never extracted."""


class AudioExtractor:
    """One video's log-mel, kept in a file in `folder`. The features do not depend on the length of the chunks.

    If the stream has a level, one gain brings the whole recording to it at the end. Raises `spec_mismatch` for a spec
    with another audio stream than the one that is served.
    """

    def __init__(self, stream: AudioStream = SERVED, folder: Path | None = None) -> None:
        if replace(stream, level=None) != SERVED:
            raise SentilocError(
                ErrorCode.SPEC_MISMATCH, f"audio of {stream} cannot be extracted, only {SERVED}"
            )
        self._level = stream.level
        self._spectrogram = SpectrogramStream()
        self._unfinished = np.empty(0, np.float32)
        self._features = FeatureFile((logmel.FRAMES, logmel.MELS), folder)
        self._mean_squares: list[float] = []
        self._levels: list[float] = []

    def close(self) -> None:
        """Give up what was extracted."""
        self._features.close()

    def push(self, samples: Samples) -> None:
        """Process mono samples (n,) in [-1, 1] at 16 kHz. The very first sample is at time 0 of the video."""
        # One snippet at a time, so that a long chunk is never copied as a whole.
        for start in range(0, len(samples), logmel.SNIPPET_SAMPLES):
            piece = samples[start : start + logmel.SNIPPET_SAMPLES].astype(np.float32, copy=False)
            self._unfinished = np.concatenate([self._unfinished, piece])
            if len(self._unfinished) >= logmel.SNIPPET_SAMPLES:
                self._take(self._unfinished[: logmel.SNIPPET_SAMPLES])
                self._unfinished = self._unfinished[logmel.SNIPPET_SAMPLES :]

    @property
    def count(self) -> int:
        """The number of snippets whose features are complete."""
        # The spectrogram lags, because its windows reach into the next snippet.
        return min(self._features.count, len(self._mean_squares))

    def window(self, first: int, stop: int) -> tuple[FloatArray, BoolArray]:
        """Log-mel and presence of sound of snippets `first` (inclusive) to `stop` (exclusive), before the end is known.

        The gain is computed from the sound so far. Snippets beyond the sound are silence.
        """
        there = max(first, min(stop, self.count))
        features = np.full((stop - first, logmel.FRAMES, logmel.MELS), logmel.SILENT_VALUE, np.float32)
        heard = np.zeros(stop - first, np.bool_)
        if there > first:
            inside = slice(0, there - first)
            features[inside], heard[inside] = self._leveled(first, there)
        return features, heard

    def _leveled(self, first: int, stop: int) -> tuple[FloatArray, BoolArray]:
        features = self._features.window(first, stop)
        if self._level is None:
            return features, logmel.snippets_heard(np.array(self._mean_squares))[first:stop]
        levels = np.array(self._levels, np.float32)
        gain = logmel.level_gain(levels, self._level)
        heard = logmel.levels_heard(levels, gain, self._level)[first:stop]
        return logmel.apply_gain(features, gain), heard

    def finish(self, snippets: int) -> tuple[FloatArray, BoolArray]:
        """Log-mel (snippets, 32, 60) and presence of sound (snippets,), on the video's time line.

        Beyond the sound's end, or without a track, features are those of silence and nothing is present.
        """
        if len(self._unfinished):
            self._take(self._unfinished)
        self._append(self._spectrogram.finish())
        heard = np.zeros(snippets, np.bool_)
        known = self._heard()[:snippets]
        heard[: len(known)] = known
        return self._features.take(snippets, logmel.SILENT_VALUE), heard

    def _heard(self) -> BoolArray:
        """Presence of sound by snippet. Brings the features to the stream's level if it has one."""
        if self._level is None:
            return logmel.snippets_heard(np.array(self._mean_squares))
        levels = np.array(self._levels, np.float32)
        gain = logmel.level_gain(levels, self._level)
        self._features.change(partial(logmel.apply_gain, gain=gain))
        return logmel.levels_heard(levels, gain, self._level)

    def _take(self, snippet: FloatArray) -> None:
        # The last snippet may be short; dividing by the full length counts its missing part as silence.
        self._mean_squares.append(float(np.square(snippet, dtype=np.float64).sum()) / logmel.SNIPPET_SAMPLES)
        self._append(self._spectrogram.push(snippet))

    def _append(self, features: FloatArray) -> None:
        if self._level is not None:
            self._levels.extend(logmel.snippet_levels(features).tolist())
        self._features.append(features)
