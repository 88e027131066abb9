"""Training sequences of sound: acted voices, calm voices, bursts, music and noise, alone and mixed.

Half of the batches have one sound per row, half have several. Sounds are mixed by adding band powers, as mixing
waveforms does on average.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recipes.starter.sound.bank import SoundBank
from recipes.starter.sound.recordings import NO_VOICE
from recipes.starter.sound.rows import Random, Row, Sound, SoundBatch, collate, place
from recipes.starter.sound.tones import tone_bank
from recipes.starter.voices.data import EMOTIONS, LogMels, Utterance
from recipes.starter.voices.sequences import (
    LONG_ROWS,
    LONG_TIME,
    SHORT_ROWS,
    SHORT_TIME,
    group,
    mask_stretches,
    pick_emotion,
    warp,
)
from sentiloc.model.extractors.logmel import DB_OFFSET, DB_SCALE, FRAMES, MELS, SILENT_VALUE
from sentiloc.model.extractors.sound_events import EVENTS
from sentiloc.model.segments import FloatArray

SHARES = {"acted": 0.5, "calm": 0.13, "burst": 0.2, "music": 0.07, "noise": 0.07, "tone": 0.03}
"""Probability of each kind of sound."""
BURST_TEMPO, BURST_TRACT = (0.75, 1.35), (0.8, 1.25)
"""Ranges of tempo and of spectral stretch of bursts, which vary the few people who laugh in the training data."""
RECORDED_IMPORTANCE = 0.4
"""Loss weight of the sentiment of calm voices, music and noise, because they are many and all neutral."""
BED, BED_DB = 0.6, (-3.0, 30.0)
BED_KINDS = {"music": 0.4, "noise": 0.35, "synthetic": 0.25}
"""Background of a row: its probability, how many dB it is below the other sounds, and its kinds."""
SYNTHETIC_EVENTS = ("noise", "speech", "music")
"""Events of the synthetic bank of `voices/data.py`, alternating: coloured noise, babble, chords."""
AUDIBLE_DB, INAUDIBLE_DB = 12.0, 22.0
"""A background this far below the rest is fully audible, or inaudible."""
# A frame this far below the row's loudest one has no event.
SILENT_DB = 45.0
# Share of rows with one speaker throughout.
SAME_SPEAKER = 0.6
# Keeps logarithms finite in digital silence.
FLOOR_POWER = 1e-10
_EMOTION_OF_EVENT = {"laughter": "happy", "crying": "sad", "screaming": "fearful"}
_COLUMN = {name: i for i, name in enumerate(EVENTS)}
_VOCAL = [_COLUMN[name] for name in ("laughter", "crying", "screaming")]


class SoundComposer:
    """An endless supply of batches; the same seed gives the same batches. `items` are utterances that may be used."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        versions: Sequence[LogMels],
        synthetic: LogMels,
        items: Sequence[int],
        bank: SoundBank,
    ) -> None:
        self._utterances, self._versions, self._synthetic, self._bank = utterances, versions, synthetic, bank
        corpora = sorted({utterances[item].corpus for item in items})
        members = {name: [i for i in items if utterances[i].corpus == name] for name in corpora}
        # The root is a compromise between equal shares, which repeat small corpora often, and shares by size, which
        # hide them.
        shares = np.sqrt([len(members[name]) for name in corpora])
        self._corpora, self._corpus_shares = corpora, shares / shares.sum()
        self._groups = {name: group(utterances, members[name]) for name in corpora}
        self._takes = _takes_by_kind(bank)
        self._tones = tone_bank()

    def batches(self, seed: int, start: int = 0) -> Iterator[SoundBatch]:
        """Batches from number `start` on."""
        number = start
        while True:
            yield self.batch(np.random.default_rng((seed, number)), long=number % 2 == 1)
            number += 1

    def batch(self, random: Random, *, long: bool) -> SoundBatch:
        """One batch; its rows have several sounds (`long`) or one."""
        rows, time = (LONG_ROWS, LONG_TIME) if long else (SHORT_ROWS, SHORT_TIME)
        placed: list[Sound] = []
        made = [self._row(random, time * FRAMES, placed, single=not long) for _ in range(rows)]
        decibels = [self._finish(row, random) for row in made]
        return collate(made, np.stack(decibels), time, placed)

    def _row(self, random: Random, frames: int, placed: list[Sound], *, single: bool) -> Row:
        row = Row.empty(frames)
        corpus, speaker = str(random.choice(self._corpora, p=self._corpus_shares)), None
        same = random.random() < SAME_SPEAKER
        cursor = int(random.integers(0, 24 if single else 64)) * int(random.random() < 0.5)
        while cursor < frames - FRAMES:
            kind = _draw(SHARES, random)
            if kind == "acted":
                item = self._pick(random, corpus, speaker)
                sound = self._acted(item, random)
                # URDU's speakers mostly act one emotion each, so a row of one of them would never change.
                speaker = self._utterances[item].speaker if same and corpus != "urdu" else None
            else:
                sound = self._recorded(kind, frames, random)
            cursor = place(row, cursor, sound, len(placed), random)
            placed.append(sound)
            if single:
                row.end = min(frames, cursor + int(random.integers(0, 32)))
                break
            if not same:
                corpus = str(random.choice(self._corpora, p=self._corpus_shares))
            cursor += int(random.integers(0, 80)) * int(random.random() < 0.6)
        self._lay_bed(row, random)
        return row

    def _pick(self, random: Random, corpus: str, speaker: str | None) -> int:
        groups = self._groups[corpus]
        if speaker is not None:
            groups = {e: {speaker: by[speaker]} for e, by in groups.items() if speaker in by}
        by_speaker = groups[pick_emotion(groups, random)]
        name = list(by_speaker)[int(random.integers(len(by_speaker)))]
        return int(random.choice(by_speaker[name]))

    def _acted(self, item: int, random: Random) -> Sound:
        """An utterance with the event speech. Only in neutral ones is it known that nobody sobs or laughs."""
        utterance = self._utterances[item]
        power = _power(self._versions[int(random.integers(len(self._versions)))][item])
        events = np.zeros((len(power), len(EVENTS)), np.float32)
        events[:, _COLUMN["speech"]] = 1
        known = np.ones_like(events)
        if utterance.emotion != EMOTIONS.index("neutral"):
            known[:, _VOCAL] = 0
        return Sound(
            power=power, events=events, known=known, sentiment=utterance.sentiment, emotion=utterance.emotion
        )

    def _recorded(self, kind: str, frames: int, random: Random) -> Sound:
        """A part of a recording of that kind, at most as long as the recording and the row."""
        if kind == "tone":
            return self._tone(frames, random)
        owners = self._takes[kind]
        takes = owners[int(random.integers(len(owners)))]
        take = int(random.choice(takes))
        mels, events = self._bank.take(take)
        length = min(len(mels), int(frames * random.uniform(0.4, 1)))
        first = int(random.integers(0, len(mels) - length + 1))
        recording = self._bank.recordings[self._bank.recording[take]]
        inside = slice(first, first + length)
        # A part of digital silence would have the label of the recording.
        if not (mels[inside] > SILENT_VALUE + 1e-3).any():
            return self._recorded(kind, frames, random)
        power, told = _power(mels[inside]), events[inside]
        if kind == "burst":
            power, told = with_another_voice(power, told, random)
        return Sound(
            power=power,
            events=told,
            known=np.ones_like(told),
            sentiment=recording.sentiment,
            emotion=EMOTIONS.index(_EMOTION_OF_EVENT.get(recording.event, "neutral")),
            importance=1.0 if kind == "burst" else RECORDED_IMPORTANCE,
        )

    def _tone(self, frames: int, random: Random) -> Sound:
        """A test tone, at most as long as the row."""
        mels = self._tones[int(random.integers(len(self._tones)))]
        power = _power(mels[: int(frames * random.uniform(0.4, 1))])
        events = np.zeros((len(power), len(EVENTS)), np.float32)
        events[:, _COLUMN["noise"]] = 1
        return Sound(
            power=power,
            events=events,
            known=np.ones_like(events),
            sentiment=NO_VOICE,
            emotion=EMOTIONS.index("neutral"),
            importance=RECORDED_IMPORTANCE,
        )

    def _lay_bed(self, row: Row, random: Random) -> None:
        """Add music or noise to the whole row; it may be louder than the other sounds."""
        if random.random() >= BED:
            return
        power, events = self._bed(_draw(BED_KINDS, random), len(row.power), random)
        below = random.uniform(*BED_DB)
        voiced = row.power[row.owner >= 0]
        level = float(voiced.mean()) if len(voiced) else 1.0
        row.power += power * np.float32(level * 10 ** (-below / 10) / max(float(power.mean()), 1e-12))
        # Between the two levels people disagree, so the label is between 0 and 1.
        heard = np.clip((INAUDIBLE_DB - below) / (INAUDIBLE_DB - AUDIBLE_DB), 0, 1)
        under = np.where((row.owner >= 0)[:, None], events * np.float32(heard), events)
        row.events = np.maximum(row.events, under)

    def _bed(self, kind: str, frames: int, random: Random) -> tuple[FloatArray, FloatArray]:
        """Band power (frames, 60) and events (frames, events) of a row's background."""
        events = np.zeros((frames, len(EVENTS)), np.float32)
        if kind == "synthetic":
            number = int(random.integers(len(self._synthetic)))
            events[:, _COLUMN[SYNTHETIC_EVENTS[number % 3]]] = 1
            return _stretch(_power(self._synthetic[number]), frames, random), events
        sound = self._recorded(kind, frames, random)
        events[:] = np.resize(sound.events, events.shape)
        return _stretch(sound.power, frames, random), events

    def _finish(self, row: Row, random: Random) -> FloatArray:
        """Mark silence by level, then apply floor, vocal tract, equaliser, gain and masks; returns decibels (frames,
        60).
        """
        level = row.power.mean(axis=1)
        silent = level < level.max() * 10 ** (-SILENT_DB / 10)
        row.events[silent] = 0
        row.events[silent, _COLUMN["silence"]] = 1
        power = row.power + np.float32(level.mean() * 10 ** (-random.uniform(25, 60) / 10))
        if random.random() < 0.5:
            power = power @ warp(random.uniform(0.92, 1.08))
        decibels = 10 * np.log10(power + FLOOR_POWER)
        if random.random() < 0.5:
            decibels += np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), random.normal(0, 4, 5))
        # Around -7 dB, `NORMAL_LEVEL`, to which serving brings a recording.
        decibels += random.uniform(-12, 12) - 10 * np.log10(float(level.mean()) + FLOOR_POWER) - 7
        mask_stretches(decibels, random)
        return np.asarray(decibels, np.float32)


