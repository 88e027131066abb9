"""Places decoded audio on the video's time line as one gapless mono signal, and mixes several tracks."""

from __future__ import annotations

import logging
from collections.abc import Callable

import av.error
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from sentiloc.worker.sound.channels import Narrowing
from sentiloc.worker.sound.mixdown import mix_to_mono
from sentiloc.worker.timeline.stamps import FrameOrder

Samples = NDArray[np.float32]

log = logging.getLogger(__name__)

JITTER_SECONDS = 0.05
_CHUNK_SECONDS = 0.5
# A codec's frame lasts about 20 ms. Resampling each by itself would cost three times as much.
_BATCH_SECONDS = 0.25
# Containers interleave tracks at about a second. One that lags by more has ended.
_PATIENCE_SECONDS = 2.0
# Stamps of transport streams wrap after 26.5 hours, so a stamp before 0 looks this late.
_ASTRAY_SECONDS = 12 * 3600.0
# Sound is within about 1. Damaged float tracks also contain values whose sum is infinite.
_LOUDEST = 1e9


class Soundtrack:
    """Resamples to `rate`, fills gaps and a late start with silence, drops what precedes time 0 or overlaps.

    Time stamps determine the position. Deviations below `JITTER_SECONDS` are treated as rounding.
    `emit(start, samples)` receives chunks (n,) of about half a second, `start` counted in samples; samples before
    `begins` seconds are dropped. With `is_stereo`, chunks are (n, 2), and mono sound is on both channels.
    """

    def __init__(
        self,
        rate: int,
        max_seconds: float,
        emit: Callable[[int, Samples], None],
        begins: float = 0.0,
        *,
        is_stereo: bool = False,
    ) -> None:
        self._is_stereo = is_stereo
        self._rate, self._max_samples, self._emit = rate, int(max_seconds * rate), emit
        self._order: FrameOrder[AudioFrame] = FrameOrder(self._put, 0.0, goes_on=False)
        self._resampler: Narrowing | None = None
        self._fifo = AudioFifo()
        self._kind: tuple[object, ...] = ()
        self._position = round(begins * rate)  # the next sample, counted since time 0
        self._expected: float | None = None  # seconds at which the next frame should start
        self._drop = 0
        self._buffer: list[Samples] = []
        self._waiting = 0

    @property
    def samples(self) -> int:
        """Samples since time 0 that were emitted, are pending, or were dropped."""
        return self._position

    @property
    def heard_until(self) -> float:
        """Seconds from time 0 up to which there is sound."""
        return self._position / self._rate

    @property
    def is_full(self) -> bool:
        """True when no more is taken."""
        return self._position >= self._max_samples

    def push(self, frame: AudioFrame, zero: float) -> None:
        """Take one decoded frame, of a stream whose time 0 is stamped `zero`."""
        seconds = None if frame.time is None else frame.time - zero
        if seconds is not None and seconds > self._max_samples / self._rate + _ASTRAY_SECONDS:
            seconds = None
        self._order.push(frame, seconds, frame.samples / max(1, frame.sample_rate))

    def finish(self) -> None:
        """Emit all that is left."""
        self._order.finish()
        self._flush_resampler()
        self._flush_buffer()

    def _put(self, frame: AudioFrame, seconds: float) -> None:
        """Place a frame. A frame that cannot be resampled becomes silence."""
        try:
            self._take(frame, seconds)
        except (ValueError, av.error.FFmpegError) as error:
            log.debug("audio frame left out: %s", error)
            self._resampler, self._expected, self._fifo = None, None, AudioFifo()

    def _take(self, frame: AudioFrame, seconds: float) -> None:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._flush_resampler()
            self._kind = kind
        if self._expected is None or abs(seconds - self._expected) > JITTER_SECONDS:
            self._move_to(seconds)
        if self._resampler is None:
            # At most stereo here: the last step to mono is ours, because it must handle opposite phases.
            self._resampler = Narrowing(frame, self._rate)
        self._collect(frame)
        assert self._expected is not None  # noqa: S101
        # Count samples instead of reading each stamp, so that rounding errors of stamps do not add up to a shift.
        self._expected += frame.samples / frame.sample_rate

    def _collect(self, frame: AudioFrame) -> None:
        """Add a frame to those that are resampled together. They follow each other, so their stamps are not needed."""
        frame.pts = None
        self._fifo.write(frame)
        if self._fifo.samples >= _BATCH_SECONDS * frame.sample_rate:
            self._resample_collected()

    def _resample_collected(self) -> None:
        frame = self._fifo.read() if self._fifo.samples else None
        if frame is not None and self._resampler is not None:
            for samples in self._resampler.resample(frame):
                self._append(samples)

    def _move_to(self, seconds: float) -> None:
        """Continue at `seconds`: silence up to there, or drop the part that is already covered."""
        self._flush_resampler()
        target = min(round(seconds * self._rate), self._max_samples)
        self._drop = max(0, self._position - target)
        while self._position < target:
            # One second at a time, so that a jump of hours does not allocate hours of silence.
            step = min(self._rate, target - self._position)
            self._append(np.zeros((1, step), np.float32))
        self._expected = seconds

    def _flush_resampler(self) -> None:
        """Flush the resampler. The next expected position follows from the samples that really came out."""
        self._resample_collected()
        self._fifo = AudioFifo()
        if self._resampler is not None:
            for samples in self._resampler.resample(None):
                self._append(samples)
            if self._expected is not None:
                # The resampler delays its output and releases the rest only now. Without this, each change of layout
                # would lose a frame.
                self._expected = (self._position - self._drop) / self._rate
        self._resampler = None

    def _append(self, samples: Samples) -> None:
        """Collect samples (1 or 2, n) until they fill a chunk, which is mixed as a whole."""
        dropped = min(self._drop, samples.shape[1])
        self._drop -= dropped
        samples = samples[:, dropped : dropped + self._max_samples - self._position]
        if not samples.shape[1]:
            return
        if self._buffer and len(self._buffer[-1]) != len(samples):
            self._flush_buffer()
        # Damaged float tracks contain NaN. A single one would spread through the whole spectrum.
        self._buffer.append(samples)
        self._position += samples.shape[1]
        self._waiting += samples.shape[1]
        if self._waiting >= _CHUNK_SECONDS * self._rate:
            self._flush_buffer()

    def _flush_buffer(self) -> None:
        if self._buffer:
            channels = np.concatenate(self._buffer, axis=1)
            np.nan_to_num(channels, copy=False, posinf=0.0, neginf=0.0)
            np.clip(channels, -_LOUDEST, _LOUDEST, out=channels)
            chunk = self._chunk(channels)
            self._emit(self._position - len(chunk), chunk)
            self._buffer, self._waiting = [], 0

    def _chunk(self, channels: Samples) -> Samples:
        if self._is_stereo:
            return np.ascontiguousarray(np.broadcast_to(channels, (2, channels.shape[1])).T)
        return channels[0] if len(channels) == 1 else mix_to_mono(channels)


