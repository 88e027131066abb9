"""Sounds for everyday sequences by kind: music, noise, calm people, laughter, crying, screams.

Half of the sounds that the audio encoder was not trained on go into training sequences and are drawn half of the time,
so that the network learns how reliable the encoder is on new sounds. The other half is for held-out sequences.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recipes.starter.sound.bank import SoundBank
from recipes.starter.sound.recordings import Recording
from recipes.starter.voices.voice_bank import to_power
from sentiloc.model.segments import FloatArray

UNCLEAR = frozenset({"children_playing", "applause"})
"""Labels that are left out, because they may contain anything or have no stated sentiment."""
# Quantile of the frames' loudness: pauses and single peaks do not count.
_LOUD = 0.9

Takes = Mapping[str, Mapping[str, Sequence[int]]]
"""Takes by kind and label; the label of calm speech is the speaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Takes of a bank: `heard` ones are from the encoder's training (none in a held-out shelf), `new` ones are not."""

    bank: SoundBank
    heard: Takes
    new: Takes

    def has(self, kind: str) -> bool:
        """Whether there is any sound of a kind."""
        return bool(self.new.get(kind) or self.heard.get(kind))

    def without(self, *kinds: str) -> Shelf:
        """A copy without some kinds, for ablations."""
        new, heard = ({k: v for k, v in part.items() if k not in kinds} for part in (self.new, self.heard))
        return Shelf(bank=self.bank, new=new, heard=heard)

    def power(self, rng: np.random.Generator, kind: str) -> FloatArray:
        """Mel power (frames, 60) of a random take of a kind at the usual level; each label has the same probability."""
        return self.power_of(rng, kind, self.label(rng, kind))

    def label(self, rng: np.random.Generator, kind: str) -> str:
        """A random label of a kind; for calm speech, a speaker."""
        shelves = [shelf[kind] for shelf in (self.new, self.heard) if shelf.get(kind)]
        return str(rng.choice(sorted(shelves[int(rng.integers(len(shelves)))])))

    def power_of(self, rng: np.random.Generator, kind: str, label: str) -> FloatArray:
        """Mel power (frames, 60) of a take with this label, at the usual level."""
        found = [shelf[kind][label] for shelf in (self.new, self.heard) if label in shelf.get(kind, {})]
        takes = found[int(rng.integers(len(found)))]
        return usual_level(to_power(self.bank.take(int(takes[int(rng.integers(len(takes)))]))[0]))


def open_shelf(bank: SoundBank, *, held_out: bool) -> Shelf:
    """The sounds for training sequences, or those for held-out ones."""
    new = [take for take in bank.takes(held_out=True) if _kept_back(_recording(bank, take)) == held_out]
    heard = [] if held_out else bank.takes(held_out=False)
    return Shelf(bank=bank, heard=_by_label(bank, heard), new=_by_label(bank, new))


def usual_level(power: FloatArray) -> FloatArray:
    """Mel power (frames, 60), scaled so that loud frames have a mean band power of one; silence is unchanged."""
    loud = float(np.quantile(power.mean(1), _LOUD)) if len(power) else 0.0
    return power / np.float32(loud) if loud > 0 else power


def _recording(bank: SoundBank, take: int) -> Recording:
    return bank.recordings[int(bank.recording[take])]


def _kept_back(recording: Recording) -> bool:
    """Whether a sound outside the encoder's training is for held-out sequences, decided by a digest of its owner."""
    digest = hashlib.sha256(f"everyday {recording.owner}".encode()).digest()
    return digest[0] % 2 == 1


def _by_label(bank: SoundBank, takes: Sequence[int]) -> Takes:
    found: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for take in takes:
        recording = _recording(bank, take)
        if recording.event == "speech":
            found["calm"][f"{recording.source} {recording.owner}"].append(take)
        elif recording.label not in UNCLEAR:
            found[recording.event][recording.label].append(take)
    return {kind: dict(labels) for kind, labels in found.items()}
