"""Voices for composed sequences: utterances by speaker and sentiment as mel power, and background sounds.

Sound is mixed as mel power at 50 frames a second, because the powers of independent sounds add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from recipes.starter.clips import Clip
from recipes.starter.faces.bank import cached
from recipes.starter.splits import folds_of
from recipes.starter.voices.augment import CHANGES, Wave, speed
from recipes.starter.voices.data import LogMels, frames_of, load_versions, read_index
from sentiloc.model.extractors.logmel import (
    DB_OFFSET,
    DB_SCALE,
    FRAMES,
    MELS,
    N_FFT,
    POWER_FLOOR,
    SAMPLE_RATE,
    snippets_heard,
)
from sentiloc.model.segments import BoolArray, FloatArray

SOUND_VERSIONS = 4
# Sum of the squares of a Hann window.
_HANN_POWER = 0.375 * N_FFT


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceBank:
    """Utterances in several versions, by speaker and sentiment (surprise is IGNORED); interfering sounds."""

    versions: Sequence[LogMels]
    noise: LogMels
    speakers: tuple[dict[int, list[int]], ...]

    def voice(self, rng: np.random.Generator, speaker: int, sentiment: int) -> FloatArray:
        """Mel power (frames, 60) of an utterance; another speaker's if this one has none with that sentiment."""
        own = self.speakers[speaker].get(sentiment)
        while not own:
            own = self.speakers[int(rng.integers(len(self.speakers)))].get(sentiment)
        version = self.versions[int(rng.integers(len(self.versions)))]
        return to_power(version[own[int(rng.integers(len(own)))]])


def open_voices(
    folder: Path,
    cache: Path,
    *,
    held_out: bool,
    fold: int | None = None,
    but: frozenset[str] = frozenset(),
) -> VoiceBank:
    """The training speakers of `speech/` (of one fold, if given), or the held-out ones; without the Javanese actors
    `but`.
    """
    versions, noise = load_versions(folder, cache)
    speakers: defaultdict[tuple[str, str], defaultdict[int, list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    utterances = read_index(folder)
    folds = folds_of((u.corpus, u.speaker) for u in utterances)
    for number, utterance in enumerate(utterances):
        place = folds.get((utterance.corpus, utterance.speaker))
        left_out = utterance.corpus == "javanese" and utterance.speaker in but
        if utterance.held_out == held_out and fold in (None, place) and not left_out:
            speakers[utterance.corpus, utterance.speaker][utterance.sentiment].append(number)
    groups = tuple(dict(speakers[key]) for key in sorted(speakers))
    return VoiceBank(versions=versions, noise=noise, speakers=groups)


def clip_voices(clips: list[Clip], cache: Path, *, seed: int) -> list[tuple[NDArray[np.float16], ...]]:
    """Log-mels (frames, 60) of each clip's sound in SOUND_VERSIONS versions; the first is clean."""

    def make() -> dict[str, NDArray[np.float16]]:
        return {
            f"{i}_{version}": _sound_version(clip, version, np.random.default_rng((seed, i, version)))
            for i, clip in enumerate(clips)
            for version in range(SOUND_VERSIONS)
        }

    held = cached(cache, make)
    return [tuple(held[f"{i}_{v}"] for v in range(SOUND_VERSIONS)) for i in range(len(clips))]


def to_power(log_mel: NDArray[np.floating]) -> FloatArray:
    """Log-mel values to mel power."""
    decibels = log_mel.astype(np.float32) * DB_SCALE - DB_OFFSET
    power: FloatArray = np.exp(decibels * np.float32(np.log(10) / 10)).astype(np.float32)
    return power


def to_log_mel(power: FloatArray) -> FloatArray:
    """Mel power to log-mel values."""
    decibels = 10 * np.log10(np.maximum(power, POWER_FLOOR))
    return ((decibels + DB_OFFSET) / DB_SCALE).astype(np.float32)


def mean_squares(power: FloatArray) -> FloatArray:
    """Mean square of the samples per frame, estimated from mel power (frames, 60) by Parseval's theorem."""
    edges = librosa.mel_frequencies(MELS + 2, fmax=SAMPLE_RATE / 2)
    squares: FloatArray = power @ ((edges[2:] - edges[:-2]) / 2).astype(np.float32)
    return squares * np.float32(2 / (N_FFT * _HANN_POWER))


def heard(power: FloatArray) -> BoolArray:
    """Which snippets (time,) of mel power (time * 32, 60) hold sound, by the rule of serving."""
    return snippets_heard(mean_squares(power).reshape(-1, FRAMES).mean(1))


def channel(rng: np.random.Generator, power: FloatArray, bed: FloatArray) -> FloatArray:
    """Apply microphone and surroundings to a whole recording: tone, gain, and for some the background `bed` (frames,
    60).
    """
    tone = np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), rng.normal(0, 3, 5))
    power = power * (10 ** (tone / 10)).astype(np.float32)
    level = float(power.mean())
    if level > 0 and rng.random() < 0.5:
        bed = np.resize(bed, power.shape)
        ratio = 10 ** (-rng.uniform(3, 35) / 10)
        power = power + bed * np.float32(ratio * level / max(float(bed.mean()), 1e-12))
    return power * np.float32(10 ** (rng.normal(0, 6) / 10))


def _sound_version(clip: Clip, version: int, rng: np.random.Generator) -> NDArray[np.float16]:
    wave: Wave = clip.samples.astype(np.float32) / np.float32(32768)
    for probability, change in CHANGES:
        # No change of speed: the voice must stay in sync with the lips.
        if version and change is not speed and rng.random() < probability:
            wave = change(wave, rng)
    return frames_of(wave)
