"""Training sequences of speech as log-mels: training speakers with silences, noise and music.

Half of the batches have one utterance per row. The others have several, of one speaker or of many, so the encoder
learns where sentiment begins, ends and changes. Sounds are mixed by adding band powers, as mixing waveforms does on
average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.starter.voices.data import UNLABELLED, LogMels, Utterance
from sentiloc.model.extractors.logmel import DB_OFFSET, DB_SCALE, FRAMES, MELS
from sentiloc.model.segments import FloatArray

NO_VOICE = 3
SNIPPET_CLASSES = 4
# Rows and snippets. Long and short batches have the same number of snippets, and so cost the same.
LONG_ROWS, LONG_TIME = 24, 14
SHORT_ROWS, SHORT_TIME = 48, 7
SURPRISE_SHARE = 0.06
# The level of digital silence in the log-mels.
FLOOR_DB = -100.0
# Frames this far below an utterance's loudest one are pauses before and after it.
ACTIVE_DB = 35.0
SAME_SPEAKER = 0.6

Random = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechBatch:
    """audio (rows, time, 32, 60), present (rows, time); targets (rows, time, 4), zero where unlabelled.

    weights (utterances, rows * time) is the share of each snippet that an utterance fills; sentiment and
    emotion (utterances,) are its labels, sentiment -1 where it has none.
    """

    audio: FloatArray
    present: FloatArray
    targets: FloatArray
    weights: FloatArray
    sentiment: NDArray[np.int64]
    emotion: NDArray[np.int64]


@dataclass(slots=True)
class _Row:
    """A row during composition: dB (frames, 60), class and utterance number of each frame, end of the audio."""

    decibels: FloatArray
    classes: NDArray[np.int64]
    owner: NDArray[np.int64]
    end: int


def group(utterances: Sequence[Utterance], items: Sequence[int]) -> dict[int, dict[str, list[int]]]:
    """Items by emotion and speaker."""
    groups: dict[int, dict[str, list[int]]] = {}
    for item in items:
        utterance = utterances[item]
        groups.setdefault(utterance.emotion, {}).setdefault(utterance.speaker, []).append(item)
    return groups


class SpeechComposer:
    """An endless supply of batches; the same seed gives the same batches."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        versions: Sequence[LogMels],
        noise: LogMels,
        items: Sequence[int],
    ) -> None:
        self._utterances, self._versions, self._noise = utterances, versions, noise
        corpora = sorted({utterances[item].corpus for item in items})
        members = {name: [i for i in items if utterances[i].corpus == name] for name in corpora}
        # Equal shares would repeat small corpora often, and shares by size would hide them.
        shares = np.sqrt([len(members[name]) for name in corpora])
        self._corpora, self._shares = corpora, shares / shares.sum()
        self._groups = {name: group(utterances, members[name]) for name in corpora}

    def batches(self, seed: int, start: int = 0) -> Iterator[SpeechBatch]:
        """Batches from number `start` on."""
        number = start
        while True:
            yield self.batch(np.random.default_rng((seed, number)), long=number % 2 == 1)
            number += 1

    def batch(self, random: Random, *, long: bool) -> SpeechBatch:
        """One batch; its rows have several utterances (`long`) or one."""
        rows, time = (LONG_ROWS, LONG_TIME) if long else (SHORT_ROWS, SHORT_TIME)
        spoken: list[int] = []
        made = [self._row(random, time * FRAMES, spoken, single=not long) for _ in range(rows)]
        for row in made:
            self._disturb(row, random)
        return _collate(made, time, [self._utterances[item] for item in spoken])

    def _pick(self, random: Random, corpus: str, speaker: str | None) -> int:
        groups = self._groups[corpus]
        if speaker is not None:
            groups = {e: {speaker: by[speaker]} for e, by in groups.items() if speaker in by}
        emotion = pick_emotion(groups, random)
        by_speaker = groups[emotion]
        name = list(by_speaker)[int(random.integers(len(by_speaker)))]
        return int(random.choice(by_speaker[name]))

    def _row(self, random: Random, frames: int, spoken: list[int], *, single: bool) -> _Row:
        row = _Row(
            np.full((frames, MELS), FLOOR_DB, np.float32),
            np.full(frames, NO_VOICE),
            np.full(frames, UNLABELLED),
            frames,
        )
        corpus = str(random.choice(self._corpora, p=self._shares))
        speaker: str | None = None
        same = random.random() < SAME_SPEAKER
        # In half of the rows a pause of random length comes first: an utterance may begin anywhere in a
        # snippet.
        cursor = int(random.integers(0, 24 if single else 64)) * int(random.random() < 0.5)
        while cursor < frames - FRAMES:
            item = self._pick(random, corpus, speaker)
            cursor = self._speak(row, cursor, item, len(spoken), random)
            spoken.append(item)
            if single:
                row.end = min(frames, cursor + int(random.integers(0, 32)))
                break
            # URDU's speakers mostly act one emotion each, so a row of one of them would never change.
            if same and corpus != "urdu":
                speaker = self._utterances[item].speaker
            elif not same:
                corpus = str(random.choice(self._corpora, p=self._shares))
            cursor += int(random.integers(0, 80)) * int(random.random() < 0.6)
        return row

    def _speak(self, row: _Row, cursor: int, item: int, number: int, random: Random) -> int:
        mels = self._versions[int(random.integers(len(self._versions)))][item]
        room = len(row.owner) - cursor
        keep = min(len(mels), room)
        if random.random() < 0.3:
            # 48 frames are about a second.
            keep = min(keep, max(48, int(len(mels) * random.uniform(0.4, 1))))
        first = int(random.integers(0, len(mels) - keep + 1))
        part = mels[first : first + keep].astype(np.float32) * DB_SCALE - DB_OFFSET
        here = slice(cursor, cursor + len(part))
        # Neighbours in a conversation differ in loudness.
        row.decibels[here] = part + random.normal(0, 3)
        loud = part.max(axis=1)
        active = np.flatnonzero(loud > loud.max() - ACTIVE_DB)
        voiced = slice(cursor + active[0], cursor + active[-1] + 1)
        row.classes[voiced] = self._utterances[item].sentiment
        row.owner[voiced] = number
        return cursor + len(part)

    def _disturb(self, row: _Row, random: Random) -> None:
        """Apply noise, equaliser, vocal-tract length, gain and masks in place."""
        voice = row.decibels[row.owner >= 0]
        level = 10 * np.log10(np.power(10, voice / 10).mean() + 1e-10) if len(voice) else -20.0
        power = np.power(10, row.decibels / 10)
        # A noise floor, as every recording has one.
        power += 10 ** ((level - random.uniform(25, 60)) / 10)
        if random.random() < 0.6:
            power += np.power(10, (self._noise_db(len(power), random) + level - random.uniform(0, 30)) / 10)
        if random.random() < 0.5:
            power = power @ warp(random.uniform(0.92, 1.08))
        decibels = 10 * np.log10(power + 1e-10)
        if random.random() < 0.5:
            decibels += np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), random.normal(0, 4, 5))
        row.decibels = np.maximum(decibels + random.uniform(-15, 15), FLOOR_DB).astype(np.float32)
        mask_stretches(row.decibels, random)

    def _noise_db(self, frames: int, random: Random) -> FloatArray:
        """A part of the noise bank with a mean power of 0 dB."""
        mels = self._noise[int(random.integers(len(self._noise)))]
        first = int(random.integers(0, len(mels) - frames + 1))
        part = mels[first : first + frames].astype(np.float32) * DB_SCALE - DB_OFFSET
        levelled: FloatArray = part - 10 * np.log10(np.power(10, part / 10).mean() + 1e-10)
        return levelled


