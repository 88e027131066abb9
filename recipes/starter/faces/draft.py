"""A draft of a sequence: faces and sound over time, before it becomes a training item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recipes.starter.clips import Clip
from recipes.starter.faces.bank import ClipFaces, StillBank
from recipes.starter.shelf import Shelf, usual_level
from recipes.starter.timelines import Span, TimelineStatistics
from recipes.starter.voices.voice_bank import VoiceBank, to_power
from sentiloc.model.extractors.logmel import FRAMES, MELS
from sentiloc.model.segments import BoolArray, FloatArray
from sentiloc.model.spec import NON_SENTIMENT

# Seconds: 16 frames at 25 a second.
SNIPPET = 0.64
# Pictures of a face in a snippet, as in serving.
FACES = 2
FACE_STEP = SNIPPET / FACES
SOUND_STEP = SNIPPET / FRAMES
EMBEDDING = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The sources of sequences, either all of training people or all of held-out ones.

    `disguise` makes the few actors of the real clips look like other people; for training only.
    """

    clips: Sequence[Clip]
    clip_faces: Sequence[ClipFaces]
    clip_sounds: Sequence[tuple[NDArray[np.float16], ...]]
    stills: StillBank
    voices: VoiceBank
    sounds: Shelf
    statistics: TimelineStatistics
    disguise: bool = False

    def sound(self, rng: np.random.Generator, kind: str) -> FloatArray:
        """Mel power (frames, 60) of a kind of sound; of synthetic noise or music if the bank has none."""
        if self.sounds.has(kind):
            return self.sounds.power(rng, kind)
        noise = self.voices.noise
        return usual_level(to_power(noise[int(rng.integers(len(noise)))]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What the picture shows from `start` to `end` seconds; a later shot covers an earlier one.

    "clip": the real clip `number`, from its beginning. "person": a person made of stills, whose face shows `label`.
    "scene": nobody. The drawing of a sequence does not depend on its shots, so recording them changes no sequence.
    """

    kind: Literal["clip", "person", "scene"]
    start: float
    end: float
    label: int = NON_SENTIMENT
    number: int = -1


@dataclass(slots=True, kw_only=True)
class Draft:
    """A draft of a sequence: `face` (2T, 256), `seen` (2T,), sound `power` (32T, 60), true `spans`, `shots`."""

    face: FloatArray
    seen: BoolArray
    power: FloatArray
    spans: list[Span] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)

    @classmethod
    def empty(cls, seconds: float) -> Draft:
        """An empty draft of `seconds`, rounded up to whole snippets."""
        # The small term keeps rounding from adding a snippet to a whole number of them.
        snippets = max(int(np.ceil(seconds / SNIPPET - 1e-6)), 1)
        return cls(
            face=np.zeros((snippets * FACES, EMBEDDING), np.float32),
            seen=np.zeros(snippets * FACES, bool),
            power=np.zeros((snippets * FRAMES, MELS), np.float32),
        )

    @property
    def snippets(self) -> int:
        """Length in snippets."""
        return len(self.seen) // FACES

    def between(self, start: float, end: float) -> slice:
        """Face samples within [start, end) seconds; the time of a sample is the middle of its 0.32 s."""
        first, last = np.ceil(np.array([start, end]) / FACE_STEP - 0.5).astype(int)
        return slice(max(first, 0), max(last, 0))

    def see_things(
        self, rng: np.random.Generator, junk: NDArray[np.float16], start: float, end: float
    ) -> None:
        """Add false alarms of a face detector: one or several embeddings of `junk` (n, 256), for a part of the time."""
        where = self.between(start, end)
        count = len(self.seen[where])
        things = junk[rng.integers(0, len(junk), int(rng.integers(1, 4)))].astype(np.float32)
        self.face[where] = things[rng.integers(0, len(things), count)]
        self.seen[where] = rng.random(count) < rng.uniform(0.1, 0.9)
        self.shots.append(Shot(kind="scene", start=start, end=end))

    def see_nobody(self, start: float, end: float) -> None:
        """Remove faces from `start` to `end` seconds."""
        self.seen[self.between(start, end)] = False
        self.shots.append(Shot(kind="scene", start=start, end=end))

    def say(self, start: float, power: FloatArray) -> None:
        """Add sound from `start` seconds on; it is cut off at the end of the draft."""
        first = round(start / SOUND_STEP)
        room = self.power[first : first + len(power)]
        # A view, so the addition changes the draft.
        room += power[: len(room)]
