"""The `speech/` folder as log-mels: one cache of clean and varied versions, and a bank of interfering sounds.

The folder holds `index.csv` (file, corpus, speaker, emotion, language, seconds) and the utterances. The cache
is `version<i>.npy`, float16 (frames, 60), all utterances end to end, with `version<i>.npz` (offsets); version
0 is clean.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.starter.splits import folds_of, is_validation_speaker
from recipes.starter.voices.augment import Wave, babble, coloured_noise, decode, music, vary
from sentiloc.model.extractors.logmel import FRAMES, HOP, MELS, SAMPLE_RATE, serving_log_mel

EMOTIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
# The label that PyTorch's losses ignore.
UNLABELLED = -1
SENTIMENT_OF_EMOTION = np.array([2, 1, 0, 0, 0, 0, UNLABELLED])
"""Class of each of `EMOTIONS`: 0 negative, 1 positive, 2 non-sentiment; surprise has none."""

# One clean and three varied ones.
VERSIONS = 4
NOISE_SECONDS = 20
NOISES_PER_KIND = 12

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One acted utterance of `speech/`; `emotion` indexes EMOTIONS."""

    file: str
    corpus: str
    speaker: str
    emotion: int

    @property
    def sentiment(self) -> int:
        """0 negative, 1 positive, 2 non-sentiment, -1 unlabelled."""
        return int(SENTIMENT_OF_EMOTION[self.emotion])

    @property
    def held_out(self) -> bool:
        """Whether the speaker is held out for validation."""
        return is_validation_speaker(self.corpus, self.speaker)


def read_index(folder: Path) -> list[Utterance]:
    """The utterances of `folder`/index.csv, in its order; calm counts as neutral."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return [
            Utterance(
                file=row["file"],
                corpus=row["corpus"],
                speaker=row["speaker"],
                emotion=EMOTIONS.index("neutral" if row["emotion"] == "calm" else row["emotion"]),
            )
            for row in csv.DictReader(file)
        ]


def training_items(utterances: Sequence[Utterance], fold: int | None = None) -> list[int]:
    """Utterances of the training speakers, without those of `fold`."""
    folds = folds_of((u.corpus, u.speaker) for u in utterances)
    places = [folds.get((u.corpus, u.speaker)) for u in utterances]
    return [i for i, place in enumerate(places) if place is not None and place != fold]


@dataclass(frozen=True, slots=True)
class LogMels:
    """Concatenated log-mels of many recordings: `frames` (total, 60) float16, `offsets` (recordings + 1,)."""

    frames: NDArray[np.float16]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, item: int) -> NDArray[np.float16]:
        """Log-mel of one recording, shape (frames, 60)."""
        return self.frames[self.offsets[item] : self.offsets[item + 1]]


def frames_of(wave: Wave) -> NDArray[np.float16]:
    """Log-mel of samples, shape (frames, 60), one frame per 20 ms."""
    count = -(-len(wave) // HOP)
    # The last snippet is padded; its frames beyond the recording are cut.
    return serving_log_mel(wave).reshape(-1, MELS)[:count].astype(np.float16)


def join_log_mels(parts: list[NDArray[np.float16]]) -> LogMels:
    """Concatenate recordings (frames, 60)."""
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return LogMels(np.concatenate(parts), offsets)


def _save(mels: LogMels, cache: Path, name: str) -> None:
    np.save(cache / f"{name}.npy", mels.frames)
    np.savez(cache / f"{name}.npz", offsets=mels.offsets)


def _load(cache: Path, name: str) -> LogMels:
    return LogMels(np.load(cache / f"{name}.npy"), np.load(cache / f"{name}.npz")["offsets"])


def load_versions(folder: Path, cache: Path, seed: int = 0) -> tuple[list[LogMels], LogMels]:
    """The versions of every utterance, and the noise bank; those that are not in `cache` are computed first."""
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "noise.npz").exists():
        _fill_cache(folder, cache, seed)
    return [_load(cache, f"version{i}") for i in range(VERSIONS)], _load(cache, "noise")


def _fill_cache(folder: Path, cache: Path, seed: int) -> None:
    utterances = read_index(folder)
    versions: list[list[NDArray[np.float16]]] = [[] for _ in range(VERSIONS)]
    voices: list[Wave] = []
    for number, utterance in enumerate(utterances):
        wave = decode(str(folder / utterance.file))
        for version, parts in enumerate(versions):
            random = np.random.default_rng((seed, version, number))
            parts.append(frames_of(vary(wave, random) if version else wave))
        # One voice in forty is enough for babble. Held-out people must not be in it.
        if number % 40 == 0 and not utterance.held_out:
            voices.append(wave)
        if number % 500 == 0:
            logger.info("log-mels of %d of %d utterances", number, len(utterances))
    for version, parts in enumerate(versions):
        _save(join_log_mels(parts), cache, f"version{version}")
    _save(join_log_mels(list(_noises(voices, np.random.default_rng((seed, VERSIONS))))), cache, "noise")


def _noises(voices: list[Wave], random: np.random.Generator) -> Iterator[NDArray[np.float16]]:
    """Noise, babble of training speakers and synthetic music, each at an RMS of 0.1."""
    samples = NOISE_SECONDS * SAMPLE_RATE
    for _ in range(NOISES_PER_KIND):
        chosen = random.choice(len(voices), size=int(random.integers(4, 12)), replace=False)
        yield frames_of(0.1 * coloured_noise(samples, random))
        yield frames_of(0.1 * babble([voices[i] for i in chosen], samples, random))
        yield frames_of(0.1 * music(samples, random))


def as_snippets(frames: NDArray[np.float16], pad_value: float) -> NDArray[np.float32]:
    """Frames (frames, 60) as whole snippets (time, 32, 60), the last one padded."""
    time = -(-len(frames) // FRAMES)
    snippets = np.full((time * FRAMES, MELS), pad_value, np.float32)
    snippets[: len(frames)] = frames
    return snippets.reshape(time, FRAMES, MELS)
