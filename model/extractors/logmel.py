"""The network's sound input: a log-mel spectrogram, two frames per video frame, 32 per snippet.

Two rules, both `(power in dB + 50) / 80` reshaped to `(time, 32, 60)`:

- `serving`: 16 kHz mono, 20 ms hop, streaming (`SpectrogramStream`): constant memory, any chunking.
- `tsl300`: the published TSL300 features, whose sample rate follows each video's frame rate.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sentiloc.model.segments import BoolArray, FloatArray

SAMPLE_RATE = 16_000
VIDEO_FRAME_RATE = 25
SNIPPET_VIDEO_FRAMES = 16
FRAMES = 32
MELS = 60
N_FFT = 1024
HOP = SAMPLE_RATE * SNIPPET_VIDEO_FRAMES // (VIDEO_FRAME_RATE * FRAMES)
SNIPPET_SAMPLES = HOP * FRAMES
_SNIPPET_REACH = SNIPPET_SAMPLES + N_FFT - HOP
POWER_FLOOR = 1e-10
DB_OFFSET, DB_SCALE = 50.0, 80.0
SILENCE_DBFS = -60.0
"""A snippet whose RMS is below this (dB relative to full scale) counts as digital silence: not present."""

NORMAL_LEVEL = -7.0
"""The target of `normalize_level`: mean band power in dB of a typical loud snippet."""
MAX_GAIN = 45.0
"""Maximum gain in dB. A recording that would need more counts as silence and is not changed."""
FAINTEST_LEVEL = -75.0
"""Snippets below this (mean band power in dB; white noise at -89 dBFS) are silence at any gain."""
FAINTEST_BAND = -55.0
"""Band power in dB that no band of a normalized recording falls below."""
LOUD_SHARE, LOUD_RANGE, HEARD_RANGE = 0.9, 20.0, 40.0

TSL300_N_FFT, TSL300_HOP, TSL300_TOP_DB = 2048, 1024, 80.0

if HOP * FRAMES * VIDEO_FRAME_RATE != SAMPLE_RATE * SNIPPET_VIDEO_FRAMES:
    raise AssertionError("spectrogram frames must tile a snippet")

Samples = NDArray[np.floating]


def _mel_to_hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale: linear up to 1 kHz (15 mels), then 27 mels to every factor of 6.4."""
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))


@cache
def _mel_basis() -> FloatArray:
    """Triangles of equal area on Slaney's scale from 0 Hz to half the sample rate, shape (mels, bins)."""
    top = 15 + 27 * np.log(SAMPLE_RATE / 2000) / np.log(6.4)
    edges = _mel_to_hertz(np.linspace(0, top, MELS + 2))
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    slopes = (bins - edges[:, None]) / np.append(np.diff(edges), 1)[:, None]
    rising, falling = slopes[:-2], 1 - slopes[1:-1]
    triangles = np.maximum(0, np.minimum(rising, falling))
    basis: FloatArray = (triangles * 2 / (edges[2:] - edges[:-2])[:, None]).astype(np.float32)
    return basis


@cache
def _window() -> FloatArray:
    window: FloatArray = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    return window


def scale_db(decibels: FloatArray) -> FloatArray:
    """Decibels to the network's range: (dB + 50) / 80."""
    return ((decibels + DB_OFFSET) / DB_SCALE).astype(np.float32)


SILENT_VALUE = float((10 * np.log10(POWER_FLOOR) + DB_OFFSET) / DB_SCALE)
"""The value of every band of digital silence under the serving rule."""


