"""The starter's data sets: training people and held-out people are kept apart.

Slow steps (decoding, embedding, degrading sound) are cached in the run folder. A cache's name contains the digest of
the network that made it, so a new extractor gets a new cache.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recipes.starter.clips import Clip, read_clips, teacher_detector
from recipes.starter.everyday import everyday
from recipes.starter.faces.bank import StillBank, cached, clip_faces, file_digest, open_encoder, still_bank
from recipes.starter.faces.draft import Draft, Sources
from recipes.starter.faces.stills import face_set
from recipes.starter.sequences import acted, composed, finish, joined
from recipes.starter.shelf import open_shelf
from recipes.starter.sound.bank import SoundBank, open_bank
from recipes.starter.sound.net import load_voice_reader
from recipes.starter.sound.train import FILE as SOUND_FILE
from recipes.starter.splits import FOLDS, VALIDATION_ACTORS, WHOLE_CORPORA
from recipes.starter.timelines import read_statistics
from recipes.starter.voices.voice_bank import clip_voices, open_voices
from sentiloc.model.data.items import Item
from sentiloc.model.extractors.logmel import FRAMES
from sentiloc.model.segments import FloatArray, SnippetFeatures

logger = logging.getLogger(__name__)

KINDS: dict[str, Callable[[np.random.Generator, Sources, float], Draft]] = {
    "joined": joined,
    "acted": acted,
    "composed": composed,
    "everyday": everyday,
}
# Seconds of a sequence.
SHORTEST, LONGEST = 20.0, 90.0
SCRAPS, SCRAPS_EVERYDAY, SCRAP_SECONDS = 0.15, 0.4, (4.0, 14.0)
"""Share of short sequences (also of everyday ones) and their lengths; each has one sentiment, or none, throughout."""
KNOWN_VOICES = 0.5
"""Share of training sequences encoded by the network that was trained on their voices; in serving it knows no voice."""
VOICE_READING = 24
"""Columns of the sound embedding that describe the voice; sound events follow."""
# The same number of each class, because the corpora have very different numbers of each.
STILLS_PER_CLASS, HELD_OUT_STILLS_PER_CLASS = 1500, 400
_AUDIO_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Paths: the data folder, the run folder with its caches, the expression network.

    `unseen` are the held-out actors of `javanese_av`.
    """

    data: Path
    run: Path
    expression: Path
    unseen: frozenset[str] = VALIDATION_ACTORS

    @property
    def cache(self) -> Path:
        """Folder of cached data."""
        return self.run / "cache"

    @property
    def faces(self) -> Path:
        """Folder of the pictures that the expression network's training collected."""
        return self.run / "expression" / "material"

    @property
    def voices(self) -> Path:
        """Run folder of the audio encoder's first stage; its cache holds the acted utterances' log-mels."""
        return self.run / "speech"

    @property
    def sound(self) -> Path:
        """Run folder of the second stage, with the bank of real sounds."""
        return self.run / "sound"

    @property
    def hearing(self) -> Path:
        """The audio encoder."""
        return self.sound / SOUND_FILE

    def fold_encoder(self, fold: int) -> Path:
        """A smaller audio encoder that was trained without the speakers of a fold."""
        return self.sound / f"fold{fold}" / SOUND_FILE

    def bank(self) -> SoundBank:
        """The bank of real sounds."""
        return open_bank(self.data, self.sound / "packages", self.sound / "bank")

    def store(self, encoder: Path, what: str = "voice") -> Path:
        """Folder of an encoder's sound embeddings."""
        return self.cache / f"{what}-{file_digest(encoder)}"

    @property
    def others(self) -> str:
        """Suffix of the clip caches' names if other actors than the default ones are held out."""
        return "" if self.unseen == VALIDATION_ACTORS else "-but-" + "-".join(sorted(self.unseen))


def open_sources(material: Material, *, held_out: bool, seed: int, fold: int | None = None) -> Sources:
    """Clips, faces, voices (of one fold, if given) and sounds of training people, or of held-out ones."""
    data, cache = material.data, material.cache
    part = "held_out" if held_out else "train"
    actors = part + material.others
    digest = file_digest(material.expression)
    encode = open_encoder(material.expression)
    clips = _clips(material, held_out)
    return Sources(
        clips=clips,
        clip_faces=clip_faces(clips, encode, cache / f"clip_faces-{actors}-{digest}.npz", seed=seed),
        # No digest: log-mels do not depend on a network.
        clip_sounds=clip_voices(clips, cache / f"clip_sounds-{actors}.npz", seed=seed),
        stills=_stills(material, encode, held_out, cache / f"stills-{part}-{digest}.npz", seed),
        voices=open_voices(
            data / "speech",
            material.voices / "cache",
            held_out=held_out,
            fold=fold,
            but=frozenset() if held_out else material.unseen,
        ),
        sounds=open_shelf(material.bank(), held_out=held_out),
        statistics=read_statistics(data / "tsl300" / "videosenti_gt.json"),
        # Held-out people are not augmented.
        disguise=not held_out,
    )


