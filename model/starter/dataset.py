"""The starter's material put together: training people on one side, held-out people on the other.

Everything that is slow (decoding, embedding, degrading sound) is cached in the run folder under a name that holds
the digest of the network that made it, so that new extractors make new caches by themselves.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.items import Item
from model.logmel import FRAMES
from model.segments import FloatArray, SnippetFeatures
from model.speech import SpeechConfig, SpeechEncoder
from model.starter.clips import Clip, read_clips, teacher_detector
from model.starter.draft import Draft, Sources
from model.starter.face_bank import StillBank, cached, clip_faces, file_digest, open_encoder, still_bank
from model.starter.faces import FaceSet, read_faces
from model.starter.sequences import acted, composed, finish, joined, scenery
from model.starter.splits import VALIDATION_ACTORS
from model.starter.timelines import read_statistics
from model.starter.voice_bank import clip_voices, open_voices

logger = logging.getLogger(__name__)

KINDS: dict[str, Callable[[np.random.Generator, Sources, float], Draft]] = {
    "joined": joined,
    "acted": acted,
    "composed": composed,
    "scenery": scenery,
}
SHORTEST, LONGEST = 20.0, 90.0
SCRAPS, SCRAP_SECONDS = 0.15, (4.0, 12.0)
"""Share of short sequences and their lengths: of somebody who shows one sentiment all the time."""
STILLS_PER_CLASS, HELD_OUT_STILLS_PER_CLASS = 1500, 400
_AUDIO_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Where things are: the data folder, the run folder with its caches, the expression net, the speech run."""

    data: Path
    run: Path
    expression: Path
    speech: Path

    @property
    def cache(self) -> Path:
        """Folder of everything that is made once."""
        return self.run / "cache"

    @property
    def speech_encoder(self) -> Path:
        """The pretrained audio front end."""
        return self.speech / "speech_encoder.pt"


def open_sources(material: Material, *, held_out: bool, seed: int) -> Sources:
    """Clips, faces and voices of training people, or of held-out ones."""
    data, cache = material.data, material.cache
    part = "held_out" if held_out else "train"
    digest = file_digest(material.expression)
    encode = open_encoder(material.expression)
    clips = _clips(material, held_out)
    return Sources(
        clips=clips,
        clip_faces=clip_faces(clips, encode, cache / f"clip_faces-{part}-{digest}.npz", seed=seed),
        clip_sounds=clip_voices(clips, cache / f"clip_sounds-{part}.npz", seed=seed),
        stills=_stills(material, encode, held_out, cache / f"stills-{part}-{digest}.npz", seed),
        voices=open_voices(data / "speech", material.speech / "cache", held_out=held_out),
        statistics=read_statistics(data / "tsl300" / "videosenti_gt.json"),
        disguise=not held_out,
    )


def make_items(sources: Sources, counts: dict[str, int], *, seed: int, spoil: bool) -> list[Item]:
    """Sequences of each kind, 20-90 s long, some of 4-12 s; item i of a kind depends on the seed and i only."""
    items = []
    for place, (kind, count) in enumerate(sorted(counts.items())):
        for number in range(count):
            rng = np.random.default_rng((seed, place, number))
            lengths = SCRAP_SECONDS if rng.random() < SCRAPS else (SHORTEST, LONGEST)
            draft = KINDS[kind](rng, sources, float(rng.uniform(*lengths)))
            items.append(finish(rng, f"{kind}{number:04d}", draft, sources, spoil=spoil))
    return items


def embed_sound(items: list[Item], encoder: SpeechEncoder, cache: Path | None = None) -> list[Item]:
    """Items whose log-mels (T, 32, 60) are replaced by the encoder's embeddings (T, 512).

    `cache` is a folder whose name stands for the encoder; a file in it stands for the items' sound.
    """
    store = cache / f"{sound_digest(items)}.npz" if cache else None

    def make() -> dict[str, Any]:
        return {"embedded": np.concatenate(list(_embedded(items, encoder))).astype(np.float16)}

    joined_up = cached(store, make)["embedded"] if store else make()["embedded"]
    ends = np.cumsum([len(item.features) for item in items])
    return [
        replace(item, features=_with_audio(item.features, joined_up[end - len(item.features) : end]))
        for item, end in zip(items, ends, strict=True)
    ]


def sound_digest(items: list[Item]) -> str:
    """First 12 hex digits of a SHA-256 over the loudness of every snippet of every item, in order."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(np.asarray(item.features.audio).mean((1, 2)).tobytes())
    return digest.hexdigest()[:12]


def load_speech_encoder(path: Path) -> SpeechEncoder:
    """The pretrained audio front end in evaluation mode."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    raw = content["config"]
    encoder = SpeechEncoder(SpeechConfig(**{**raw, "dilations": tuple(raw["dilations"])}))
    encoder.load_state_dict(content["encoder"])
    return encoder.eval()


def _clips(material: Material, held_out: bool) -> list[Clip]:
    find = teacher_detector(material.data / "weights" / "yunet_n_dynamic.onnx")
    clips = read_clips(material.data / "javanese_av", material.cache / "clips", find)
    return [c for c in clips if c.sentiment >= 0 and (c.actor in VALIDATION_ACTORS) == held_out]


def _stills(
    material: Material, encode: Callable[..., FloatArray], held_out: bool, store: Path, seed: int
) -> StillBank:
    count = HELD_OUT_STILLS_PER_CLASS if held_out else STILLS_PER_CLASS

    def faces() -> FaceSet:
        train, ferplus, photos = read_faces(material.data)
        return ferplus.report.join(photos.report) if held_out else train

    return still_bank(faces, encode, store, per_class=count, seed=seed)


def _embedded(items: list[Item], encoder: SpeechEncoder) -> Any:
    """Embeddings of each item (T, 512); items of similar length go through the encoder together."""
    order = np.argsort([len(item.features) for item in items], kind="stable")
    found: dict[int, FloatArray] = {}
    with torch.inference_mode():
        for start in range(0, len(order), _AUDIO_BATCH):
            chosen = order[start : start + _AUDIO_BATCH]
            longest = max(len(items[i].features) for i in chosen)
            audio = np.zeros((len(chosen), longest, FRAMES, 60), np.float32)
            present = np.zeros((len(chosen), longest), np.float32)
            for row, i in enumerate(chosen):
                features = items[i].features
                audio[row, : len(features)] = features.audio
                present[row, : len(features)] = features.audio_present
            output = encoder(torch.from_numpy(audio), torch.from_numpy(present)).numpy()
            found |= {int(i): output[row, : len(items[i].features)] for row, i in enumerate(chosen)}
    return (found[i] for i in range(len(items)))


def _with_audio(features: SnippetFeatures, audio: FloatArray) -> SnippetFeatures:
    return replace(features, audio=audio.astype(np.float32))