def _takes_by_kind(bank: SoundBank) -> dict[str, list[list[int]]]:
    """Training takes by kind and owner, so that long recordings and owners of many recordings do not count more."""
    owners: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for take in bank.takes(held_out=False):
        recording = bank.recordings[bank.recording[take]]
        owner = f"{recording.source} {recording.owner}"
        if recording.event in _EMOTION_OF_EVENT:
            owners["burst"][f"{recording.event} {recording.source}"].append(take)
        elif recording.event == "speech":
            owners["calm"][owner].append(take)
        elif recording.event == "music":
            owners["music"][owner].append(take)
        else:
            owners["noise"][recording.label].append(take)
    return {kind: [by[name] for name in sorted(by)] for kind, by in owners.items()}


def with_another_voice(
    power: FloatArray, events: FloatArray, random: Random
) -> tuple[FloatArray, FloatArray]:
    """A burst with another tempo and another vocal tract: power (frames', 60) and events (frames', events)."""
    count = max(int(len(power) / random.uniform(*BURST_TEMPO)), 1)
    places = np.linspace(0, len(power) - 1, count).round().astype(int)
    return power[places] @ warp(random.uniform(*BURST_TRACT)), events[places]


def _draw(shares: Mapping[str, float], random: Random) -> str:
    names, weights = list(shares), np.array(list(shares.values()))
    return names[int(random.choice(len(names), p=weights / weights.sum()))]


def _power(mels: NDArray[np.floating]) -> FloatArray:
    decibels = mels.astype(np.float32) * DB_SCALE - DB_OFFSET
    power: FloatArray = np.exp(decibels * np.float32(np.log(10) / 10)).astype(np.float32)
    # Digital silence has the lowest log-mel value, not no power; without this, mixing would add it as hiss.
    return power * (mels > SILENT_VALUE + 1e-3)


def _stretch(power: FloatArray, frames: int, random: Random) -> FloatArray:
    first = int(random.integers(0, max(1, len(power) - frames + 1)))
    return np.resize(power[first : first + frames], (frames, MELS))