def pick_emotion(groups: Mapping[int, Mapping[str, list[int]]], random: Random) -> int:
    """Draw a sentiment uniformly, then one of its emotions uniformly; rarely surprise."""
    sentiments = {0: [2, 3, 4, 5], 1: [1], 2: [0], UNLABELLED: [6]}
    present = {s: [e for e in emotions if e in groups] for s, emotions in sentiments.items()}
    wanted = [s for s in (0, 1, 2) if present[s]]
    if present[UNLABELLED] and (random.random() < SURPRISE_SHARE or not wanted):
        wanted = [UNLABELLED]
    emotions = present[wanted[int(random.integers(len(wanted)))]]
    return emotions[int(random.integers(len(emotions)))]


def warp(factor: float) -> FloatArray:
    """Matrix (60, 60) that stretches the mel axis: a longer or shorter vocal tract."""
    source = np.clip(np.arange(MELS) * factor, 0, MELS - 1)
    low = np.floor(source).astype(int)
    share = (source - low).astype(np.float32)
    matrix = np.zeros((MELS, MELS), np.float32)
    matrix[low, np.arange(MELS)] += 1 - share
    matrix[np.minimum(low + 1, MELS - 1), np.arange(MELS)] += share
    return matrix


def mask_stretches(decibels: FloatArray, random: Random) -> None:
    """SpecAugment: silence up to two ranges of bands and of frames, in place."""
    for _ in range(int(random.integers(0, 3))):
        band = int(random.integers(0, MELS - 8))
        decibels[:, band : band + int(random.integers(1, 9))] = FLOOR_DB
        frame = int(random.integers(0, len(decibels) - 12))
        decibels[frame : frame + int(random.integers(1, 13))] = FLOOR_DB


def _collate(rows: list[_Row], time: int, spoken: Sequence[Utterance]) -> SpeechBatch:
    decibels = np.stack([row.decibels for row in rows]).reshape(len(rows), time, FRAMES, MELS)
    ends = np.array([row.end for row in rows])
    present = (np.arange(time) * FRAMES < ends[:, None]).astype(np.float32)
    classes = np.stack([row.classes for row in rows]).reshape(len(rows), time, FRAMES)
    owner = np.stack([row.owner for row in rows]).reshape(-1, FRAMES)
    shares = (classes[..., None] == np.arange(SNIPPET_CLASSES)).mean(axis=2)
    # Snippets that are mostly surprise have no label. The shares of the others sum to nearly 1.
    known = shares.sum(axis=2, keepdims=True) > 0.7
    weights = np.stack([(owner == number).mean(axis=1) for number in range(len(spoken))])
    return SpeechBatch(
        audio=((decibels + DB_OFFSET) / DB_SCALE).astype(np.float32),
        present=present,
        targets=(shares * known * present[..., None]).astype(np.float32),
        weights=weights.astype(np.float32),
        sentiment=np.array([utterance.sentiment for utterance in spoken]),
        emotion=np.array([utterance.emotion for utterance in spoken]),
    )
