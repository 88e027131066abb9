"""Small synthetic sources in the exact shapes that the sequence generator needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recipes.starter.clips import Clip
from recipes.starter.detector.data import Material
from recipes.starter.drawn.build import DrawnFaces
from recipes.starter.faces.bank import ClipFaces, StillBank
from recipes.starter.faces.draft import Sources
from recipes.starter.shelf import Shelf, open_shelf
from recipes.starter.sound.bank import SoundBank
from recipes.starter.sound.recordings import Recording
from recipes.starter.timelines import TimelineStatistics
from recipes.starter.voices.data import LogMels, join_log_mels
from recipes.starter.voices.voice_bank import VoiceBank
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

BURST_BAND = 59
"""Laughter, crying and screams are loudest here, all else is loudest below."""
KINDS = ("music", "noise", "speech", "laughter", "crying", "screaming")
EMOTIONS = {NEGATIVE: "sad", POSITIVE: "happy", NON_SENTIMENT: "neutral"}
FRAMES_OF_CLIP = 19


def make_detector_material(rng: np.random.Generator, drawn: DrawnFaces | None = None) -> Material:
    """Three photos, small faces and frames of noise for the face detector, with a box in each."""
    box = np.tile(np.array([[20, 20, 80, 90]], np.float32), (3, 1))
    return Material(
        photos=rng.integers(0, 256, (3, 112, 112)).astype(np.uint8),
        photo_boxes=box,
        small_faces=rng.integers(0, 256, (3, 48, 48)).astype(np.uint8),
        small_boxes=(box / 3).astype(np.float32),
        frames=rng.integers(0, 256, (3, 270, 360)).astype(np.uint8),
        frame_boxes=box,
        drawn=drawn,
    )


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
        sounds=_sounds(rng),
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


def _sounds(rng: np.random.Generator) -> Shelf:
    """Two recordings of each kind, both new to the encoder."""
    recordings = [
        Recording(path=Path("x"), source="s", label=kind, event=kind, owner=f"{kind}{n}", held_out=False)
        for kind in KINDS
        for n in range(2)
    ]
    takes = [_sound(rng, recording.event) for recording in recordings]
    mels = join_log_mels(takes)
    bank = SoundBank(
        recordings=recordings,
        mels=mels,
        targets=np.zeros((len(mels.frames), 9), np.uint8),
        recording=np.arange(len(recordings)),
        version=np.zeros(len(recordings), np.int64),
    )
    return open_shelf(bank, held_out=False)


def _sound(rng: np.random.Generator, event: str) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    mel = _voice(rng, 200)
    mel[:, BURST_BAND] = 1.2 if event in ("laughter", "crying", "screaming") else 0.1
    return mel
