"""Augmentation of voices at 16 kHz: the effects of rooms, microphones, codecs and surroundings.

Everything takes and returns mono float32 samples in about [-1, 1], shape (samples,), and a seeded generator.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import cast

import av
import librosa
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, fftconvolve, sosfilt

from sentiloc.model.extractors.logmel import SAMPLE_RATE

Wave = NDArray[np.float32]
Random = np.random.Generator
Change = Callable[[Wave, Random], Wave]

# Encoder, container, sample rate, range of bit rates.
CODECS = (("libopus", "ogg", 48_000, (8_000, 32_000)), ("aac", "adts", 16_000, (16_000, 64_000)))
SEMITONE = 2 ** (1 / 12)


def _resample(wave: Wave, source: float, target: float) -> Wave:
    resampled: Wave = librosa.resample(wave, orig_sr=source, target_sr=target, res_type="soxr_mq")
    return resampled.astype(np.float32, copy=False)


def speed(wave: Wave, random: Random) -> Wave:
    """Change tempo and pitch together by up to 10 %."""
    return _resample(wave, SAMPLE_RATE, SAMPLE_RATE * random.uniform(0.9, 1.1))


def room(wave: Wave, random: Random) -> Wave:
    """Synthetic room: exponentially decaying noise (RT60 0.15 to 0.9 s) under the direct sound."""
    rt60 = random.uniform(0.15, 0.9)
    time = np.arange(int(rt60 * SAMPLE_RATE)) / SAMPLE_RATE
    # RT60 is the time in which the level falls by 60 dB, a factor of 10 ** -3.
    tail = random.normal(size=len(time)) * 10 ** (-3 * time / rt60)
    # The first reflection arrives later than the direct sound.
    tail[: int(random.uniform(0.002, 0.02) * SAMPLE_RATE)] = 0
    tail /= np.sqrt(np.square(tail).sum()) + 1e-9
    response = tail * 10 ** (-random.uniform(-3, 12) / 20)
    response[0] = 1.0
    wet: Wave = fftconvolve(wave, response)[: len(wave)].astype(np.float32)
    return wet


def band_limit(wave: Wave, random: Random) -> Wave:
    """Telephone and far microphones: high-pass at 50 to 300 Hz, low-pass at 2.8 to 7 kHz."""
    edges = (random.uniform(50, 300), random.uniform(2_800, 7_000))
    sections = butter(int(random.integers(1, 4)), edges, "bandpass", fs=SAMPLE_RATE, output="sos")
    limited: Wave = sosfilt(sections, wave).astype(np.float32)
    return limited


def far_microphone(wave: Wave, random: Random) -> Wave:
    """A muffled voice in a room with some hiss."""
    far = room(band_limit(wave, random), random)
    return far + coloured_noise(len(far), random) * _rms(far) * np.float32(
        10 ** (-random.uniform(10, 30) / 20)
    )


def clip(wave: Wave, random: Random) -> Wave:
    """An overdriven input: the loudest 0.1 to 3 % of samples are clipped."""
    level = float(np.quantile(np.abs(wave), 1 - random.uniform(0.001, 0.03)))
    return np.clip(wave, -level, level)


def mu_law(wave: Wave, random: Random) -> Wave:
    """Telephone coding: 8 kHz, 8 bits of mu-law."""
    narrow = _resample(wave, SAMPLE_RATE, 8_000)
    # With headroom, so that a quiet recording uses fewer of the 255 steps.
    scale = np.abs(narrow).max() * random.uniform(1, 4) + 1e-9
    # ITU-T G.711 with mu = 255.
    companded = np.sign(narrow) * np.log1p(255 * np.abs(narrow / scale)) / np.log(256)
    coded = np.round(companded * 127) / 127
    return _resample(np.sign(coded) * scale * np.expm1(np.abs(coded) * np.log(256)) / 255, 8_000, SAMPLE_RATE)


def codec(wave: Wave, random: Random) -> Wave:
    """Encode with a real Opus or AAC encoder at a low bit rate and decode again."""
    name, container, rate, (low, high) = CODECS[int(random.integers(len(CODECS)))]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = cast(AudioStream, output.add_stream(name, rate=rate, layout="mono"))
        stream.bit_rate = int(random.integers(low, high))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), format="flt", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    file.seek(0)
    # Codecs fill up their last frame.
    return decode(file)[: len(wave)]


def decode(file: io.BytesIO | str) -> Wave:
    """Decode an audio file to mono 16 kHz samples."""
    with av.open(file, "r") as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        parts += resampler.resample(None)
    wave: Wave = np.concatenate([part.to_ndarray()[0] for part in parts])
    return wave


CHANGES: Sequence[tuple[float, Change]] = (
    (0.6, speed),
    (0.05, clip),
    (0.4, room),
    (0.15, far_microphone),
    (0.15, band_limit),
    (0.2, codec),
    (0.06, mu_law),
)
"""Probability of each change; they are applied in this order, from the speaker to the file."""


def vary(wave: Wave, random: Random) -> Wave:
    """A random chain of `CHANGES`."""
    for probability, change in CHANGES:
        if random.random() < probability:
            wave = change(wave, random)
    return wave


def _rms(wave: Wave) -> np.float32:
    return np.float32(np.sqrt(np.mean(np.square(wave)) + 1e-12))


def coloured_noise(samples: int, random: Random) -> Wave:
    """Noise with a spectrum between white and brown, RMS 1."""
    # A length with a large prime factor would make the transform slow.
    length = next_fast_len(samples, real=True)
    spectrum = rfft(random.normal(size=length))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** random.uniform(0, 1)
    noise = irfft(spectrum, length)[:samples].astype(np.float32)
    scaled: Wave = noise / _rms(noise)
    return scaled


def babble(voices: Sequence[Wave], samples: int, random: Random) -> Wave:
    """Many voices at once, none of them intelligible; RMS 1."""
    total = np.zeros(samples, np.float32)
    for voice in voices:
        repeated = np.resize(np.roll(voice, int(random.integers(len(voice)))), samples)
        total += repeated / _rms(voice) * np.float32(random.uniform(0.5, 1))
    return total / _rms(total)


def music(samples: int, random: Random) -> Wave:
    """Synthetic chords and a beat as a soundtrack; RMS 1."""
    beat = int(SAMPLE_RATE * 60 / random.uniform(60, 160))
    root = random.uniform(80, 260)
    total = np.zeros(samples + 2 * beat, np.float32)
    third = int(random.integers(3, 5))
    for start in range(0, samples, beat):
        degree = int(random.choice([0, 3, 5, 7, 9]))
        notes = [degree, degree + third, degree + 7, degree + 12 * int(random.integers(0, 3))]
        total[start : start + 2 * beat] += _chord(root, notes, 2 * beat, random)
        total[start : start + beat] += _hit(beat, random)
    return total[:samples] / _rms(total[:samples])


def _chord(root: float, semitones: Sequence[int], samples: int, random: Random) -> Wave:
    time = np.arange(samples) / SAMPLE_RATE
    tone = np.zeros(samples)
    for semitone in semitones:
        for harmonic in range(1, 6):
            frequency = root * SEMITONE**semitone * harmonic
            tone += np.sin(2 * np.pi * (frequency * time + random.random())) / harmonic**1.5
    attack = np.minimum(1, time / random.uniform(0.005, 0.2))
    chord: Wave = (tone * attack * np.exp(-time * random.uniform(0.5, 4))).astype(np.float32)
    return chord


def _hit(samples: int, random: Random) -> Wave:
    time = np.arange(samples) / SAMPLE_RATE
    drum = np.sin(2 * np.pi * random.uniform(50, 120) * time) * np.exp(-time * 20) * random.uniform(0, 4)
    hiss = random.normal(size=samples) * np.exp(-time * random.uniform(20, 80)) * random.uniform(0, 1.5)
    hit: Wave = (drum + hiss).astype(np.float32)
    return hit
