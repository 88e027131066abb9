"""Decoded audio as one gapless mono signal on the video's time line."""

from __future__ import annotations

import logging
from collections.abc import Callable

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

Samples = NDArray[np.float32]

log = logging.getLogger(__name__)

JITTER_SECONDS = 0.05
_WAIT_SECONDS = 60.0
_CHUNK_SECONDS = 0.5


class Soundtrack:
    """Resamples to `rate`, fills gaps and a late start with silence, drops what precedes time 0 or overlaps.

    Timestamps decide the position; deviations under `JITTER_SECONDS` are taken for rounding.
    `emit(start, samples)` receives chunks (n,) of about half a second, `start` counted in samples; what lies before
    `begins` seconds is left out.
    """

    def __init__(
        self, rate: int, max_seconds: float, emit: Callable[[int, Samples], None], begins: float = 0.0
    ) -> None:
        self._rate, self._max_samples, self._emit = rate, int(max_seconds * rate), emit
        self._origin: float | None = None
        self._waiting: list[AudioFrame] = []
        self._resampler: AudioResampler | None = None
        self._position = round(begins * rate)  # the next sample, counted since time 0
        self._expected: float | None = None  # seconds at which the next frame should start
        self._drop = 0
        self._buffer: list[Samples] = []

    @property
    def samples(self) -> int:
        """Samples since time 0 that are emitted or waiting to be, or left out."""
        return self._position

    @property
    def is_full(self) -> bool:
        """True when no more is taken."""
        return self._position >= self._max_samples

    def start(self, origin: float) -> None:
        """Set time 0, in the container's seconds; frames that came before are taken now."""
        self._origin = origin
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            self.push(frame)

    def push(self, frame: AudioFrame) -> None:
        """Take one decoded frame; one that cannot be resampled is left out."""
        if self._origin is None:
            self._wait(frame)
            return
        try:
            self._take(frame)
        except (ValueError, av.error.FFmpegError) as error:
            log.debug("audio frame left out: %s", error)
            self._resampler = None

    def finish(self) -> None:
        """Emit all that is left."""
        if self._origin is not None:
            self._flush_resampler()
            self._flush_buffer()

    def _wait(self, frame: AudioFrame) -> None:
        self._waiting.append(frame)
        if sum(f.samples / max(1, f.sample_rate) for f in self._waiting) > _WAIT_SECONDS:
            self._waiting.pop(0)

    def _take(self, frame: AudioFrame) -> None:
        seconds = frame.time - self._origin if frame.time is not None and self._origin is not None else None
        if seconds is not None and (self._expected is None or abs(seconds - self._expected) > JITTER_SECONDS):
            self._move_to(seconds)
        if self._resampler is None:
            self._resampler = AudioResampler(format="flt", layout="mono", rate=self._rate)
        self._expected = (self._expected or 0.0) + frame.samples / frame.sample_rate
        for out in self._resampler.resample(frame):
            self._append(np.asarray(out.to_ndarray(), np.float32).reshape(-1))

    def _move_to(self, seconds: float) -> None:
        """Continue at `seconds`: silence up to there, or drop the part that is already covered."""
        self._flush_resampler()
        target = min(round(seconds * self._rate), self._max_samples)
        self._drop = max(0, self._position - target)
        while self._position < target:
            step = min(self._rate, target - self._position)
            self._append(np.zeros(step, np.float32))
        self._expected = seconds

    def _flush_resampler(self) -> None:
        if self._resampler is not None:
            for out in self._resampler.resample(None):
                self._append(np.asarray(out.to_ndarray(), np.float32).reshape(-1))
        self._resampler = None

    def _append(self, samples: Samples) -> None:
        dropped = min(self._drop, len(samples))
        self._drop -= dropped
        samples = samples[dropped : dropped + self._max_samples - self._position]
        if not len(samples):
            return
        self._buffer.append(np.nan_to_num(samples, copy=False, posinf=0.0, neginf=0.0))
        self._position += len(samples)
        if sum(map(len, self._buffer)) >= _CHUNK_SECONDS * self._rate:
            self._flush_buffer()

    def _flush_buffer(self) -> None:
        if self._buffer:
            chunk = np.concatenate(self._buffer)
            self._emit(self._position - len(chunk), chunk)
            self._buffer = []
