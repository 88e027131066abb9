"""Rows of sounds during composition, and the batch that is made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipes.starter.sound.recordings import NO_VOICE
from recipes.starter.voices.sequences import ACTIVE_DB, SNIPPET_CLASSES, SpeechBatch
from sentiloc.model.extractors.logmel import DB_OFFSET, DB_SCALE, FRAMES, MELS
from sentiloc.model.extractors.sound_events import EVENTS
from sentiloc.model.segments import FloatArray

Random = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundBatch(SpeechBatch):
    """A batch of sounds.

    `events` (rows, time, events) are in [0, 1]; `known` (same shape) is true where they are known; `importance`
    (sounds,) is the loss weight of each sound's sentiment.
    """

    events: FloatArray
    known: FloatArray
    importance: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """One sound to be placed: band power and events by frame; `sentiment` 0 to 3 or -1, `emotion` of EMOTIONS."""

    power: FloatArray
    events: FloatArray
    known: FloatArray
    sentiment: int
    emotion: int
    importance: float = 1.0


@dataclass(slots=True)
class Row:
    """A row during composition; `owner` is the number of the sound in a frame, -1 if there is none."""

    power: FloatArray
    events: FloatArray
    known: FloatArray
    classes: NDArray[np.int64]
    owner: NDArray[np.int64]
    end: int

    @classmethod
    def empty(cls, frames: int) -> Row:
        """A row of `frames` frames without any sound."""
        wide = (frames, len(EVENTS))
        return cls(
            np.zeros((frames, MELS), np.float32),
            np.zeros(wide, np.float32),
            np.ones(wide, np.float32),
            np.full(frames, NO_VOICE),
            np.full(frames, -1),
            frames,
        )


def place(row: Row, cursor: int, sound: Sound, number: int, random: Random) -> int:
    """Put (a part of) a sound into the row at frame `cursor`; returns the frame after it."""
    keep = min(len(sound.power), len(row.owner) - cursor)
    if random.random() < 0.3:
        # 48 frames are about a second.
        keep = min(keep, max(48, int(len(sound.power) * random.uniform(0.4, 1))))
    last = len(sound.power) - keep
    first = int(random.integers(0, last + 1))
    if not sound.power[first : first + keep].any():  # A pause: take the frames around the loudest one.
        first = int(np.clip(sound.power.max(axis=1).argmax() - keep // 2, 0, last))
    part, here = slice(first, first + keep), slice(cursor, cursor + keep)
    power = sound.power[part]
    power = power / max(float(power.mean()), 1e-12) * np.float32(10 ** (random.normal(0, 4) / 10))
    row.power[here] = power
    loud = power.max(axis=1)
    active = np.flatnonzero(loud > loud.max() * 10 ** (-ACTIVE_DB / 10))
    voiced = slice(cursor + active[0], cursor + active[-1] + 1)
    row.classes[voiced] = sound.sentiment
    row.owner[voiced] = number
    row.events[voiced] = sound.events[part][active[0] : active[-1] + 1]
    row.known[voiced] = sound.known[part][active[0] : active[-1] + 1]
    return cursor + keep


def collate(rows: list[Row], decibels: FloatArray, time: int, placed: Sequence[Sound]) -> SoundBatch:
    """A batch of rows of `time` snippets; `decibels` (rows, frames, 60) are their finished log-mels in dB."""
    shape = (len(rows), time, FRAMES)
    ends = np.array([row.end for row in rows])
    present = (np.arange(time) * FRAMES < ends[:, None]).astype(np.float32)
    classes = np.stack([row.classes for row in rows]).reshape(shape)
    owner = np.stack([row.owner for row in rows]).reshape(-1, FRAMES)
    shares = (classes[..., None] == np.arange(SNIPPET_CLASSES)).mean(axis=2)
    # The rest of a snippet can be frames of no class; with too many of them it has no target.
    told = shares.sum(axis=2, keepdims=True) > 0.7
    weights = np.stack([(owner == number).mean(axis=1) for number in range(len(placed))])
    events = np.stack([row.events for row in rows]).reshape(*shape, len(EVENTS)).mean(axis=2)
    # A snippet's event is known only if it is known in all of its frames.
    known = np.stack([row.known for row in rows]).reshape(*shape, len(EVENTS)).min(axis=2)
    return SoundBatch(
        audio=((decibels + DB_OFFSET) / DB_SCALE).astype(np.float32).reshape(*shape, MELS),
        present=present,
        targets=(shares * told * present[..., None]).astype(np.float32),
        weights=weights.astype(np.float32),
        # Of a whole sound only three classes are learned: no voice counts as neutral.
        sentiment=np.array([min(sound.sentiment, 2) for sound in placed]),
        emotion=np.array([sound.emotion for sound in placed]),
        events=events,
        known=known * present[..., None],
        importance=np.array([sound.importance for sound in placed], np.float32),
    )
