"""Sound to log-mel snippets while it is being decoded: nothing of the waveform is kept but one snippet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors import logmel
from sentiloc.model.extractors.logmel import Samples, SpectrogramStream
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import AudioStream
from sentiloc.worker.features.feature_file import Rows

SERVED = AudioStream()
"""The one audio stream that can be served; `tsl300` features are read from files, never extracted here."""


class AudioExtractor:
    """One video's log-mel, kept in a file in `folder`. Chunks of any length give the same features to the bit.

    Raises `spec_mismatch` for a spec whose audio is not the serving rule.
    """

    def __init__(self, stream: AudioStream = SERVED, folder: Path | None = None) -> None:
        if stream != SERVED:
            raise SentilocError(
                ErrorCode.SPEC_MISMATCH, f"audio of {stream} cannot be extracted, only {SERVED}"
            )
        self._spectrogram = SpectrogramStream()
        self._unfinished = np.empty(0, np.float32)
        self._features = Rows((logmel.FRAMES, logmel.MELS), folder)
        self._mean_squares: list[float] = []

    def push(self, samples: Samples) -> None:
        """Take mono samples (n,) in [-1, 1] at 16 kHz; the first one ever pushed is time 0 of the video."""
        for start in range(0, len(samples), logmel.SNIPPET_SAMPLES):
            piece = samples[start : start + logmel.SNIPPET_SAMPLES].astype(np.float32, copy=False)
            self._unfinished = np.concatenate([self._unfinished, piece])
            if len(self._unfinished) >= logmel.SNIPPET_SAMPLES:
                self._take(self._unfinished[: logmel.SNIPPET_SAMPLES])
                self._unfinished = self._unfinished[logmel.SNIPPET_SAMPLES :]

    def finish(self, snippets: int) -> tuple[FloatArray, BoolArray]:
        """Log-mel (snippets, 32, 60) and where there is sound (snippets,); time is the video's, not the sound's.

        Beyond the sound's end, or without a track, features are those of silence and nothing is present.
        """
        if len(self._unfinished):
            self._take(self._unfinished)
        self._features.append(self._spectrogram.finish())
        heard = np.zeros(snippets, np.float64)
        known = self._mean_squares[:snippets]
        heard[: len(known)] = known
        return self._features.take(snippets, logmel.SILENT_VALUE), logmel.snippets_heard(heard)

    def _take(self, snippet: FloatArray) -> None:
        self._mean_squares.append(float(np.square(snippet, dtype=np.float64).sum()) / logmel.SNIPPET_SAMPLES)
        self._features.append(self._spectrogram.push(snippet))
