"""A person in a composed sequence: expressions over time, made from stills and the motion of real faces."""

from __future__ import annotations

import numpy as np

from recipes.starter.clips import FRAME_RATE, FRAME_STEP
from recipes.starter.faces.draft import EMBEDDING, FACE_STEP, FACES, Draft, Shot, Sources
from sentiloc.model.segments import FloatArray
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

_TINGED = 0.6
"""Share of neutral segments with a trace of an expression (at most 35 %), because no real neutral face is completely
neutral.
"""


class Person:
    """A person made of stills: one neutral face, and others with the wanted expression."""

    def __init__(self, rng: np.random.Generator, sources: Sources) -> None:
        self._rng, self._sources = rng, sources
        self._neutral = self._still(NON_SENTIMENT)

    def show(self, draft: Draft, start: float, end: float, label: int, *, ramp: float) -> None:
        """Write the face from `start` to `end` seconds: from neutral to the expression and back."""
        where = draft.between(start, end)
        count = len(draft.seen[where])
        if not count:
            return
        face = self._alive(self._neutral, count)
        if label != NON_SENTIMENT:
            strength = self._envelope(count, ramp, (0.7, 1.0))[:, None]
            face = face * (1 - strength) + self._expression(label, count) * strength
        elif self._rng.random() < _TINGED:
            strength = self._envelope(count, 1.0, (0.05, 0.35))[:, None]
            tinge = self._expression(int(self._rng.choice((NEGATIVE, POSITIVE))), count)
            face = face * (1 - strength) + tinge * strength
        draft.face[where] = face + self._residual(count)
        # A detector occasionally misses a face.
        draft.seen[where] = self._rng.random(count) > 0.02
        draft.shots.append(Shot(kind="person", start=start, end=end, label=label))

    def _still(self, label: int) -> int:
        return int(self._rng.choice(np.flatnonzero(self._sources.stills.sentiment == label)))

    def _alive(self, still: int, count: int) -> FloatArray:
        """One still over time (count, 256): its versions alternate as mouth and camera move."""
        looks = self._sources.stills.embeddings[still].astype(np.float32)
        weights = self._rng.dirichlet(np.full(len(looks), 0.6), count)
        anchor = self._rng.dirichlet(np.full(len(looks), 0.6))
        mixed: FloatArray = ((0.5 * weights + 0.5 * anchor) @ looks).astype(np.float32)
        return mixed

    def _expression(self, label: int, count: int) -> FloatArray:
        """Stills of one sentiment, a new one every few seconds."""
        lengths = self._rng.integers(4, 16, count // 4 + 1)
        parts = [self._alive(self._still(label), int(n)) for n in lengths]
        return np.concatenate(parts)[:count]

    def _envelope(self, count: int, ramp: float, strength: tuple[float, float]) -> FloatArray:
        steps = (np.arange(count) + 0.5) * FACE_STEP
        rise = np.minimum(steps, steps[::-1]) / max(ramp, 1e-3)
        return np.asarray(np.clip(rise, 0, 1) * self._rng.uniform(*strength), np.float32)

    def _residual(self, count: int) -> FloatArray:
        """The motion of a real talking face's embedding around its mean, taken from a real clip."""
        rng = self._rng
        faces = self._sources.clip_faces[int(rng.integers(len(self._sources.clip_faces)))]
        track = faces.embeddings[int(rng.integers(len(faces.embeddings))), faces.seen].astype(np.float32)
        if len(track) < 4:
            return np.zeros((count, EMBEDDING), np.float32)
        # A clip has four pictures of a snippet, a draft has two.
        moving = np.resize((track - track.mean(0))[::FACES], (count, EMBEDDING))
        scaled: FloatArray = moving * np.float32(rng.uniform(0.3, 1.0))
        return scaled


def show_talking(rng: np.random.Generator, draft: Draft, sources: Sources, start: float, end: float) -> None:
    """Write a real neutral talking face, disguised, from `start` to `end` seconds; clips may repeat."""
    clips = [
        i for i, clip in enumerate(sources.clips) if clip.sentiment == NON_SENTIMENT and len(clip.seen) > 4
    ]
    first = int(rng.choice(clips))
    actor = sources.clips[first].actor
    own = [i for i in clips if sources.clips[i].actor == actor]
    look = int(rng.integers(len(sources.clip_faces[first].embeddings)))
    disguise = disguise_of(rng, sources, actor, look)
    time = start
    while time < end - FACE_STEP:
        number = int(rng.choice(own))
        faces = sources.clip_faces[number]
        until = min(time + len(faces.seen) * FRAME_STEP / FRAME_RATE, end)
        where = draft.between(time, until)
        samples = np.arange(where.start, min(where.stop, len(draft.seen)))
        if not len(samples):
            return
        frames = (((samples - where.start) + 0.5) * FACE_STEP * FRAME_RATE / FRAME_STEP).astype(int)
        frames = frames.clip(0, len(faces.seen) - 1)
        draft.face[samples] = faces.embeddings[look, frames] + disguise
        draft.seen[samples] = faces.seen[frames]
        draft.shots.append(Shot(kind="clip", start=time, end=until, number=number))
        time += len(faces.seen) * FRAME_STEP / FRAME_RATE


def disguise_of(rng: np.random.Generator, sources: Sources, actor: str, look: int) -> FloatArray:
    """The offset for an actor's embeddings (256,): a step from their neutral face towards another person's.

    A few actors must look like many people; otherwise the network learns their faces instead of their expressions.
    """
    if not sources.disguise or rng.random() < 0.3:
        return np.zeros(EMBEDDING, np.float32)
    own = [
        faces.embeddings[look, faces.seen].astype(np.float32).mean(0)
        for clip, faces in zip(sources.clips, sources.clip_faces, strict=True)
        if clip.actor == actor and clip.sentiment == NON_SENTIMENT and faces.seen.any()
    ]
    neutral = np.flatnonzero(sources.stills.sentiment == NON_SENTIMENT)
    neutral_face = sources.stills.embeddings[int(rng.choice(neutral))].astype(np.float32).mean(0)
    return np.asarray((neutral_face - np.mean(own, 0)) * rng.uniform(0.2, 1.0), np.float32)