Paint = Callable[[Item, Draft], Item]
"""Adds pictures to an item according to the shots of its draft."""


def make_items(
    sources: Sources | Sequence[Sources],
    counts: dict[str, int],
    *,
    seed: int,
    spoil: bool,
    paint: Paint | None = None,
) -> list[Item]:
    """Sequences of each kind, 20-90 s long, some of 4-14 s; item i of a kind depends only on the seed and i.

    With several sources, one per fold of voices, `fold_of` chooses the source of an item. Without `paint` items have no
    visual stream.
    """
    banks = [sources] if isinstance(sources, Sources) else sources
    items = []
    for kind, count in sorted(counts.items()):
        # The index of the kind among all kinds, so that leaving out a kind does not change items of other kinds.
        place = sorted(KINDS).index(kind)
        for number in range(count):
            # A generator per item: changing the number of one kind leaves all other items as they were.
            rng = np.random.default_rng((seed, place, number))
            short = SCRAPS_EVERYDAY if kind == "everyday" else SCRAPS
            lengths = SCRAP_SECONDS if rng.random() < short else (SHORTEST, LONGEST)
            name = f"{kind}{number:04d}"
            bank = banks[fold_of(name) % len(banks)]
            draft = KINDS[kind](rng, bank, float(rng.uniform(*lengths)))
            item = finish(rng, name, draft, bank, spoil=spoil)
            items.append(paint(item, draft) if paint else item)
    return items


def fold_of(name: str) -> int:
    """The fold of the voices in an item: joined clips and every second other item have the fold of `javanese`."""
    return WHOLE_CORPORA["javanese"] if name.startswith("joined") else int(name[-1]) % FOLDS


def read_sound_of(items: list[Item], material: Material, *, seed: int) -> list[Item]:
    """Training items with encoded sound (T, n).

    Voices are encoded half of the time by a network that was not trained on them. Sound events always come from the
    served encoder, because half of the sounds are new to it anyway.
    """
    path = material.hearing
    known = embed_sound(items, load_voice_reader(path), material.store(path))
    unknown: dict[str, Item] = {}
    for fold in range(FOLDS):
        path = material.fold_encoder(fold)
        part = [item for item in items if fold_of(item.name) == fold]
        found = embed_sound(part, load_voice_reader(path), material.store(path))
        unknown |= {item.name: item for item in found}
    unknown = {item.name: _with_voices(item, unknown[item.name]) for item in known}
    knows = np.random.default_rng(seed).random(len(items)) < KNOWN_VOICES
    return [item if knew else unknown[item.name] for item, knew in zip(known, knows, strict=True)]


def _with_voices(item: Item, other: Item) -> Item:
    """Replace the voice columns of an item's sound by those of another item."""
    voices, events = np.asarray(other.features.audio)[:, :VOICE_READING], np.asarray(item.features.audio)
    audio = np.concatenate([voices, events[:, VOICE_READING:]], axis=1)
    return replace(item, features=_with_audio(item.features, audio))


def read_faces_of(items: list[Item], reading: FloatArray) -> list[Item]:
    """Items whose face embeddings (T, 256) are projected by `reading` (n, 256) to (T, n)."""
    return [replace(item, features=_with_face(item.features, reading)) for item in items]


def embed_sound(items: list[Item], encoder: nn.Module, cache: Path | None = None) -> list[Item]:
    """Items whose log-mels (T, 32, 60) are replaced by the encoder's output (T, n).

    `cache` is a folder for this encoder; each file in it belongs to one set of items.
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
        # Means instead of the log-mels: hashing gigabytes would take as long as reading the cache saves.
        digest.update(np.asarray(item.features.audio).mean((1, 2)).tobytes())
    return digest.hexdigest()[:12]


def _clips(material: Material, held_out: bool) -> list[Clip]:
    find = teacher_detector(material.data / "weights" / "yunet_n_dynamic.onnx")
    clips = read_clips(material.data / "javanese_av", material.cache / "clips", find)
    return [c for c in clips if c.sentiment >= 0 and (c.actor in material.unseen) == held_out]


def _stills(
    material: Material, encode: Callable[..., FloatArray], held_out: bool, store: Path, seed: int
) -> StillBank:
    count = HELD_OUT_STILLS_PER_CLASS if held_out else STILLS_PER_CLASS
    read = partial(face_set, material.data, material.faces, held_out=held_out)
    return still_bank(read, encode, store, per_class=count, seed=seed)


def _embedded(items: list[Item], encoder: nn.Module) -> Any:
    """Embeddings of each item (T, n); items of similar length go through the encoder together."""
    # Sorted by length, so that little padding is computed.
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


def _with_face(features: SnippetFeatures, reading: FloatArray) -> SnippetFeatures:
    # Zeroed before the projection, as the served network receives absent faces.
    held = np.asarray(features.face) * features.face_present[:, None]
    face = held @ reading.T
    return replace(features, face=face.astype(np.float32))