def _log_mel(samples: Samples) -> FloatArray:
    """Uncentred log-mel of `samples`, shape (frames, mels): frame i starts at sample i * HOP."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32, copy=False), N_FFT)[::HOP]
    spectrum = np.fft.rfft(frames * _window(), axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    # Not `@`: for such a small product, waking BLAS threads costs up to a hundred times the product itself.
    mel = np.einsum("tf,mf->tm", power, _mel_basis())
    return scale_db(10 * np.log10(np.maximum(mel, POWER_FLOOR)))


class SpectrogramStream:
    """The serving rule over mono 16 kHz PCM that arrives in chunks; the result never depends on the chunks.

    Frames are centred (frame i looks at samples i * HOP +- 512; beyond both ends there are zeros). `push`
    returns the snippets that became complete, shape (snippets, 32, 60). Fewer than three snippets of samples are kept
    at any time, and each snippet is computed separately, so results are bit-identical.
    """

    def __init__(self) -> None:
        self._pending = np.zeros(N_FFT // 2, np.float32)

    def push(self, chunk: Samples) -> FloatArray:
        """Add samples in [-1, 1], shape (samples,), and return the snippets that are now complete."""
        snippets: list[FloatArray] = []
        for start in range(0, len(chunk), SNIPPET_SAMPLES):
            piece = chunk[start : start + SNIPPET_SAMPLES].astype(np.float32, copy=False)
            self._pending = np.concatenate([self._pending, piece])
            while len(self._pending) >= _SNIPPET_REACH:
                snippets.append(_log_mel(self._pending[:_SNIPPET_REACH]))
                self._pending = self._pending[SNIPPET_SAMPLES:]
        return np.stack(snippets) if snippets else np.empty((0, FRAMES, MELS), np.float32)

    def finish(self) -> FloatArray:
        """Complete the last snippets with zeros after the last sample; (0 to 2, 32, 60)."""
        left = max(0, len(self._pending) - N_FFT // 2)
        tail = -left % SNIPPET_SAMPLES + N_FFT // 2 if left else 0
        return self.push(np.zeros(tail, np.float32))


def serving_log_mel(samples: Samples, snippets: int | None = None) -> FloatArray:
    """The serving rule over a whole recording: mono 16 kHz samples in [-1, 1] -> (time, 32, 60).

    `snippets` fixes the time axis (cut, or padded with silence); without it, time covers every sample.
    """
    stream = SpectrogramStream()
    features = np.concatenate([stream.push(samples), stream.finish()])
    return features if snippets is None else fit_snippets(features, snippets)


def fit_snippets(features: FloatArray, snippets: int) -> FloatArray:
    """Cut (time, 32, 60) to `snippets`, or pad it with digital silence."""
    missing = max(0, snippets - len(features))
    padding = np.full((missing, FRAMES, MELS), SILENT_VALUE, np.float32)
    return np.concatenate([features[:snippets], padding])


def snippets_heard(mean_squares: NDArray[np.floating]) -> BoolArray:
    """Which snippets hold sound, from the mean square of their samples, shape (time,)."""
    heard: BoolArray = np.asarray(mean_squares) > 10 ** (SILENCE_DBFS / 10)
    return heard


def snippet_levels(features: FloatArray) -> FloatArray:
    """Mean band power of each snippet in dB, shape (time,), from the serving log-mel (time, 32, 60)."""
    decibels = features.astype(np.float32) * DB_SCALE - DB_OFFSET
    power = 10 ** (decibels / 10)
    levels: FloatArray = (10 * np.log10(power.mean(axis=(1, 2)) + POWER_FLOOR)).astype(np.float32)
    return levels


def level_gain(levels: FloatArray, target: float = NORMAL_LEVEL) -> float:
    """The gain in dB that brings a recording to `target`, from the levels (time,) of its snippets.

    A recording's level is the median of its loud snippets: those within 20 dB of the 90th percentile of all that
    are not silent. Neither silence nor a single bang affects it. A recording of silence has no gain: 0.
    """
    audible = levels[levels > FAINTEST_LEVEL]
    if not len(audible):
        return 0.0
    loud = audible[audible > np.quantile(audible, LOUD_SHARE) - LOUD_RANGE]
    return float(np.clip(target - np.median(loud), -MAX_GAIN, MAX_GAIN))


def apply_gain(features: FloatArray, gain: float) -> FloatArray:
    """The log-mel (time, 32, 60) of the same sound `gain` dB louder; silent snippets stay as they are.

    Bands are clipped from below at `FAINTEST_BAND`, because below it a quiet copy of a recording contains only rounding
    errors.
    """
    louder = np.maximum(features + np.float32(gain / DB_SCALE), (FAINTEST_BAND + DB_OFFSET) / DB_SCALE)
    sounds = snippet_levels(features) > FAINTEST_LEVEL
    return np.where(sounds[:, None, None], louder, features).astype(np.float32)


def levels_heard(levels: FloatArray, gain: float, target: float = NORMAL_LEVEL) -> BoolArray:
    """Which snippets hold sound once `gain` is applied, from their levels (time,) before it."""
    heard: BoolArray = (levels > FAINTEST_LEVEL) & (levels + gain > target - HEARD_RANGE)
    return heard


def normalize_level(features: FloatArray, target: float = NORMAL_LEVEL) -> tuple[FloatArray, BoolArray]:
    """A whole recording at the standard level, and where it has sound: (time, 32, 60), (time,).

    In dB a gain is an offset, so a quiet and a loud copy of a recording become the same. Serving does this in streaming
    (`worker/features/audio.py`), training on composed recordings.
    """
    levels = snippet_levels(features)
    gain = level_gain(levels, target)
    return apply_gain(features, gain), levels_heard(levels, gain, target)


def tsl300_sample_rate(fps: float) -> int:
    """The rate (Hz) at which a hop of 1024 gives two spectrogram frames per frame of a video of `fps`.

    The constants are the benchmark's own: its sample video's fps, durations and frame counts.
    """
    return int(fps / 19.916666666666668 * 44100 / 4.323882352941176 * 4 / 1.9992360580595874 * 2)


def tsl300_decibels(samples: Samples, sample_rate: int, fps: float) -> FloatArray:
    """The benchmark's spectrogram in dB, shape (frames, 60), of samples (channels, samples) or (samples,)."""
    import librosa  # imported here, because it loads numba, which takes seconds and memory that serving does not need

    mono = samples.mean(axis=0) if samples.ndim == 2 else samples
    pcm = np.clip(np.round(mono * 32768), -32768, 32767).astype(np.float32) / 32768
    rate = tsl300_sample_rate(fps)
    resampled = librosa.resample(pcm, orig_sr=sample_rate, target_sr=rate, res_type="soxr_hq")
    power = librosa.feature.melspectrogram(
        y=resampled, sr=rate, n_fft=TSL300_N_FFT, hop_length=TSL300_HOP, n_mels=MELS
    )
    decibels: FloatArray = librosa.power_to_db(power, top_db=TSL300_TOP_DB).T.astype(np.float32)
    return decibels


def tsl300_log_mel(samples: Samples, sample_rate: int, fps: float, snippets: int) -> FloatArray:
    """The `tsl300` rule: (snippets, 32, 60). Where audio ends early, the clip's quietest value follows."""
    rows = scale_db(tsl300_decibels(samples, sample_rate, fps))
    wanted = snippets * FRAMES
    missing = max(0, wanted - len(rows))
    quiet = float(rows.min()) if rows.size else SILENT_VALUE
    padding = np.full((missing, MELS), quiet, np.float32)
    return np.concatenate([rows[:wanted], padding]).reshape(snippets, FRAMES, MELS)
