"""Untrimmed sequences of real clips of seven actors. Boundaries are exact, and points are as noisy as TSL300's.

A sequence joins whole clips of one or two actors: neutral clips, and segments of one to three clips of one sentiment.
All three streams are real and are extracted once per clip: I3D with the Kinetics weights (1024), log-mel (mean,
deviation and mean change of each of 60 bands: 180) and the face's expression (256). No extractor was trained on the
clips. Cuts fall between snippets, so boundaries are exact.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from sentiloc.model.data.items import Item, PointLabel, SegmentLabel
from sentiloc.model.segments import BoolArray, FloatArray, SnippetFeatures

FPS, SNIPPET_SECONDS = 25.0, 0.64
# Mean, deviation and mean change of 60 bands.
AUDIO_VALUES = 180
# Surprise is missing: it is neither positive nor negative.
SENTIMENT = {"neutral": None, "happy": 1, "sad": 0, "angry": 0, "fearful": 0}
# Clips in a sequence, at least.
PIECES = 9
POINT_SPREAD = 0.65
"""Standard deviation of points around the middle, in segment lengths: 56 % fall inside, as in TSL300.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip's streams: visual (T, 1024), audio (T, 180), face (T, 256), present (T, 3) in this order."""

    actor: str
    label: int | None
    visual: FloatArray
    audio: FloatArray
    face: FloatArray
    present: BoolArray


def read_clips(data: Path, features: Path) -> list[Clip]:
    """The clips of `data` (javanese_av) with a known sentiment, read from a folder of extracted features."""
    with (data / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["emotion"] in SENTIMENT]
    return [_read_clip(row, features / "features" / "train") for row in rows]


def _read_clip(row: dict[str, str], folder: Path) -> Clip:
    name = f"{Path(row['file']).stem}.npy"
    return Clip(
        actor=row["actor"],
        label=SENTIMENT[row["emotion"]],
        visual=np.load(folder / "rgb" / name),
        audio=band_statistics(np.load(folder / "logmfcc" / name)),
        face=np.load(folder / "img" / name),
        present=np.load(folder / "present" / name),
    )


def band_statistics(patches: FloatArray) -> FloatArray:
    """Log-mel (T, frames, mels) -> mean, deviation and mean absolute change of each band, (T, 3 * mels)."""
    change = np.abs(np.diff(patches, axis=1)).mean(1)
    joined: FloatArray = np.concatenate([patches.mean(1), patches.std(1), change], axis=1).astype(np.float32)
    return joined


def make_sequences(clips: Sequence[Clip], count: int, seed: int) -> list[Item]:
    """Make `count` sequences of the actors in `clips`."""
    rng = np.random.default_rng(seed)
    return [_sequence(f"{seed}-{index}", clips, rng) for index in range(count)]


def _sequence(name: str, clips: Sequence[Clip], rng: Generator) -> Item:
    """Runs of clips of one sentiment between neutral clips, of one or two actors."""
    actors = sorted({clip.actor for clip in clips})
    people = rng.choice(actors, size=min(len(actors), int(rng.integers(1, 3))), replace=False)
    pieces: list[Clip] = []
    segments, points = [], []
    leaning = rng.choice([0.2, 0.5, 0.8])
    while len(pieces) < PIECES:
        pieces += _draw(clips, rng.choice(people), None, int(rng.integers(1, 3)), rng)
        label = int(rng.random() < leaning)
        run = _draw(clips, rng.choice(people), label, int(rng.integers(1, 4)), rng)
        start, length = _snippets(pieces), _snippets(run)
        pieces += run
        segments.append(SegmentLabel(start * SNIPPET_SECONDS, (start + length) * SNIPPET_SECONDS, label))
        points.append((rng.normal(start + length / 2, POINT_SPREAD * length), label))
    pieces += _draw(clips, rng.choice(people), None, 1, rng)
    last = _snippets(pieces) - 1
    noisy = {PointLabel(int(np.clip(place, 0, last)), label) for place, label in points}
    return Item(
        name=name, features=_join(pieces), fps=FPS, points=tuple(sorted(noisy)), segments=tuple(segments)
    )


def _snippets(pieces: Sequence[Clip]) -> int:
    return sum(len(piece.visual) for piece in pieces)


def _draw(clips: Sequence[Clip], actor: str, label: int | None, count: int, rng: Generator) -> list[Clip]:
    fitting = [clip for clip in clips if clip.actor == actor and clip.label == label]
    return [fitting[int(index)] for index in rng.integers(len(fitting), size=count)]


def _join(pieces: Sequence[Clip]) -> SnippetFeatures:
    present = np.concatenate([piece.present for piece in pieces])
    return SnippetFeatures(
        visual=np.concatenate([piece.visual for piece in pieces]),
        audio=np.concatenate([piece.audio for piece in pieces]),
        face=np.concatenate([piece.face for piece in pieces]),
        visual_present=present[:, 0],
        audio_present=present[:, 1],
        face_present=present[:, 2],
    )
