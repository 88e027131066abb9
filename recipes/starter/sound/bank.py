"""The sound bank: every recording as log-mels, clean and augmented, with the sound events of each frame.

The cache is `frames.npy`, float16 (frames, 60), all takes concatenated, `targets.npy`, uint8 (frames, events) in
255ths, and `takes.npz` (offsets, recording and version of each take). Version 0 of a recording is clean.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from recipes.starter.sound.recordings import EXCERPT_SECONDS, Recording, read_recordings
from recipes.starter.sound.teacher import Teacher, at_frames
from recipes.starter.voices.augment import CHANGES, Wave, decode, speed, vary
from recipes.starter.voices.augment import _resample as resample
from recipes.starter.voices.data import LogMels, frames_of
from sentiloc.model.extractors.logmel import DB_SCALE, SAMPLE_RATE
from sentiloc.model.extractors.sound_events import EVENTS
from sentiloc.model.segments import FloatArray

# Takes of a recording. Few adults laugh, cry or scream in the corpora, so theirs are varied most.
VERSIONS, BABY_VERSIONS, RARE_VERSIONS = 2, 4, 12
RARE = frozenset({"laughter", "crying", "screaming"})
# Frames this far below the loudest ones are pauses of a recording, without its event.
ACTIVE_DB = 30.0
VOCAL = ("laughter", "crying", "screaming")

# Recordings a file: an interrupted run loses at most this many.
PART = 150

Targets = NDArray[np.uint8]
Take = tuple[NDArray[np.float16], Targets]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundBank:
    """Takes of recordings: `mels` and `targets` by frame, `recording` and `version` by take."""

    recordings: Sequence[Recording]
    mels: LogMels
    targets: Targets
    recording: NDArray[np.int64]
    version: NDArray[np.int64]

    def take(self, item: int) -> tuple[NDArray[np.float16], FloatArray]:
        """Log-mel (frames, 60) and events (frames, events) of a take."""
        inside = slice(*self.mels.offsets[item : item + 2])
        return self.mels.frames[inside], self.targets[inside].astype(np.float32) / np.float32(255)

    def takes(self, *, held_out: bool, clean: bool = False) -> list[int]:
        """Takes of the recordings of one split; `clean`: only unchanged ones."""
        return [
            i
            for i, (r, v) in enumerate(zip(self.recording, self.version, strict=True))
            if self.recordings[r].held_out == held_out and not (clean and v)
        ]


def open_bank(data: Path, packages: Path, cache: Path, *, workers: int = 2, seed: int = 0) -> SoundBank:
    """Open the bank; recordings that are not in `cache` are added first."""
    recordings = read_recordings(data / "sounds", packages)
    if not (cache / "takes.npz").exists():
        _fill(recordings, data / "weights", cache, workers, seed)
    held = np.load(cache / "takes.npz")
    return SoundBank(
        recordings=recordings,
        mels=LogMels(np.load(cache / "frames.npy", mmap_mode="r"), held["offsets"]),
        targets=np.load(cache / "targets.npy", mmap_mode="r"),
        recording=held["recording"],
        version=held["version"],
    )


def _fill(recordings: Sequence[Recording], weights: Path, cache: Path, workers: int, seed: int) -> None:
    """Fill the cache. Every PART recordings are saved as `part<n>.npz`, so an interrupted run can continue."""
    cache.mkdir(parents=True, exist_ok=True)
    parts = [cache / f"part{first}.npz" for first in range(0, len(recordings), PART)]
    with ProcessPoolExecutor(workers) as pool:
        for number, path in enumerate(parts):
            if not path.exists():
                inside = range(number * PART, min((number + 1) * PART, len(recordings)))
                _write_part(path, list(pool.map(partial(_work, recordings, weights, seed), inside)), inside)
                logger.info("sounds: %d of %d recordings", inside.stop, len(recordings))
    held = [dict(np.load(path)) for path in parts]
    joined = {name: np.concatenate([part[name] for part in held]) for name in held[0]}
    np.save(cache / "frames.npy", joined["frames"])
    np.save(cache / "targets.npy", joined["targets"])
    offsets = np.concatenate([[0], np.cumsum(joined["lengths"])])
    np.savez(cache / "takes.npz", offsets=offsets, recording=joined["recording"], version=joined["version"])
    for path in parts:
        path.unlink()


def _work(recordings: Sequence[Recording], weights: Path, seed: int, number: int) -> list[Take]:
    try:
        return _takes_of(recordings[number], number, weights=weights, seed=seed)
    except av.error.FFmpegError:
        logger.warning("%s cannot be decoded and is left out", recordings[number].path.name)
        return []


def _write_part(path: Path, found: list[list[Take]], numbers: range) -> None:
    takes = [take for one in found for take in one]
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(
        unfinished,
        frames=np.concatenate([mels for mels, _ in takes]),
        targets=np.concatenate([target for _, target in takes]),
        lengths=[len(mels) for mels, _ in takes],
        recording=[number for number, one in zip(numbers, found, strict=True) for _ in one],
        version=[version for one in found for version in range(len(one))],
    )
    unfinished.rename(path)


# One in each worker process, because a session of ONNX Runtime cannot be sent to another.
_teachers: dict[Path, Teacher] = {}


def _takes_of(recording: Recording, number: int, *, weights: Path, seed: int) -> list[Take]:
    """All versions of a recording; held-out ones have the clean version and one augmented version."""
    teacher = _teachers.get(weights) or _teachers.setdefault(weights, Teacher(weights))
    wave = excerpt(decode(str(recording.path)))
    heard = teacher.listen(wave)
    rare = recording.event in RARE
    count = VERSIONS
    if rare and not recording.held_out:
        count = BABY_VERSIONS if recording.source == "baby" else RARE_VERSIONS
    takes = []
    for version in range(count):
        changed = _changed(wave, rare, np.random.default_rng((seed, number, version))) if version else wave
        mels = frames_of(changed)
        takes.append(
            (
                mels,
                _targets(recording, mels, at_frames(_stretched(heard, len(wave), len(changed)), len(mels))),
            )
        )
    return takes


def excerpt(wave: Wave) -> Wave:
    """The middle half minute of longer recordings."""
    limit = EXCERPT_SECONDS * SAMPLE_RATE
    first = max(0, (len(wave) - limit) // 2)
    return wave[first : first + limit]


def _changed(wave: Wave, rare: bool, random: np.random.Generator) -> Wave:
    """A chain of augmentations.

    Crying babies and the few adults are resampled to sound like other people: slower playback sounds deeper and larger.
    """
    if not rare:
        return vary(wave, random)
    wave = resample(wave, SAMPLE_RATE, SAMPLE_RATE * random.uniform(0.9, 1.7))
    for probability, change in CHANGES:
        if change is not speed and random.random() < probability:
            wave = change(wave, random)
    return wave


def _stretched(heard: FloatArray, before: int, after: int) -> FloatArray:
    """Stretch posteriors of a recording whose length changed from `before` to `after` samples."""
    steps = max(1, round(len(heard) * after / max(before, 1)))
    places = np.linspace(0, len(heard) - 1, steps)
    return np.stack([np.interp(places, np.arange(len(heard)), c) for c in heard.T], 1).astype(np.float32)


def _targets(recording: Recording, mels: NDArray[np.float16], heard: FloatArray) -> Targets:
    """Targets: the label where the recording is loud, the teacher's posteriors for other events, and none where it is
    quiet.
    """
    column = {name: i for i, name in enumerate(EVENTS)}
    # The teacher hears laughter in music and speech in noise. Where the label excludes that, the label
    # counts.
    target = heard.copy()
    if recording.event not in VOCAL and recording.label != "children_playing":
        target[:, [column[name] for name in VOCAL]] = 0
    if recording.event == "noise" and recording.label != "children_playing":
        target[:, [column["speech"], column["singing"]]] = 0
    opposite = {"laughter": ("crying", "screaming"), "crying": ("laughter",), "screaming": ("laughter",)}
    target[:, [column[name] for name in opposite.get(recording.event, ())]] = 0
    target[:, recording.event_index] = 1
    loud = mels.astype(np.float32).max(axis=1) * DB_SCALE
    # The quantile instead of the maximum, so that a single click does not turn everything else into pauses.
    active = loud > np.quantile(loud, 0.98) - ACTIVE_DB
    # Composition marks silence itself, by the level of the whole row.
    target[:, column["silence"]] = 0
    target *= active[:, None]
    return np.round(target * 255).astype(np.uint8)
