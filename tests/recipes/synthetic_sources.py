"""Small sources with nobody real in them: what the sequence generator needs, in its exact shapes."""

from __future__ import annotations

import numpy as np

from recipes.starter.clips import Clip
from recipes.starter.faces.bank import ClipFaces, StillBank
from recipes.starter.faces.draft import Sources
from recipes.starter.timelines import TimelineStatistics
from recipes.starter.voices.data import LogMels, join_log_mels
from recipes.starter.voices.voice_bank import VoiceBank
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

EMOTIONS = {NEGATIVE: "sad", POSITIVE: "happy", NON_SENTIMENT: "neutral"}
FRAMES_OF_CLIP = 19


def make_sources() -> Sources:
    """Two actors, six clips of 3.04 s, nine stills, two speakers; an embedding's first value is its class."""
    rng = np.random.default_rng(5)
    clips = [_clip(actor, label) for actor in ("a", "b") for label in (NEGATIVE, POSITIVE, NON_SENTIMENT)]
    sentiment = np.repeat([NEGATIVE, POSITIVE, NON_SENTIMENT], 3)
    stills = rng.normal(0, 0.01, (9, 2, 256)).astype(np.float16)
    stills[:, :, 0] = sentiment[:, None] + 1
    junk = rng.normal(0, 0.01, (5, 256)).astype(np.float16)
    junk[:, 0] = NON_SENTIMENT + 1
    return Sources(
        clips=clips,
        clip_faces=[_faces(rng, clip.sentiment) for clip in clips],
        clip_sounds=[(_voice(rng, 150),) * 4 for _ in clips],
        stills=StillBank(embeddings=stills, sentiment=sentiment, junk=junk),
        voices=_voices(rng),
        statistics=TimelineStatistics(
            lengths=np.array([2, 4, 8], np.float32),
            gaps=np.array([1, 5, 20], np.float32),
            repeat=0.8,
            positive=0.5,
        ),
    )


def _clip(actor: str, label: int) -> Clip:
    return Clip(
        name=f"{actor}{label}",
        actor=actor,
        emotion=EMOTIONS[label],
        crops=(b"",) * FRAMES_OF_CLIP,
        boxes=np.zeros((FRAMES_OF_CLIP, 4), np.float32),
        seen=np.ones(FRAMES_OF_CLIP, bool),
        samples=np.zeros(0, np.int16),
        seconds=FRAMES_OF_CLIP * 0.16,
    )


def _faces(rng: np.random.Generator, label: int) -> ClipFaces:
    embeddings = rng.normal(0, 0.01, (2, FRAMES_OF_CLIP, 256)).astype(np.float16)
    embeddings[:, :, 0] = label + 1
    return ClipFaces(embeddings=embeddings, seen=np.ones(FRAMES_OF_CLIP, bool))


def _voice(rng: np.random.Generator, frames: int) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    return rng.normal(0.6, 0.05, (frames, 60)).astype(np.float16)


def _voices(rng: np.random.Generator) -> VoiceBank:
    mels: LogMels = join_log_mels([_voice(rng, 120) for _ in range(6)])
    noise = join_log_mels([_voice(rng, 1000) for _ in range(3)])
    speakers = tuple({label: [3 * speaker + label % 3] for label in range(-1, 3)} for speaker in range(2))
    return VoiceBank(versions=[mels, mels], noise=noise, speakers=speakers)