class Mixer:
    """Adds up the chunks of several sound tracks; `emit(start, samples)` receives the range for which all tracks have
    data.

    A track that ends, or lags by more than `patience` seconds, no longer delays the others. With `is_stereo`, chunks
    are (n, 2), and the channels are added separately.
    """

    def __init__(
        self,
        tracks: int,
        rate: int,
        emit: Callable[[int, Samples], None],
        begins: float = 0.0,
        *,
        is_stereo: bool = False,
    ) -> None:
        self._is_stereo = is_stereo
        self._emit, self._patience = emit, int(_PATIENCE_SECONDS * rate)
        self._start = round(begins * rate)
        self._reached = [self._start] * tracks
        self._sum = np.zeros((2, 0), np.float32)
        self._tracks = tracks

    def sink(self, track: int) -> Callable[[int, Samples], None]:
        """The callback to which the `Soundtrack` of one track passes its chunks."""
        return lambda start, samples: self._add(track, start, samples)

    def _add(self, track: int, start: int, samples: Samples) -> None:
        late = max(0, self._start - start)
        start, samples = start + late, samples[late:]
        end = start + len(samples)
        missing = end - self._start - self._sum.shape[1]
        if missing > 0:
            self._sum = np.concatenate([self._sum, np.zeros((2, missing), np.float32)], axis=1)
        place = slice(start - self._start, end - self._start)
        if self._is_stereo:
            self._sum[:, place] += samples.T
        else:
            # First track left, all others right: opposite phases do not cancel here either.
            self._sum[min(track, 1), place] += samples
        self._reached[track] = max(self._reached[track], end)
        # Otherwise a track that has ended would hold back the others until the end of the file.
        self._release(max(min(self._reached), max(self._reached) - self._patience))

    def finish(self) -> None:
        """Emit all that is left."""
        self._release(max(self._reached))

    def _release(self, until: int) -> None:
        count = until - self._start
        while count > 0:
            step = min(count, self._patience)
            part, self._sum = self._sum[:, :step], self._sum[:, step:]
            mixed = np.ascontiguousarray(part.T) if self._is_stereo else mix_to_mono(part) * np.float32(2)
            self._emit(self._start, mixed)
            self._start += step
            count -= step
